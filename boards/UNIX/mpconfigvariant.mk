# MicroPython for unix with sesstab built in: `make firmware BOARD=UNIX` runs the port's own makefile with this
# folder as its VARIANT_DIR.
PROG ?= micropython
FROZEN_MANIFEST ?= $(VARIANT_DIR)/manifest.py

# What needs further sources or libraries, and sesstab does not need.
MICROPY_PY_BTREE = 0
MICROPY_PY_FFI = 0

# Nothing is frozen from micropython-lib, but the port's makefile wants a README.md where that is.
MPY_LIB_DIR = $(VARIANT_DIR)

# The REPL that boards have; see repl.c.
SHARED_SRC_C_EXTRA += runtime/pyexec.c

SESSTAB_TLS13 ?= 1

# So that mbedtls_heap.c can count what Mbed TLS allocates.
CFLAGS += -DMBEDTLS_PLATFORM_MEMORY
