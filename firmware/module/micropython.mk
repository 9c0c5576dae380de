# The user C module for Make ports: make USER_C_MODULES=<sesstab>/firmware. docs/building.md says more.
#
# Switches, for firmware with Mbed TLS:
#     SESSTAB_TICKETS=0  without session tickets: servers resume TLS 1.2 by session ids only, clients likewise
#     SESSTAB_TLS13=1    with TLS 1.3 (needs tickets)
SESSTAB_MODULE_DIR := $(USERMOD_DIR)
SESSTAB_CORE_DIR := $(USERMOD_DIR)/../core
SESSTAB_TLS_DIR := $(USERMOD_DIR)/../tls
SESSTAB_TICKETS ?= 1
SESSTAB_TLS13 ?= 0

SRC_USERMOD_C += $(addprefix $(SESSTAB_MODULE_DIR)/, modsesstab.c protect.c contexts.c stock_tls.c \
	built_in_tls.c)
SRC_USERMOD_LIB_C += $(addprefix $(SESSTAB_CORE_DIR)/, sesstab.c sesstab_snapshot.c)
CFLAGS_USERMOD += -I$(SESSTAB_MODULE_DIR) -I$(SESSTAB_CORE_DIR) -I$(SESSTAB_TLS_DIR)

ifeq ($(MICROPY_SSL_MBEDTLS),1)
SRC_USERMOD_LIB_C += $(SESSTAB_TLS_DIR)/sesstab_mbedtls.c
ifneq ($(filter 1,$(SESSTAB_TICKETS) $(SESSTAB_TLS13)),)
CFLAGS_USERMOD += -DSESSTAB_TICKETS '-DMBEDTLS_USER_CONFIG_FILE="sesstab_mbedtls_config.h"'
endif
ifeq ($(SESSTAB_TLS13),1)
CFLAGS_USERMOD += -DSESSTAB_TLS13
LDFLAGS_USERMOD += -Wl,--wrap=psa_crypto_init
# What MicroPython's own list of Mbed TLS's sources lacks.
SRC_USERMOD_LIB_C += $(patsubst $(TOP)/%, %, $(wildcard \
	$(addprefix $(TOP)/lib/mbedtls/library/, hkdf.c psa_*.c ssl_tls13_*.c)))
endif
endif
