/* What shared/libc of MicroPython lacks of the C library. */
#include <stdbool.h>
#include <time.h>

#include "linux.h"
#include "py/mpconfig.h"
#include "shared/timeutils/timeutils.h"

void abort(void) {
    linux_exit(134);
}

int *__errno(void);
int *__errno(void) {
    static int number;
    return &number;
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
