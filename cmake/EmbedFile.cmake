# cmake -DIN=file -DOUT=file.c -DNAME=symbol -P EmbedFile.cmake: the bytes of IN as a C array.
file(READ ${IN} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR bytes "${digits} / 2")
string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
file(WRITE ${OUT} "#include <stddef.h>\nextern const unsigned char ${NAME}[];\nextern const size_t ${NAME}_bytes;\n"
	"const unsigned char ${NAME}[] = {\n${hex}\n};\nconst size_t ${NAME}_bytes = ${bytes};\n")
