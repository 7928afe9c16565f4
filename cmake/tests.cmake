# Tests. A file tests/<kind>/**/test_*.c is one executable and one ctest test, named by its path without "tests/" and
# ".c"; the test cases in it are counted by ./dev from what it prints.
#
# A test of the library itself (unit) sees the source tree and links the static library, where internal symbols are
# visible; all others see include/ and their own folder only.

find_library(CRITERION criterion)
set(mini ${WEFT_MINI})
if(NOT CRITERION AND NOT mini)
  message(STATUS "weft: no Criterion: tests use the mini runner")
  set(mini ON)
endif()

# Sanitizers write to files, and the mini runner fails the test that caused one: with stderr alone a leak, or a race
# just before an expected abort, would pass.
set(slow 1)
set(launcher)
if(WEFT_SANITIZE)
  set(slow 4)
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/sanitizer)
  if(WEFT_SANITIZE MATCHES thread)
    # gcc 12's TSan dies at start ("unexpected memory mapping") where vm.mmap_rnd_bits is 32.
    execute_process(COMMAND setarch -R true RESULT_VARIABLE refused OUTPUT_QUIET ERROR_QUIET)
    if(refused EQUAL 0)
      set(launcher setarch -R)
    endif()
  endif()
elseif(CMAKE_CROSSCOMPILING)
  set(slow 10)
endif()

# Where a variable of optimised code is at each instruction took a fifth of the time to compile a test.
set(quick $<$<COMPILE_LANG_AND_ID:C,GNU>:-fno-var-tracking>)

if(NOT WEFT_MODEL)
  add_library(weft_wt OBJECT tests/support/wt.c)
  if(mini)
    target_sources(weft_wt PRIVATE tests/support/mini.c)
  else()
    target_link_libraries(weft_wt PUBLIC ${CRITERION})
  endif()
  target_compile_definitions(weft_wt PUBLIC _GNU_SOURCE= WT_MINI=$<BOOL:${mini}>)
  target_include_directories(weft_wt PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_options(weft_wt PUBLIC ${quick} -Wno-override-init) # wt.h: a default that .timeout overrides
endif()

# Names, labels and limits of a test whose executable is `target`.
function(weft_register name target kind timeout)
  if(launcher)
    add_test(NAME ${name} COMMAND ${launcher} $<TARGET_FILE:${target}> ${ARGN})
  else()
    add_test(NAME ${name} COMMAND ${target} ${ARGN})
  endif()
  math(EXPR timeout "${timeout} * ${slow}")
  set_tests_properties(${name} PROPERTIES LABELS "${kind}" TIMEOUT ${timeout})
  set(environment WT_TIMEOUT_SCALE=${slow})
  if(WEFT_SANITIZE)
    set(log ${PROJECT_BINARY_DIR}/sanitizer/${target})
    list(APPEND environment WT_SANITIZER_LOG=${log})
    foreach(tool ASAN UBSAN TSAN LSAN)
      list(APPEND environment ${tool}_OPTIONS=log_path=${log})
    endforeach()
  endif()
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "${environment}")
endfunction()

function(weft_tests kind timeout)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS tests/${kind}/test_*.c)
  if(CMAKE_CROSSCOMPILING) # by epoll: qemu-user has no io_uring, and is slow
    list(FILTER sources INCLUDE REGEX "/unit/(pool/|io/test_(op|epoll))|/patterns/")
    # What it cannot do: rescue needs rings; RWF_NOWAIT, without which a read of a pipe waits (net_vector, file_copy);
    # openat2 (file_names); lengths beyond the guest's buffers, and MSG_CTRUNC (net_message); errors of an exec in a
    # child of vfork (proc); faults far below a stack (overflow). runtime starts hundreds of runtimes, each of which
    # reserves memory for its stacks, which takes 0.2 s there; steady repeats everything a million times, and val
    # one thing 2^16 times: that is 2 minutes.
    # Since a preadv2(RWF_NOWAIT) is a readv there, a read that comes too late blocks its worker (seen in net_race):
    # what is about descriptors is not run at all.
    set(cannot rescue|proc|overflow|runtime|steady|val|close|loan|io_edges|serve|stream|signal|connection_reuse|cancel|deadlock|exec
      |fork2|gen|poison)
    string(REPLACE ";" "" cannot "${cannot}")
    list(FILTER sources EXCLUDE REGEX "/test_(${cannot}|net_[a-z]*|file_[a-z]*|frame_io|frame_calls)\\.c$")
  elseif(NOT URING_FOUND) # these stand in for the ring's own functions
    list(FILTER sources EXCLUDE REGEX "/test_(uring|faults)")
  endif()
  if(NOT WEFT_TLS)
    list(FILTER sources EXCLUDE REGEX "/test_tls\\.c$")
  endif()
  if(WEFT_SANITIZE) # they stand in for the mutex functions themselves
    list(FILTER sources EXCLUDE REGEX "/test_held\\.c$")
  endif()
  add_custom_target(tests_${kind}) # ./dev test PRESET -L KIND builds no more
  foreach(source ${sources})
    cmake_path(RELATIVE_PATH source BASE_DIRECTORY ${PROJECT_SOURCE_DIR}/tests)
    string(REGEX REPLACE "\\.c$" "" name ${source})
    string(REPLACE / _ target ${name})
    add_executable(${target} tests/${source})
    add_dependencies(tests_${kind} ${target})
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    if(name STREQUAL patterns/test_tls)
      target_link_libraries(${target} PRIVATE weft_tls) # before the archive that it needs
    endif()
    target_link_libraries(${target} PRIVATE weft_static weft_wt m)
    if(kind STREQUAL unit)
      target_link_libraries(${target} PRIVATE weft_internal)
    else()
      # For "tests/support/wt.h" alone: scripts/check_layers sees to it that nothing else is reached this way.
      target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
    endif()
    if(name STREQUAL patterns/test_fork) # which has a `lea` of a thread-local variable, of which as(1) warns
      target_compile_options(${target} PRIVATE -Wa,--no-warn)
    endif()
    if(name STREQUAL patterns/test_held)
      target_link_libraries(${target} PRIVATE weft_debug)
    endif()
    if(kind STREQUAL taskbench)
      target_link_libraries(${target} PRIVATE taskbench_parts)
      target_compile_definitions(${target} PRIVATE TASKBENCH_BENCH="${PROJECT_SOURCE_DIR}/bench"
        TASKBENCH_SCHEMA="${PROJECT_SOURCE_DIR}/bench/schema/taskbench-1.json")
    endif()
    if(kind STREQUAL examples)
      target_compile_definitions(${target} PRIVATE WEFT_EXAMPLES_DIR="${PROJECT_BINARY_DIR}/examples")
    endif()
    set(arguments)
    if(NOT mini)
      set(arguments -j1) # ctest runs the binaries side by side
    endif()
    weft_register(${name} ${target} ${kind} ${timeout} ${arguments})
    if(CMAKE_CROSSCOMPILING AND NOT name MATCHES "/test_backend$") # by choice: then nothing is said about it
      set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT WEFT_IO=epoll)
      set_property(TEST ${name} PROPERTY TIMEOUT 300)
    endif()
    # The same once more by epoll, which "auto" chooses only where io_uring is refused. Not what looks into one
    # driver, or has none.
    if(URING_FOUND AND NOT name MATCHES "^(taskbench/|unit/pool/)|/test_(uring|epoll|op|conformance)")
      weft_register(epoll/${name} ${target} "epoll;${kind}" ${timeout} ${arguments})
      set_property(TEST epoll/${name} APPEND PROPERTY ENVIRONMENT WEFT_IO=epoll)
    endif()
  endforeach()
endfunction()

# Model checking: the harness includes the sources under test, with shimmed atomics, and does not link the library. Where
# the internal checks are: without them it would find less.
if((WEFT_CHECKS OR WEFT_MODEL) AND NOT WEFT_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
  file(GLOB harnesses CONFIGURE_DEPENDS tests/model/model_*.c)
  file(GLOB wloom CONFIGURE_DEPENDS tests/model/wloom*.c)
  if(NOT URING_FOUND) # it includes the sources of the ring
    list(FILTER harnesses EXCLUDE REGEX "/model_rescue\\.c$")
  endif()
  add_library(wloom OBJECT ${wloom} tests/model/absent.c)
  target_compile_definitions(wloom PUBLIC WF_MODEL=1)
  target_compile_options(wloom PUBLIC ${quick})
  target_link_libraries(wloom PUBLIC weft_internal)
  foreach(source ${harnesses})
    cmake_path(GET source STEM name)
    add_executable(${name} ${source})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    target_link_libraries(${name} PRIVATE wloom)
    weft_register(model/${name} ${name} model 600) # alone they take less than 10 s: the limit is for loaded machines
  endforeach()
endif()

if(NOT WEFT_MODEL)
  weft_tests(unit 300)
  weft_tests(patterns 300)
  weft_tests(stress 600)
  if(NOT CMAKE_CROSSCOMPILING) # they start the examples as programs
    weft_tests(examples 300)
    weft_tests(taskbench 120)
    add_test(NAME taskbench/test_cli COMMAND ${PROJECT_SOURCE_DIR}/tests/taskbench/test_cli.sh $<TARGET_FILE:taskbench>)
    set_tests_properties(taskbench/test_cli PROPERTIES LABELS taskbench TIMEOUT 300)
    set(linkable) # what bench/peers/io can link with a plain cc
    if(URING_FOUND AND NOT WEFT_SANITIZE)
      set(linkable $<TARGET_FILE:weft_static>)
    endif()
    add_test(NAME taskbench/test_peers_cli COMMAND ${PROJECT_SOURCE_DIR}/tests/taskbench/test_peers_cli.sh
      $<TARGET_FILE:taskbench> ${PROJECT_SOURCE_DIR} ${linkable})
    set_tests_properties(taskbench/test_peers_cli PROPERTIES LABELS taskbench TIMEOUT 300)
    add_test(NAME taskbench/test_acceptance COMMAND ${launcher}
      ${PROJECT_SOURCE_DIR}/tests/taskbench/test_acceptance.sh $<TARGET_FILE:taskbench> ${PROJECT_SOURCE_DIR})
    set_tests_properties(taskbench/test_acceptance PROPERTIES LABELS taskbench TIMEOUT 300)
    add_library(taskbench_planted MODULE tests/taskbench/planted.c)
    target_include_directories(taskbench_planted PRIVATE ${PROJECT_SOURCE_DIR}/include)
    target_compile_definitions(taskbench_planted PRIVATE _GNU_SOURCE=)
    target_compile_options(taskbench_planted PRIVATE -g)
    set_target_properties(taskbench_planted PROPERTIES PREFIX "" OUTPUT_NAME planted
      LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    foreach(script gate ab_cli scaling)
      add_test(NAME taskbench/test_${script} COMMAND ${launcher} ${PROJECT_SOURCE_DIR}/tests/taskbench/test_${script}.sh
        $<TARGET_FILE:taskbench> $<TARGET_FILE:taskbench_planted> ${PROJECT_BINARY_DIR}/examples/bench_cache.so)
      set_tests_properties(taskbench/test_${script} PROPERTIES LABELS taskbench TIMEOUT 600)
    endforeach()
  endif()
  if(NOT CMAKE_CROSSCOMPILING AND NOT WEFT_SANITIZE)
    # Preloaded; sanitizers want to be first themselves.
    add_library(taskbench_counting MODULE tests/taskbench/counting.c)
    target_link_libraries(taskbench_counting PRIVATE ${CMAKE_DL_LIBS})
    set_target_properties(taskbench_counting PROPERTIES PREFIX "" OUTPUT_NAME counting
      LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    add_test(NAME taskbench/test_mem COMMAND ${PROJECT_SOURCE_DIR}/tests/taskbench/test_mem.sh
      $<TARGET_FILE:taskbench> $<TARGET_FILE:taskbench_counting>)
    set_tests_properties(taskbench/test_mem PROPERTIES LABELS taskbench TIMEOUT 600)
    find_program(CXX_FOR_HEADERS NAMES g++ c++ clang++)
    if(WEFT_TLS)
      add_test(NAME api/headers_tls COMMAND ${PROJECT_SOURCE_DIR}/tests/api/headers.sh
        ${PROJECT_SOURCE_DIR}/tls/include ${CMAKE_C_COMPILER} $<$<BOOL:${CXX_FOR_HEADERS}>:${CXX_FOR_HEADERS}>)
      set_tests_properties(api/headers_tls PROPERTIES LABELS api TIMEOUT 600
        ENVIRONMENT CPATH=${PROJECT_SOURCE_DIR}/include)
    endif()
    add_test(NAME api/headers COMMAND ${PROJECT_SOURCE_DIR}/tests/api/headers.sh
      ${PROJECT_SOURCE_DIR}/include ${CMAKE_C_COMPILER} $<$<BOOL:${CXX_FOR_HEADERS}>:${CXX_FOR_HEADERS}>)
    if(CXX_FOR_HEADERS)
      add_test(NAME api/throws COMMAND ${PROJECT_SOURCE_DIR}/tests/api/throws.sh
        ${PROJECT_SOURCE_DIR}/tests/api/throws.cpp ${PROJECT_SOURCE_DIR}/include $<TARGET_FILE:weft> ${CXX_FOR_HEADERS})
      set_tests_properties(api/throws PROPERTIES LABELS api TIMEOUT 600)
    endif()
    add_test(NAME api/symbols COMMAND ${PROJECT_SOURCE_DIR}/tests/api/symbols.sh
      $<TARGET_FILE:weft> ${PROJECT_SOURCE_DIR}/include ${CMAKE_NM} ${CMAKE_C_COMPILER})
    if(URING_FOUND)
      add_test(NAME api/forked COMMAND ${PROJECT_SOURCE_DIR}/tests/api/forked.sh
        $<TARGET_FILE:weft> ${PROJECT_SOURCE_DIR}/include ${CMAKE_C_COMPILER})
      set_tests_properties(api/forked PROPERTIES LABELS api TIMEOUT 600)
    endif()
    add_test(NAME install/consumer COMMAND ${PROJECT_SOURCE_DIR}/tests/install/run.sh
      ${PROJECT_BINARY_DIR} ${CMAKE_COMMAND} ${CMAKE_C_COMPILER})
    add_test(NAME scripts/check_sync COMMAND ${PROJECT_SOURCE_DIR}/scripts/check_sync --self-test)
    add_test(NAME scripts/check_layers COMMAND ${PROJECT_SOURCE_DIR}/scripts/check_layers --self-test)
    set_tests_properties(api/headers api/symbols install/consumer PROPERTIES LABELS api TIMEOUT 600)
  endif()
endif()
