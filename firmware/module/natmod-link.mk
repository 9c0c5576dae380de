# The inner half of natmod.mk, which runs it in the build folder: then the paths that the linker puts into the .mpy
# are short, and the same wherever it is built.
MOD = _sesstab
SRC = modsesstab.c protect.c contexts.c stock_tls.c sesstab.c sesstab_snapshot.c
override BUILD = o
VPATH = $(MODULE_DIR) $(MODULE_DIR)/../core
CFLAGS += -I$(MODULE_DIR) -I$(MODULE_DIR)/../core -Wextra -Wno-unused-parameter
CFLAGS += -fno-jump-tables -fno-tree-loop-distribute-patterns

include $(MPY_DIR)/py/dynruntime.mk

$(SRC_O): $(MODULE_DIR)/module.h $(wildcard $(MODULE_DIR)/../core/*.h) $(MODULE_DIR)/natmod-link.mk
