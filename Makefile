# sesstab: TLS session resumption for MicroPython boards. `make help` lists what there is.
# Each target sets up what it needs, under .venv and build/, and does nothing twice.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PY := .venv/bin/python
JOBS ?= 2
# A folder of boards/, the board's serial port (a device, or any URL of pyserial), and an architecture. From the command
# line only: in the environment these names are other programs' (PORT=3000).
BOARD :=
PORT :=
ARCH :=
on_port := $(if $(PORT),--port $(PORT))
# Of the firmware: docs/building.md.
switches := $(foreach name,SESSTAB_TICKETS SESSTAB_TLS13,$(if $($(name)),$(name)=$($(name))))

##@ Use it
demo: venv ## full and resumed TLS handshakes, measured, on virtual boards or on BOARD
	@tools/setup/$(if $(BOARD),board.sh $(BOARD),$(if $(PORT),natmod.sh all,board.sh UNIX))
	$(PY) -m sesstab_tools.demo $(if $(BOARD),--board $(BOARD)) $(on_port) $(DEMO)

firmware: venv ## firmware with sesstab in it, for BOARD (UNIX), into dist/firmware/
	@JOBS=$(JOBS) tools/setup/firmware.sh $(or $(BOARD),UNIX) $(switches)

natmod: venv ## the native module for ARCH (all), into dist/natmod/
	@tools/setup/natmod.sh $(or $(ARCH),all)

flash: $(if $(BOARD),firmware,no-board) ## put that firmware onto the board (BOARD=..., PORT=... where it has one)
	.venv/bin/sesstab flash $(BOARD) $(on_port)

deploy: natmod ## put sesstab onto a board with firmware of its own (PORT=...)
	.venv/bin/sesstab deploy $(on_port)

repl: venv ## a REPL on the board (PORT=..., or PORT=unix, PORT=RPI_PICO and so on for a virtual one)
	.venv/bin/sesstab repl $(on_port)

monitor: venv ## watch the session table of a running board (PORT=...)
	.venv/bin/sesstab monitor $(on_port)

##@ Work on it
test: setup-test ## everything: lint, types, all tests on all targets
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/pytest -n $(JOBS) $(PYTEST)

test-quick: setup-test ## the inner loop: the tests that take no minutes
	.venv/bin/pytest -n $(JOBS) -m "not slow" -q $(PYTEST)

bench: setup-test ## every figure of docs/performance.md, measured anew (BENCH=--write puts them there); half an hour
	@tools/setup/plots.sh
	$(PY) -m sesstab_tools.bench $(BENCH)
	$(PY) -m sesstab_tools.board_handshakes $(BENCH)
	$(PY) -m sesstab_tools.board_bench $(BENCH)
	$(PY) -m sesstab_tools.host_bench $(BENCH)
	$(PY) -m sesstab_tools.budget $(BENCH)

bench-check: setup-test ## instructions, cycles and sizes against what they were: more fails
	$(PY) -m sesstab_tools.host_bench_check
	$(PY) -m sesstab_tools.budget
	$(PY) -m sesstab_tools.board_bench_check

SECONDS ?= 300
fuzz: setup-test ## fuzz all that reads bytes, and the core against its model, for SECONDS (300)
	@tools/setup/fuzz_tools.sh afl
	$(PY) host_tests/fuzz/run.py --seconds $(SECONDS)

prove: venv ## the table's promises, shown by the model checker CBMC
	@tools/setup/cbmc.sh
	$(PY) host_tests/prove/run.py $(PROVE)

coverage: setup-test ## lines and branches that tests run: all of lib/sesstab and firmware/core, or this fails
	$(PY) host_tests/cover/run.py

mutate: setup-test ## mutation testing of both; a change that no test notices and nobody argued for fails
	$(PY) host_tests/mutate/run.py --jobs $(JOBS) $(MUTATE)

soak: setup-test ## an hour of an emulated board, both engines and their model; thousands of faults of a serial line
	$(PY) host_tests/soak/run.py $(SOAK)
	$(PY) host_tests/soak/line.py $(LINE)

lint: venv ## put code into shape
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

# Some of these were compiled from what was fetched; they do not change.
fetched := download apt src arm-gcc riscv-gcc xtensa-gcc cbmc esp32-image mbedtls peers qemu-xtensa rp2040js

clean: ## forget what was built (what was fetched is kept)
	rm -rf dist $(filter-out $(addprefix build/,$(fetched)),$(wildcard build/*))

distclean: ## forget everything that is not in git
	rm -rf .venv build dist

venv:
	@tools/setup/venv.sh

no-board:
	$(error which board? make flash BOARD=... ; .venv/bin/sesstab boards --known lists them)

setup-test: natmod
	@tools/setup/test_tools.sh
	@JOBS=$(JOBS) tools/setup/board.sh emulated
	@tools/setup/fuzz_tools.sh
	@tools/setup/cbmc.sh
	@tools/setup/peers.sh

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo firmware natmod flash deploy repl monitor test test-quick bench bench-check fuzz prove coverage mutate soak \
	lint clean distclean venv no-board setup-test help
