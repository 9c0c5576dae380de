/* Mbed TLS as MicroPython's boards have it. */
#ifndef MBEDTLS_CONFIG_PORT_H
#define MBEDTLS_CONFIG_PORT_H

#include <time.h>

#define MBEDTLS_ECP_NIST_OPTIM
time_t mbedtls_port_time(time_t *result);
#define MBEDTLS_PLATFORM_TIME_MACRO mbedtls_port_time
#define MBEDTLS_PLATFORM_MS_TIME_ALT
#define MICROPY_MBEDTLS_CONFIG_BARE_METAL (1)
#include "extmod/mbedtls/mbedtls_config_common.h"

#endif
