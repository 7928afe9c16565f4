# taskbench, examples, bench: programs that see weft as a user does.
find_library(JEMALLOC jemalloc)
find_package(OpenSSL QUIET COMPONENTS Crypto)

# All of taskbench but main.c is a library, so that tests/taskbench can look at the parts.
file(GLOB sources CONFIGURE_DEPENDS tools/taskbench/*.c)
list(FILTER sources EXCLUDE REGEX "/main\\.c$")
add_library(taskbench_parts STATIC ${sources})
target_include_directories(taskbench_parts INTERFACE tools/taskbench)
target_link_libraries(taskbench_parts PUBLIC weft_static m)
# The bodies of the workloads are loops of a nanosecond: where one happens to lie in a line made the same loop 0.37 or
# 0.56 ns an index, from one commit to the next.
target_compile_options(taskbench_parts PRIVATE -falign-functions=64 -falign-loops=32)
# Counts of instructions can be compared between equal builds only.
string(TOUPPER "CMAKE_C_FLAGS_${CMAKE_BUILD_TYPE}" build_flags)
string(STRIP "${CMAKE_C_FLAGS} ${${build_flags}}" build_flags)
set_property(SOURCE tools/taskbench/budget.c APPEND PROPERTY COMPILE_DEFINITIONS
  "TB_BUILD=\"${build_flags}, checks $<BOOL:${WEFT_CHECKS}>\"")
add_executable(taskbench tools/taskbench/main.c)
# With all of weft, exported: workloads from shared objects (weft/bench.h) call it.
target_sources(taskbench PRIVATE $<TARGET_OBJECTS:weft_objects>)
target_link_libraries(taskbench PRIVATE taskbench_parts ${CMAKE_DL_LIBS})
target_link_options(taskbench PRIVATE LINKER:--dynamic-list=${PROJECT_SOURCE_DIR}/cmake/taskbench.list)
set_target_properties(taskbench PROPERTIES LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/taskbench.list)
# Shared, as find_library prefers: linked statically, jemalloc's thread data would be cached across a stack switch
# (jemalloc#2890). Sanitizers bring an allocator of their own. taskbench looks for it when it runs (alloc.c).
if(JEMALLOC AND NOT WEFT_SANITIZE)
  target_link_libraries(taskbench PRIVATE ${JEMALLOC})
  if(TARGET taskbench_test_alloc)
    target_link_libraries(taskbench_test_alloc PRIVATE ${JEMALLOC})
  endif()
else()
  message(STATUS "weft: taskbench without jemalloc: it cannot count allocations")
endif()

if(NOT CMAKE_CROSSCOMPILING)
  add_dependencies(shipped taskbench)
  install(TARGETS taskbench RUNTIME)
  install(FILES docs/man/taskbench.1 TYPE MAN RENAME man1/taskbench.1)
endif()

# One program per file, in the build's folder of the same name.
foreach(folder examples bench bench/micro)
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.c)
  foreach(source ${sources})
    cmake_path(GET source STEM name)
    if(name STREQUAL treehash AND NOT OPENSSL_FOUND)
      message(STATUS "weft: example treehash is skipped: it needs libcrypto (libssl-dev)")
      continue()
    endif()
    string(REPLACE / _ target ${folder}_${name})
    if(folder STREQUAL examples AND name MATCHES "^bench_") # workloads for taskbench, which brings weft
      add_library(${target} MODULE ${source})
      target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include)
      set_target_properties(${target} PROPERTIES
        PREFIX "" OUTPUT_NAME ${name} LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/${folder})
      continue()
    endif()
    add_executable(${target} ${source})
    set_target_properties(${target} PROPERTIES
      OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/${folder})
    target_link_libraries(${target} PRIVATE weft_static m)
    if(NOT folder STREQUAL examples)
      target_compile_definitions(${target} PRIVATE _GNU_SOURCE=)
    endif()
    if(name STREQUAL treehash)
      target_link_libraries(${target} PRIVATE OpenSSL::Crypto)
    endif()
  endforeach()
endforeach()

# The one example of several files.
find_library(HTTP_PARSER http_parser)
find_path(HTTP_PARSER_INCLUDE http_parser.h)
if(HTTP_PARSER AND HTTP_PARSER_INCLUDE)
  file(GLOB sources CONFIGURE_DEPENDS examples/httpd/*.c)
  add_executable(examples_httpd ${sources})
  set_target_properties(examples_httpd PROPERTIES
    OUTPUT_NAME httpd RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples)
  target_include_directories(examples_httpd PRIVATE ${HTTP_PARSER_INCLUDE})
  if(WEFT_TLS)
    target_compile_definitions(examples_httpd PRIVATE HTTPD_TLS=1)
    target_link_libraries(examples_httpd PRIVATE weft_tls)
  endif()
  target_link_libraries(examples_httpd PRIVATE weft_static m ${HTTP_PARSER})
else()
  message(STATUS "weft: example httpd is skipped: it needs http_parser (libhttp-parser-dev)")
endif()
