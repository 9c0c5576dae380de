/* What Mbed TLS asks of a port: entropy, and the time. */
#include "entropy_emulation_only.h"
#include "py/mphal.h"
#include "shared/timeutils/timeutils.h"

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
    time_t now = (time_t)(mp_hal_time_ns() / 1000000000u);
    if (result) {
        *result = now;
    }
    return now;
}

mbedtls_ms_time_t mbedtls_ms_time(void) {
    return (mbedtls_ms_time_t)mp_hal_ticks_ms();
}

struct tm *gmtime(const time_t *when) {
    static struct tm result;
    timeutils_struct_time_t parts;
    timeutils_seconds_since_epoch_to_struct_time((mp_uint_t)*when, &parts);
    result = (struct tm) {
        .tm_sec = parts.tm_sec,
        .tm_min = parts.tm_min,
        .tm_hour = parts.tm_hour,
        .tm_mday = parts.tm_mday,
        .tm_mon = parts.tm_mon - 1,
        .tm_year = parts.tm_year - 1900,
        .tm_wday = (parts.tm_wday + 1) % 7,
        .tm_yday = parts.tm_yday - 1,
        .tm_isdst = -1,
    };
    return &result;
}
