# The user C module for CMake ports: -DUSER_C_MODULES=<sesstab>/firmware/micropython.cmake
add_library(usermod_sesstab INTERFACE)

target_sources(usermod_sesstab INTERFACE
    ${CMAKE_CURRENT_LIST_DIR}/module/modsesstab.c
    ${CMAKE_CURRENT_LIST_DIR}/module/protect.c
    ${CMAKE_CURRENT_LIST_DIR}/module/stock_tls.c
    ${CMAKE_CURRENT_LIST_DIR}/core/sesstab.c
    ${CMAKE_CURRENT_LIST_DIR}/core/sesstab_snapshot.c
)

target_include_directories(usermod_sesstab INTERFACE
    ${CMAKE_CURRENT_LIST_DIR}/module
    ${CMAKE_CURRENT_LIST_DIR}/core
)

target_link_libraries(usermod INTERFACE usermod_sesstab)
