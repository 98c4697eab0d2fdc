# Headers, both libraries, the program, pkg-config and CMake package files.
install(FILES core/syncline.h core/syncline_editor.h core/change.h proto/syncline_bytes.h net/syncline_client.h net/syncline_server.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS syncline syncline_static EXPORT syncline
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS syncline_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
# Both package files find the rest from where they stand, so `cmake --install --prefix` elsewhere works.
file(RELATIVE_PATH SYN_UP "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
string(REGEX REPLACE "/$" "" SYN_UP "${SYN_UP}")
configure_file(cmake/syncline.pc.in syncline.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/syncline.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
include(CMakePackageConfigHelpers)
configure_package_config_file(cmake/synclineConfig.cmake.in synclineConfig.cmake
        INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/syncline
        PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(synclineConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/synclineConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/synclineConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/syncline)
# What other programs read: the protocol, the HTTP API, a dashboard, a unit.
install(FILES proto/syncline.proto proto/PROTOCOL.md net/openapi.json packaging/grafana.json packaging/syncline.service
        DESTINATION ${CMAKE_INSTALL_DATADIR}/syncline)
