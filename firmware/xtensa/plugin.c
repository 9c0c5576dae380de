/*
 * Teaches GNU binutils a core of Xtensa: assembler, linker and objdump load this as a shared library, named by
 * XTENSA_GNU_CONFIG, and take from it which instructions there are and how they are encoded.
 *
 * Debian's compiler for Xtensa is one for the ESP8266, whose core has no register windows, so its assembler knows no
 * ENTRY, CALL8 or RETW. The core here is dc233c, whose description comes with QEMU. tools/setup/xtensa_gcc.sh builds
 * this; docs/emulation.md compares the core with those of ESP32 and ESP32-S3.
 */
#include <stdint.h>
#define uint32 uint32_t /* as the headers of binutils call it */

#include "ansidecl.h"
#include "core-isa.h"

/* What the core's description leaves to the tools. The ESP32 has no absolute literals either. */
#define XSHAL_USE_ABSOLUTE_LITERALS 0
#define XSHAL_HAVE_TEXT_SECTION_LITERALS 1
#define XTHAL_ABI_WINDOWED 0
#define XTHAL_ABI_CALL0 1
#define XSHAL_ABI XTHAL_ABI_WINDOWED
#define XCHAL_HAVE_MMU XCHAL_HAVE_PTP_MMU
#define XTENSA_MARCH_LATEST 0
#define XTENSA_MARCH_EARLIEST 0

/* Options that were invented after this core. */
#define XCHAL_HAVE_FP_DIV 0
#define XCHAL_HAVE_FP_RECIP 0
#define XCHAL_HAVE_FP_SQRT 0
#define XCHAL_HAVE_FP_RSQRT 0

#define XTENSA_CONFIG_DEFINITION
#include "xtensa-dynconfig.h"
XTENSA_CONFIG_INSTANCE_LIST;

#include "xtensa-modules.c.inc"
