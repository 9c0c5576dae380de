# Builds the dynamic native module, _sesstab.mpy, for one architecture:
#
#     make -f firmware/module/natmod.mk MPY_DIR=<MicroPython source> ARCH=x64 [BUILD=...] [DIST=...] [PYTHON=python3]
#
# into DIST/<arch>_<mpy version>/. Firmware loads it when its sys.implementation._mpy has that architecture and
# version. PYTHON needs the packages pyelftools and ar.
MODULE_DIR := $(abspath $(dir $(lastword $(MAKEFILE_LIST))))
ROOT := $(abspath $(MODULE_DIR)/../..)

ifeq ($(MPY_DIR),)
$(error MPY_DIR is not set: the folder of a MicroPython source)
endif
ARCH ?= x64
BUILD ?= $(ROOT)/build/natmod/$(ARCH)
DIST ?= $(ROOT)/dist/natmod
PYTHON ?= python3

version = $(shell sed -n 's/^\#define $(1) *(*\([0-9]*\))*.*/\1/p' $(MPY_DIR)/py/persistentcode.h)
TARGET := $(DIST)/$(ARCH)_$(call version,MPY_VERSION).$(call version,MPY_SUB_VERSION)/_sesstab.mpy

.PHONY: natmod
natmod: $(BUILD)/Makefile
	@$(MAKE) -s --no-print-directory -C $(BUILD) MPY_DIR=$(abspath $(MPY_DIR)) ARCH=$(ARCH) PYTHON=$(PYTHON)
	@mkdir -p $(dir $(TARGET))
	@cp $(BUILD)/_sesstab.mpy $(TARGET).new
	@mv $(TARGET).new $(TARGET)
	@echo "$(TARGET:$(ROOT)/%=%): $$(wc -c < $(TARGET)) bytes"

# dynruntime.mk wants a file called Makefile where it runs.
$(BUILD)/Makefile: $(MODULE_DIR)/natmod.mk
	@mkdir -p $(BUILD)
	@printf 'MODULE_DIR = %s\ninclude $$(MODULE_DIR)/natmod-link.mk\n' $(MODULE_DIR) > $@
