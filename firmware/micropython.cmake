# The user C module for CMake ports: -DUSER_C_MODULES=<sesstab>/firmware/micropython.cmake. docs/building.md says more.
#
# Switches, where MicroPython builds Mbed TLS itself (rp2; on esp32, sdkconfig decides):
#     -DSESSTAB_TICKETS=OFF  without session tickets: servers resume TLS 1.2 by session ids only, clients likewise
#     -DSESSTAB_TLS13=ON     with TLS 1.3 (needs tickets)
option(SESSTAB_TICKETS "session tickets" ON)
option(SESSTAB_TLS13 "TLS 1.3" OFF)

add_library(usermod_sesstab INTERFACE)

target_sources(usermod_sesstab INTERFACE
    ${CMAKE_CURRENT_LIST_DIR}/module/modsesstab.c
    ${CMAKE_CURRENT_LIST_DIR}/module/protect.c
    ${CMAKE_CURRENT_LIST_DIR}/module/contexts.c
    ${CMAKE_CURRENT_LIST_DIR}/module/stock_tls.c
    ${CMAKE_CURRENT_LIST_DIR}/module/built_in_tls.c
    ${CMAKE_CURRENT_LIST_DIR}/core/sesstab.c
    ${CMAKE_CURRENT_LIST_DIR}/core/sesstab_snapshot.c
)

target_include_directories(usermod_sesstab INTERFACE
    ${CMAKE_CURRENT_LIST_DIR}/module
    ${CMAKE_CURRENT_LIST_DIR}/core
    ${CMAKE_CURRENT_LIST_DIR}/tls
)

# Mbed TLS: built by MicroPython, or a component of ESP-IDF.
if(TARGET micropy_lib_mbedtls OR ESP_PLATFORM)
    target_sources(usermod_sesstab INTERFACE ${CMAKE_CURRENT_LIST_DIR}/tls/sesstab_mbedtls.c)
endif()

if(TARGET micropy_lib_mbedtls AND (SESSTAB_TICKETS OR SESSTAB_TLS13))
    target_compile_definitions(micropy_lib_mbedtls INTERFACE
        MBEDTLS_USER_CONFIG_FILE="${CMAKE_CURRENT_LIST_DIR}/module/sesstab_mbedtls_config.h"
        SESSTAB_TICKETS=1
    )
    if(SESSTAB_TLS13)
        # What MicroPython's own list of Mbed TLS's sources lacks.
        file(GLOB SESSTAB_MBEDTLS_SOURCES
            ${MICROPY_LIB_MBEDTLS_DIR}/library/hkdf.c
            ${MICROPY_LIB_MBEDTLS_DIR}/library/psa_*.c
            ${MICROPY_LIB_MBEDTLS_DIR}/library/ssl_tls13_*.c
        )
        target_sources(micropy_lib_mbedtls INTERFACE ${SESSTAB_MBEDTLS_SOURCES})
        target_compile_definitions(micropy_lib_mbedtls INTERFACE SESSTAB_TLS13=1)
        target_link_options(usermod_sesstab INTERFACE -Wl,--wrap=psa_crypto_init)
    endif()
endif()

target_link_libraries(usermod INTERFACE usermod_sesstab)
