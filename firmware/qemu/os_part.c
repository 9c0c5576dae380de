/* Part of extmod/modos.c: os.urandom. */
#include "entropy_emulation_only.h"
#include "py/mperrno.h"

static mp_obj_t mp_os_urandom(mp_obj_t size) {
    vstr_t data;
    vstr_init_len(&data, (size_t)mp_obj_get_int(size));
    if (!emulation_only_random((uint8_t *)data.buf, data.len)) {
        mp_raise_OSError(MP_EIO);
    }
    return mp_obj_new_bytes_from_vstr(&data);
}
static MP_DEFINE_CONST_FUN_OBJ_1(mp_os_urandom_obj, mp_os_urandom);
