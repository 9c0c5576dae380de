# MicroPython's port for QEMU (ports/qemu) has no clock, no select, no files and no TLS. This adds them, from outside:
#
#     make -C <MicroPython>/ports/qemu BOARD=MICROBIT BOARD_DIR=<here>
#
# for the port's boards MICROBIT, MPS2_AN385 and VIRT_RV32. The port's makefile includes this file in place of the
# board's own. tools/setup/firmware/qemu.sh calls it.
include boards/$(BOARD)/mpconfigboard.mk

# The port's functions that make way for those here.
wrapped = main mp_hal_stdio_poll mp_hal_stdin_rx_chr mp_hal_stdout_tx_strn

SRC_C += \
	board.c \
	entropy_emulation_only.c \
	hal.c \
	machine.c \
	mbedtls_port.c \
	modflash.c \
	semihosting.c \
	shared/timeutils/timeutils.c
vpath %.c $(BOARD_DIR)

CFLAGS += '-DMP_CONFIGFILE="qemu_config.h"' -I$(BOARD_DIR)
LDFLAGS += $(addprefix -Wl$(comma)--wrap=, $(wrapped))
comma = ,
FROZEN_MANIFEST ?= $(BOARD_DIR)/manifest.py
# Nothing is frozen from micropython-lib, but the build wants a README.md where that is.
MPY_LIB_DIR = $(BOARD_DIR)/../..

MICROPY_VFS_LFS2 = 1
MICROPY_PY_SSL = 1
MICROPY_SSL_MBEDTLS = 1
MBEDTLS_CONFIG_FILE = \"mbedtls_config_port.h\"
CFLAGS += -I$(BOARD_DIR)/../qemu_xtensa/mbedtls

ifeq ($(QEMU_ARCH),arm)
LDFLAGS += -T $(BOARD_DIR)/no_unwinding.ld
endif
ifeq ($(QEMU_ARCH),riscv32)
# GCC 12's libgcc for rv32imac is not found by the name with zicsr; the older ISA has that in it.
RV32_ARCH = rv32imac -misa-spec=2.2
# The port's linker script knows .data and .bss alone, and what it does not know is not cleared at a reset.
CFLAGS_EXTRA += -fno-data-sections -msmall-data-limit=0
# The C library's headers are enough, as on ARM.
LDFLAGS += -nostdlib
LIBS = -lgcc
endif
