# The inner half of natmod.mk, which runs it in the build folder: then the paths that the linker puts into the .mpy
# are short, and the same wherever it is built.
MOD = _sesstab
SRC = modsesstab.c protect.c contexts.c stock_tls.c sesstab.c sesstab_snapshot.c
override BUILD = o
VPATH = $(MODULE_DIR) $(MODULE_DIR)/../core
CFLAGS += -I$(MODULE_DIR) -I$(MODULE_DIR)/../core -Wextra -Wno-unused-parameter
CFLAGS += -fno-jump-tables -fno-tree-loop-distribute-patterns
# On Xtensa, MicroPython's linker takes what two files have at the same offset of sections with the same name for one
# thing. So each file's sections get names of their own.
ifeq ($(ARCH),xtensawin)
CFLAGS += $(foreach section,.text .rodata.str1.1 .data.rel.ro .bss,-Wa,--rename-section,$(section)=$(section).$(*F))
endif

include $(MPY_DIR)/py/dynruntime.mk

$(SRC_O): $(MODULE_DIR)/module.h $(wildcard $(MODULE_DIR)/../core/*.h) $(MODULE_DIR)/natmod-link.mk
