# sesstab: TLS session resumption for MicroPython boards. `make help` lists what there is.
# Each target sets up what it needs, under .venv and build/, and does nothing twice.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PY := .venv/bin/python
ARCH ?= x64
BOARD ?= UNIX
MPY_DIR := build/src/micropython
JOBS ?= 2

##@ Use it
demo: natmod firmware ## full and resumed TLS handshakes on virtual boards, measured
	$(PY) -m sesstab_tools.demo $(DEMO)

repl: natmod ## a REPL on the board (PORT=..., or a virtual board with PORT=unix)
	.venv/bin/sesstab repl $(if $(PORT),--port $(PORT))

deploy: natmod ## put sesstab onto the board (PORT=...)
	.venv/bin/sesstab deploy $(if $(PORT),--port $(PORT))

##@ Work on it
test: setup-test ## everything: lint, types, all tests on all targets
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/pytest -n $(JOBS) $(PYTEST)

test-quick: setup-test ## the inner loop: the tests that take no minutes
	.venv/bin/pytest -n $(JOBS) -m "not slow" -q $(PYTEST)

bench: setup-test ## measure: handshakes, both engines on the virtual board, the C core beside OpenSSL, sizes
	$(PY) -m sesstab_tools.bench $(BENCH)

natmod: venv ## the native module for ARCH (x64), into dist/natmod/
	@tools/setup/sources.sh micropython
	@$(MAKE) --no-print-directory -f firmware/module/natmod.mk ARCH=$(ARCH) MPY_DIR=$(CURDIR)/$(MPY_DIR) PYTHON=$(CURDIR)/$(PY)

firmware: venv ## firmware with sesstab in it, for BOARD (UNIX), into dist/firmware/
	@JOBS=$(JOBS) tools/setup/firmware.sh $(BOARD)

lint: venv ## put code into shape
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

clean: ## forget what was built (build/download is kept)
	rm -rf dist $(filter-out build/download build/apt build/src build/arm-gcc,$(wildcard build/*))

distclean: ## forget everything that is not in git
	rm -rf .venv build dist

venv:
	@tools/setup/venv.sh

setup-test: natmod firmware
	@tools/setup/test_tools.sh
	@tools/setup/arm_gcc.sh

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo repl deploy test test-quick bench natmod firmware lint clean distclean venv setup-test help
