/* Mbed TLS as MicroPython's bare boards configure it, with its session cache, which MicroPython leaves out. */
#define MICROPY_MBEDTLS_CONFIG_BARE_METAL 1
#include <extmod/mbedtls/mbedtls_config_common.h>

#undef MBEDTLS_PLATFORM_STD_CALLOC
#undef MBEDTLS_PLATFORM_STD_FREE
#undef MBEDTLS_PLATFORM_SNPRINTF_MACRO
#define MBEDTLS_SSL_CACHE_C
#define MBEDTLS_PLATFORM_CALLOC_MACRO peer_calloc
#define MBEDTLS_PLATFORM_FREE_MACRO peer_free
#define MBEDTLS_PLATFORM_TIME_MACRO peer_time
#define MBEDTLS_PLATFORM_MS_TIME_ALT

void *peer_calloc(size_t n, size_t size);
void peer_free(void *memory);
