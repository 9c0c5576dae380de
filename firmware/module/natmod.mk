# Included by the Makefile that ./Makefile writes into the build folder, and run there: then the paths inside the
# .mpy are short, and the same wherever it is built.
MOD = _sesstab
SRC = modsesstab.c protect.c stock_tls.c sesstab.c
override BUILD = o
VPATH = $(MODULE_DIR) $(MODULE_DIR)/../core
CFLAGS += -I$(MODULE_DIR) -I$(MODULE_DIR)/../core -Wextra -Wno-unused-parameter
CFLAGS += -fno-jump-tables -fno-tree-loop-distribute-patterns

include $(MPY_DIR)/py/dynruntime.mk

$(SRC_O): $(MODULE_DIR)/module.h $(MODULE_DIR)/../core/sesstab.h $(MODULE_DIR)/natmod.mk
