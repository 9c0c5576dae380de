/* Part of extmod/modtime.c: the time of day, in UTC. */
#include "shared/timeutils/timeutils.h"

static mp_obj_t mp_time_time_get(void) {
    return mp_obj_new_int_from_ull(mp_hal_time_ns() / 1000000000u);
}

static mp_obj_t mp_time_localtime_get(void) {
    timeutils_struct_time_t time;
    timeutils_seconds_since_epoch_to_struct_time((mp_uint_t)(mp_hal_time_ns() / 1000000000u), &time);
    mp_obj_t parts[8] = {
        MP_OBJ_NEW_SMALL_INT(time.tm_year), MP_OBJ_NEW_SMALL_INT(time.tm_mon), MP_OBJ_NEW_SMALL_INT(time.tm_mday),
        MP_OBJ_NEW_SMALL_INT(time.tm_hour), MP_OBJ_NEW_SMALL_INT(time.tm_min), MP_OBJ_NEW_SMALL_INT(time.tm_sec),
        MP_OBJ_NEW_SMALL_INT(time.tm_wday), MP_OBJ_NEW_SMALL_INT(time.tm_yday),
    };
    return mp_obj_new_tuple(8, parts);
}
