# The port's board of the name MICROPY_BOARD, with sesstab's configuration of Mbed TLS on top.
include(${CMAKE_SOURCE_DIR}/boards/${MICROPY_BOARD}/mpconfigboard.cmake)
list(APPEND SDKCONFIG_DEFAULTS ${MICROPY_BOARD_DIR}/sdkconfig.sesstab)
# For its mpconfigboard.h.
include_directories(${CMAKE_SOURCE_DIR}/boards/${MICROPY_BOARD})
