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

# tycho_library(base SOURCES err.c … LINK …): the static library of one room under lib/ or observer/.
function(tycho_library name)
	cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
	add_library(tycho_${name} STATIC ${arg_SOURCES})
	target_link_libraries(tycho_${name} PUBLIC project_options project_sanitize ${arg_LINK})
endfunction()

# What has one thread is neither built nor run under the thread sanitizer.
if(TYCHO_SANITIZE MATCHES "thread")
	set(TYCHO_LEAVE_ONE_THREAD ON)
endif()

# tycho_unit_test(err LINK tycho_base): tests/unit/test_err.c as one cmocka program and one ctest. RECORDED: it compares with recorded
# data (tests/unit/recorded.h). ONE_THREAD: it makes no others, and takes long.
function(tycho_unit_test name)
	cmake_parse_arguments(arg "RECORDED;ONE_THREAD" "" "LINK;SOURCES" ${ARGN})
	if(TYCHO_FUZZ OR (arg_ONE_THREAD AND TYCHO_LEAVE_ONE_THREAD))
		return()
	endif()
	add_executable(test_${name} ${PROJECT_SOURCE_DIR}/tests/unit/test_${name}.c ${arg_SOURCES})
	if(arg_RECORDED)
		target_sources(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/unit/recorded.c)
		target_compile_definitions(test_${name} PRIVATE TYCHO_SHARED="${TYCHO_SHARED}")
	endif()
	target_link_libraries(test_${name} PRIVATE ${arg_LINK} project_options project_sanitize PkgConfig::CMOCKA)
	add_test(NAME unit_${name} COMMAND test_${name})
	set_tests_properties(unit_${name} PROPERTIES LABELS unit TIMEOUT 300)
endfunction()

# tycho_nomem_test(json LINK …): tests/unit/test_json_nomem.c, whose allocations fail when tests/unit/nomem.h says so.
function(tycho_nomem_test name)
	tycho_unit_test(${name}_nomem ONE_THREAD SOURCES ${PROJECT_SOURCE_DIR}/tests/unit/nomem.c ${ARGN})
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
	if(TYCHO_LEAVE_ONE_THREAD)
		return()
	endif()
	if(TYCHO_FUZZ)
		add_executable(fuzz_${name} ${source})
		target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
		target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
	else()
		add_executable(fuzz_${name} ${source} ${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c)
		add_test(NAME fuzz_${name} COMMAND fuzz_${name} ${corpus})
		set_tests_properties(fuzz_${name} PROPERTIES LABELS fuzz TIMEOUT 300)
	endif()
	target_link_libraries(fuzz_${name} PRIVATE ${arg_LINK} project_options project_sanitize)
endfunction()
