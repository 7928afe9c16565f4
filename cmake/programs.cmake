# taskbench, examples, bench: programs that see weft as a user does.
find_library(JEMALLOC jemalloc)
find_package(OpenSSL QUIET COMPONENTS Crypto)

# All of taskbench but main.c is a library, so that tests/taskbench can look at the parts.
file(GLOB sources CONFIGURE_DEPENDS tools/taskbench/*.c)
list(FILTER sources EXCLUDE REGEX "/main\\.c$")
add_library(taskbench_parts STATIC ${sources})
target_include_directories(taskbench_parts INTERFACE tools/taskbench)
target_link_libraries(taskbench_parts PUBLIC weft_static m)
add_executable(taskbench tools/taskbench/main.c)
target_link_libraries(taskbench PRIVATE taskbench_parts)
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

# To be linked while looking for mutexes that are held across a wait.
add_library(weft_debug STATIC tools/debug/held.c)
target_compile_definitions(weft_debug PRIVATE _GNU_SOURCE=)
target_link_libraries(weft_debug PUBLIC weft_static ${CMAKE_DL_LIBS})

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
