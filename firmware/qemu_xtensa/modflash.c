/*
 * The module flash: memory that keeps its contents while the board is reset, a file on the host. It is a block device
 * as vfs.VfsLfs2 and vfs.VfsFat take it.
 */
#include "linux.h"
#include "py/mperrno.h"
#include "py/runtime.h"
#include "py/mphal.h"
#include "extmod/vfs.h"
#include "lib/oofatfs/ff.h"
#include "shared/timeutils/timeutils.h"

#define BLOCK 4096
#define BLOCKS 512

static int file;

bool flash_open(const char *path);
bool flash_open(const char *path) {
    file = linux_open(path);
    return file >= 0 && linux_resize(file, BLOCK * BLOCKS) == 0;
}

static void transfer(size_t n, const mp_obj_t *args, int flags, int (*move)(mp_buffer_info_t *buffer)) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(args[1], &buffer, flags);
    size_t block = (size_t)mp_obj_get_int(args[0]);
    size_t offset = n > 2 ? (size_t)mp_obj_get_int(args[2]) : 0;
    size_t room = BLOCK * BLOCKS - offset;
    if (block >= BLOCKS || offset >= BLOCK || buffer.len > room - block * BLOCK) {
        mp_raise_OSError(MP_EINVAL);
    }
    if (linux_seek(file, block * BLOCK + offset) < 0 || move(&buffer) != (int)buffer.len) {
        mp_raise_OSError(MP_EIO);
    }
}

static int read_buffer(mp_buffer_info_t *buffer) {
    return linux_read(file, buffer->buf, buffer->len);
}

static int write_buffer(mp_buffer_info_t *buffer) {
    return linux_write(file, buffer->buf, buffer->len);
}

/* When files of a FAT file system are written. */
DWORD get_fattime(void) {
    timeutils_struct_time_t now;
    timeutils_seconds_since_epoch_to_struct_time((mp_uint_t)(mp_hal_time_ns() / 1000000000u), &now);
    return (DWORD)((now.tm_year - 1980) << 25 | now.tm_mon << 21 | now.tm_mday << 16 | now.tm_hour << 11
        | now.tm_min << 5 | now.tm_sec >> 1);
}

static mp_obj_t flash_readblocks(size_t n, const mp_obj_t *args) {
    transfer(n, args, MP_BUFFER_WRITE, read_buffer);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(flash_readblocks_obj, 2, 3, flash_readblocks);

static mp_obj_t flash_writeblocks(size_t n, const mp_obj_t *args) {
    transfer(n, args, MP_BUFFER_READ, write_buffer);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(flash_writeblocks_obj, 2, 3, flash_writeblocks);

static mp_obj_t flash_ioctl(mp_obj_t operation, mp_obj_t argument) {
    (void)argument;
    switch (mp_obj_get_int(operation)) {
        case MP_BLOCKDEV_IOCTL_INIT:
        case MP_BLOCKDEV_IOCTL_DEINIT:
        case MP_BLOCKDEV_IOCTL_SYNC:
        case MP_BLOCKDEV_IOCTL_BLOCK_ERASE:
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
