/*
 * Random numbers for the emulated board only: Linux, whose calls QEMU emulates, has them. A real chip with this core, such
 * as the ESP32, has no Linux, and this file compiles for the emulated board alone.
 */
#ifndef QEMU_XTENSA_USER
#error this source of random numbers exists in an emulator only
#endif

#include "../qemu/entropy_emulation_only.h"
#include "linux.h"

bool emulation_only_random(uint8_t *data, size_t size) {
    return linux_random(data, size) == (int)size;
}
