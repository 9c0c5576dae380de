/* What MicroPython for QEMU has beyond the port's own mpconfigport.h: what boards have. */
#ifndef SESSTAB_QEMU_CONFIG_H
#define SESSTAB_QEMU_CONFIG_H

#include "mpconfigport.h"

#undef MICROPY_PY_SELECT
#undef MICROPY_PY_TIME
#undef MICROPY_PY_ASYNCIO
#undef MICROPY_PY_SYS_STDIO_BUFFER
#undef MICROPY_PY_MACHINE_INCLUDEFILE
#define MICROPY_PY_SELECT (1)
#define MICROPY_PY_TIME (1)
#define MICROPY_PY_ASYNCIO (1)
#define MICROPY_PY_SYS_STDIO_BUFFER (1)
#define MICROPY_PY_MACHINE_INCLUDEFILE "machine_part.c"

#define MICROPY_EPOCH_IS_1970 (1)
#define MICROPY_PY_TIME_GMTIME_LOCALTIME_MKTIME (1)
#define MICROPY_PY_TIME_TIME_TIME_NS (1)
#define MICROPY_PY_TIME_INCLUDEFILE "../qemu_xtensa/time_part.c"
#define MICROPY_PY_OS_INCLUDEFILE "os_part.c"
#define MICROPY_PY_OS_UNAME (1)
#define MICROPY_PY_OS_URANDOM (1)
#define MICROPY_PY_HASHLIB_MD5 (1)
#define MICROPY_PY_HASHLIB_SHA1 (1)
#define MICROPY_TRACKED_ALLOC (1)
#define MICROPY_SCHEDULER_STATIC_NODES (1)
#define MICROPY_USE_INTERNAL_ERRNO (1)

/* The port loads no native code on the nRF51, which its tests do without; other boards of this kind do. */
#if defined(QEMU_SOC_NRF51)
#define MICROPY_EMIT_THUMB (1)
#define MICROPY_EMIT_THUMB_ARMV7M (0)
#endif

#if defined(__riscv)
#undef MICROPY_HW_MCU_NAME /* the build's has compiler flags in it */
#define MICROPY_HW_MCU_NAME "rv32imac"
#endif

/* The serial line interrupts nothing: what runs looks for Ctrl-C at times, and what waits sleeps. */
void hal_take_input(void);
void hal_wait(int milliseconds);
#define MICROPY_INTERNAL_WFE(TIMEOUT_MS) hal_wait((int)(TIMEOUT_MS))
#define MICROPY_VM_HOOK_COUNT (256)
#define MICROPY_VM_HOOK_INIT static unsigned int vm_hook_divisor = MICROPY_VM_HOOK_COUNT;
#define MICROPY_VM_HOOK_LOOP \
    if (--vm_hook_divisor == 0) { \
        vm_hook_divisor = MICROPY_VM_HOOK_COUNT; \
        hal_take_input(); \
    }

#endif
