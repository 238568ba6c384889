# What `cmake --install` gives: library, public headers, the command, and a package for
# find_package(bitsnap).
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/bitsnap)

install(TARGETS bitsnap EXPORT bitsnapTargets)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/bitsnap TYPE INCLUDE)
if(TARGET bitsnap_cli)
  install(TARGETS bitsnap_cli)
endif()

install(EXPORT bitsnapTargets NAMESPACE bitsnap:: DESTINATION ${package_dir})
configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/bitsnapConfig.cmake.in ${PROJECT_BINARY_DIR}/bitsnapConfig.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/bitsnapConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/bitsnapConfig.cmake
              ${PROJECT_BINARY_DIR}/bitsnapConfigVersion.cmake
        DESTINATION ${package_dir})
