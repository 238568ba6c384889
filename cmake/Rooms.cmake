# A room is a folder of src/ with one target of its own; DESIGN's include law is checked by
# scripts/check_includes.py. All rooms together make the library `bitsnap`.

# bitsnap_room(name SOURCES … DEPENDS other rooms … LIBRARIES third-party targets …)
function(bitsnap_room name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LIBRARIES" ${ARGN})
  add_library(bitsnap_${name} OBJECT ${ARG_SOURCES})
  list(TRANSFORM ARG_DEPENDS PREPEND bitsnap_)
  target_include_directories(bitsnap_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include
                                                    ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(bitsnap_${name} PUBLIC tl::expected fmt::fmt Threads::Threads
                                               ${ARG_LIBRARIES} ${ARG_DEPENDS})
  target_compile_options(bitsnap_${name} PRIVATE ${BITSNAP_WARNINGS})
  set_property(GLOBAL APPEND PROPERTY BITSNAP_ROOMS bitsnap_${name})
endfunction()

# bitsnap_test(name SOURCES … LIBRARIES …): a GoogleTest program over the whole library, internals
# included. Unit tests stand beside the code they test.
function(bitsnap_test name)
  if(NOT BITSNAP_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name}_test ${ARG_SOURCES})
  target_include_directories(${name}_test PRIVATE ${PROJECT_SOURCE_DIR}/src
                                                  ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name}_test PRIVATE bitsnap GTest::gmock GTest::gtest GTest::gtest_main
                                             rapidcheck ${ARG_LIBRARIES})
  target_compile_options(${name}_test PRIVATE ${BITSNAP_WARNINGS})
  gtest_discover_tests(${name}_test DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600)
endfunction()
