# Compiler settings for every target of the project.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths below the sources count from there: clones in other directories find the same results.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_NOHASHDIR=1
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} ${CCACHE})
endif()

# A fused multiply-add rounds once where two operations round twice: without this, another CPU
# could decode other bits.
add_compile_options(-ffp-contract=off)

if(BITSNAP_SANITIZE)
  add_compile_options(-fsanitize=${BITSNAP_SANITIZE} -fno-sanitize-recover=all
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${BITSNAP_SANITIZE})
endif()

# GCC 12 sees overlapping copies in plain string concatenations, hence -Wno-restrict, which clang
# does not know.
set(BITSNAP_WARNINGS -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion
                     -Wno-missing-field-initializers $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
                     -Werror)
