/*
 * Random numbers for emulated boards only: the emulator gets them from the host's operating system. A real chip cannot
 * do that, and this file compiles for QEMU's boards alone.
 */
#if !defined(QEMU_SOC_MPS2) && !defined(QEMU_SOC_NRF51) && !defined(QEMU_SOC_VIRT)
#error this source of random numbers exists in an emulator only
#endif

#include "entropy_emulation_only.h"
#include "semihosting.h"

bool emulation_only_random(uint8_t *data, size_t size) {
    return host_read("/dev/urandom", data, size);
}
