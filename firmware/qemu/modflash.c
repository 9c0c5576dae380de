/*
 * The module flash: memory outside MicroPython's heap that resets leave alone, and that is gone when QEMU ends. It is a
 * block device as vfs.VfsLfs2 takes it.
 */
#include <string.h>

#include "machine.h"
#include "py/mperrno.h"
#include "py/runtime.h"
#include "extmod/vfs.h"

#define BLOCK 4096
#define BLOCKS (FLASH_SIZE / BLOCK)
#define ERASED 0xff

static uint8_t *place(size_t n, const mp_obj_t *args, mp_buffer_info_t *buffer, mp_uint_t flags) {
    mp_get_buffer_raise(args[1], buffer, flags);
    size_t block = (size_t)mp_obj_get_int(args[0]);
    size_t offset = n > 2 ? (size_t)mp_obj_get_int(args[2]) : 0;
    if (block >= BLOCKS || offset >= BLOCK || buffer->len > FLASH_SIZE - offset - block * BLOCK) {
        mp_raise_OSError(MP_EINVAL);
    }
    return FLASH + block * BLOCK + offset;
}

static mp_obj_t flash_readblocks(size_t n, const mp_obj_t *args) {
    mp_buffer_info_t buffer;
    const uint8_t *from = place(n, args, &buffer, MP_BUFFER_WRITE);
    memcpy(buffer.buf, from, buffer.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(flash_readblocks_obj, 2, 3, flash_readblocks);

static mp_obj_t flash_writeblocks(size_t n, const mp_obj_t *args) {
    mp_buffer_info_t buffer;
    uint8_t *to = place(n, args, &buffer, MP_BUFFER_READ);
    memcpy(to, buffer.buf, buffer.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(flash_writeblocks_obj, 2, 3, flash_writeblocks);

static mp_obj_t flash_ioctl(mp_obj_t operation, mp_obj_t argument) {
    switch (mp_obj_get_int(operation)) {
        case MP_BLOCKDEV_IOCTL_BLOCK_ERASE: {
            size_t block = (size_t)mp_obj_get_int(argument);
            if (block >= BLOCKS) {
                mp_raise_OSError(MP_EINVAL);
            }
            memset(FLASH + block * BLOCK, ERASED, BLOCK);
            return MP_OBJ_NEW_SMALL_INT(0);
        }
        case MP_BLOCKDEV_IOCTL_INIT:
        case MP_BLOCKDEV_IOCTL_DEINIT:
        case MP_BLOCKDEV_IOCTL_SYNC:
            return MP_OBJ_NEW_SMALL_INT(0);
        case MP_BLOCKDEV_IOCTL_BLOCK_COUNT:
            return MP_OBJ_NEW_SMALL_INT(BLOCKS);
        case MP_BLOCKDEV_IOCTL_BLOCK_SIZE:
            return MP_OBJ_NEW_SMALL_INT(BLOCK);
        default:
            return mp_const_none;
    }
}
static MP_DEFINE_CONST_FUN_OBJ_2(flash_ioctl_obj, flash_ioctl);

static const mp_rom_map_elem_t flash_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_flash)},
    {MP_ROM_QSTR(MP_QSTR_readblocks), MP_ROM_PTR(&flash_readblocks_obj)},
    {MP_ROM_QSTR(MP_QSTR_writeblocks), MP_ROM_PTR(&flash_writeblocks_obj)},
    {MP_ROM_QSTR(MP_QSTR_ioctl), MP_ROM_PTR(&flash_ioctl_obj)},
};
static MP_DEFINE_CONST_DICT(flash_globals, flash_globals_table);

const mp_obj_module_t flash_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&flash_globals,
};
MP_REGISTER_MODULE(MP_QSTR_flash, flash_module);
