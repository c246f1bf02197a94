# What every target of the project shares. Targets link to these; nothing is set globally.
include(GNUInstallDirs)
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

option(TYCHO_WERROR "Warnings are errors" OFF)
set(TYCHO_SANITIZE "" CACHE STRING "Sanitizers: address,undefined or thread; empty for none")
option(TYCHO_FUZZ "Build the libFuzzer targets (needs clang)" OFF)

add_library(project_options INTERFACE)
target_compile_features(project_options INTERFACE c_std_17)
target_compile_definitions(project_options INTERFACE _GNU_SOURCE)
target_include_directories(project_options INTERFACE ${PROJECT_SOURCE_DIR}/lib ${PROJECT_SOURCE_DIR}
	${PROJECT_BINARY_DIR}/config)
target_compile_options(project_options INTERFACE
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual
	-Wno-format-zero-length -Wundef -Wvla -Wwrite-strings -Wimplicit-fallthrough -fno-strict-aliasing
	-fstack-protector-strong -ffunction-sections -fdata-sections
	$<$<BOOL:${TYCHO_WERROR}>:-Werror>)
target_link_options(project_options INTERFACE -Wl,--gc-sections -Wl,-z,relro,-z,now -Wl,--as-needed)

add_library(project_sanitize INTERFACE)
if(TYCHO_SANITIZE)
	target_compile_options(project_sanitize INTERFACE
		-fsanitize=${TYCHO_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
	target_link_options(project_sanitize INTERFACE -fsanitize=${TYCHO_SANITIZE})
endif()
if(TYCHO_FUZZ)
	target_compile_options(project_sanitize INTERFACE -fsanitize=fuzzer-no-link)
endif()

# Tests are linked by the hundred: by lld where it is installed, in a third of the time. What is released is linked as ever.
option(TYCHO_LLD "Link with lld, if it is there" OFF)
find_program(TYCHO_LD_LLD ld.lld)
if(TYCHO_LLD AND TYCHO_LD_LLD)
	target_link_options(project_options INTERFACE -fuse-ld=lld)
endif()

# What is released, by GCC: where calls between files count, they are compiled together when a program is linked.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo" AND NOT TYCHO_SANITIZE)
	set(TYCHO_TOGETHER ON)
	target_link_options(project_options INTERFACE -flto=auto)
endif()

# tycho_library(base SOURCES err.c … LINK …): the static library of one room under lib/ or observer/. HOT: one of those.
function(tycho_library name)
	cmake_parse_arguments(arg "HOT" "" "SOURCES;LINK" ${ARGN})
	add_library(tycho_${name} STATIC ${arg_SOURCES})
	target_link_libraries(tycho_${name} PUBLIC project_options project_sanitize ${arg_LINK})
	if(arg_HOT AND TYCHO_TOGETHER)
		target_compile_options(tycho_${name} PRIVATE -O3 -flto -ffat-lto-objects)
	endif()
endfunction()

# What has nothing to say to the thread sanitizer is neither built nor run there.
if(TYCHO_SANITIZE MATCHES "thread")
	set(TYCHO_THREADS_ONLY ON)
endif()

# tycho_test_part(path … LINK …): sources that tests share, as objects that are compiled once; with the first test's libraries, whose headers
# they include. *@ret: what to name among a program's sources.
function(tycho_test_part ret)
	cmake_parse_arguments(arg "" "" "LINK" ${ARGN})
	set(objects)
	foreach(source ${arg_UNPARSED_ARGUMENTS})
		cmake_path(GET source STEM part)
		if(NOT TARGET part_${part})
			add_library(part_${part} OBJECT ${source})
			target_link_libraries(part_${part} PRIVATE ${arg_LINK} project_options project_sanitize PkgConfig::CMOCKA)
			target_compile_definitions(part_${part} PRIVATE TYCHO_SHARED="${TYCHO_SHARED}")
		endif()
		list(APPEND objects $<TARGET_OBJECTS:part_${part}>)
	endforeach()
	set(${ret} ${objects} PARENT_SCOPE)
endfunction()

# tycho_unit_test(err LINK tycho_base): tests/unit/test_err.c as one cmocka program and one ctest. PARTS: what it shares with others of
# tests/unit, by name. RECORDED: it compares with recorded data (tests/unit/recorded.h). ONE_THREAD: it starts no others, and fails if it
# tries. THREADS_ELSEWHERE: it takes long, and a shorter test has the same threads.
function(tycho_unit_test name)
	cmake_parse_arguments(arg "RECORDED;ONE_THREAD;THREADS_ELSEWHERE" "" "LINK;SOURCES;PARTS" ${ARGN})
	if(TYCHO_FUZZ OR (TYCHO_THREADS_ONLY AND (arg_ONE_THREAD OR arg_THREADS_ELSEWHERE)))
		return()
	endif()
	if(arg_RECORDED)
		list(APPEND arg_PARTS recorded)
	endif()
	if(arg_ONE_THREAD)
		list(APPEND arg_PARTS one_thread)
	endif()
	list(TRANSFORM arg_PARTS REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/tests/unit/\\1.c")
	tycho_test_part(parts ${arg_PARTS} LINK ${arg_LINK})
	add_executable(test_${name} ${PROJECT_SOURCE_DIR}/tests/unit/test_${name}.c ${arg_SOURCES} ${parts})
	if(arg_RECORDED)
		target_compile_definitions(test_${name} PRIVATE TYCHO_SHARED="${TYCHO_SHARED}")
	endif()
	if(arg_ONE_THREAD)
		target_link_options(test_${name} PRIVATE -Wl,--wrap=pthread_create)
	endif()
	target_link_libraries(test_${name} PRIVATE ${arg_LINK} project_options project_sanitize PkgConfig::CMOCKA)
	add_test(NAME unit_${name} COMMAND test_${name})
	set_tests_properties(unit_${name} PROPERTIES LABELS unit TIMEOUT 300)
endfunction()

# tycho_nomem_test(json LINK …): tests/unit/test_json_nomem.c, whose allocations fail when tests/unit/nomem.h says so.
function(tycho_nomem_test name)
	cmake_parse_arguments(arg "THREADS_ELSEWHERE" "" "LINK;PARTS" ${ARGN})
	set(threads ONE_THREAD)
	if(arg_THREADS_ELSEWHERE)
		set(threads THREADS_ELSEWHERE)
	endif()
	tycho_unit_test(${name}_nomem ${threads} PARTS nomem ${arg_PARTS} LINK ${arg_LINK})
	if(TARGET test_${name}_nomem)
		target_link_options(test_${name}_nomem PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
	endif()
endfunction()

# tycho_fuzz_target(json LINK …): tests/fuzz/fuzz_json.c. With TYCHO_FUZZ a libFuzzer program; otherwise a
# plain program that replays the corpus in tests/fuzz/corpus/json, run by ctest.
function(tycho_fuzz_target name)
	cmake_parse_arguments(arg "" "" "LINK" ${ARGN})
	set(source ${PROJECT_SOURCE_DIR}/tests/fuzz/fuzz_${name}.c)
	set(corpus ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
	if(TYCHO_THREADS_ONLY)
		return()
	endif()
	if(TYCHO_FUZZ)
		add_executable(fuzz_${name} ${source})
		target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
		target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
	else()
		tycho_test_part(replay ${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c LINK ${arg_LINK})
		add_executable(fuzz_${name} ${source} ${replay})
		add_test(NAME fuzz_${name} COMMAND fuzz_${name} ${corpus})
		set_tests_properties(fuzz_${name} PROPERTIES LABELS fuzz TIMEOUT 300)
	endif()
	target_link_libraries(fuzz_${name} PRIVATE ${arg_LINK} project_options project_sanitize)
endfunction()
