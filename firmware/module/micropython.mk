# The user C module for Make ports: make USER_C_MODULES=<sesstab>/firmware
SESSTAB_MODULE_DIR := $(USERMOD_DIR)
SESSTAB_CORE_DIR := $(USERMOD_DIR)/../core

SRC_USERMOD_C += $(addprefix $(SESSTAB_MODULE_DIR)/, modsesstab.c protect.c stock_tls.c)
SRC_USERMOD_LIB_C += $(addprefix $(SESSTAB_CORE_DIR)/, sesstab.c sesstab_snapshot.c)
CFLAGS_USERMOD += -I$(SESSTAB_MODULE_DIR) -I$(SESSTAB_CORE_DIR)
