/* What Mbed TLS asks of a port: entropy, and the time. */
#include "../qemu/entropy_emulation_only.h"
#include "linux.h"
#include "mbedtls_config_port.h"

#include "mbedtls/entropy.h"
#include "mbedtls/platform_time.h"

int mbedtls_hardware_poll(void *data, unsigned char *output, size_t size, size_t *written) {
    (void)data;
    if (!emulation_only_random(output, size)) {
        return MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
    }
    *written = size;
    return 0;
}

time_t mbedtls_port_time(time_t *result) {
    time_t now = (time_t)(linux_nanoseconds(LINUX_REALTIME) / 1000000000u);
    if (result) {
        *result = now;
    }
    return now;
}

mbedtls_ms_time_t mbedtls_ms_time(void) {
    return (mbedtls_ms_time_t)(linux_nanoseconds(LINUX_MONOTONIC) / 1000000);
}
