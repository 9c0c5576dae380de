"""What the C core may take on a board, and whether it takes more: tools/bench/budget.toml.

    python -m sesstab_tools.budget [--write]

Code size, stack, memory and instructions are measured (sizes.py, mcu_bench.py) and compared. More than the
budget fails; so does 5 % less, until the budget is tightened. --write makes the budget what is measured, and
puts the figures into docs/performance.md.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path

from . import mcu_bench, page, sizes
from .deploy import find_root
from .errors import BoardError
from .toolchains import CORTEX_M0, TOOLCHAINS

Figures = dict[str, dict[str, float]]

HEAD = """\
# What the C core may take on a board. `python -m sesstab_tools.budget` compares, with --write it writes this.
# Debian bookworm's compilers, at -Os; tables for TLS 1.2 sessions (50 bytes of data), with 2 spare slots.
"""
SLACK = 0.05
SLIP = 0.005  # a tick of the boards' counters is tens of instructions, in batches of 64 operations
CORE_COLUMNS = ("code", "of it a server's", "code, snapshots", "data", "bss", "stack", "stack, snapshots")
OPERATIONS = (
    "hit",
    "miss",
    "insert when full",
    "insert, a second passes each time",
    "expiry of all, a session",
)


def file_of(root: Path) -> Path:
    return root / "tools" / "bench" / "budget.toml"


# ---- Measuring ----


def measure_sizes(root: Path) -> Figures:
    figures: Figures = {
        f"bytes of the core, {toolchain.chip}": dict(sizes.measure_core(root, toolchain))
        for toolchain in TOOLCHAINS
    }
    tables = sizes.measure_tables(root)
    figures["bytes of a table"] = {f"{capacity} sessions": size for capacity, size in tables.items()}
    return figures


def measure_modules(root: Path) -> Figures:
    return {"bytes of _sesstab.mpy": {name: sizes.measure_module(root, name) for name in sizes.MODULES}}


def measure_instructions(root: Path) -> Figures:
    figures = {}
    for machine in mcu_bench.MACHINES:
        counts = mcu_bench.measure(root, machine)
        figures[f"instructions, {machine.toolchain.chip}"] = {
            f"{operation}, {size} sessions": count
            for operation in OPERATIONS
            for size, count in counts[operation].items()
        }
    return figures


def measure(root: Path) -> Figures:
    return measure_sizes(root) | measure_modules(root) | measure_instructions(root)


# ---- Comparing ----


def read(root: Path) -> Figures:
    return tomllib.loads(file_of(root).read_text())


def compare(budget: Figures, measured: Figures) -> list[str]:
    """A line for each figure that is not within its budget, or leaves much of it."""
    lines = []
    for section, figures in measured.items():
        for name, value in figures.items():
            allowed = budget.get(section, {}).get(name)
            what = f"{section}: {name}: {value:g}"
            if allowed is None:
                lines.append(f"{what}; there is no budget for it: --write makes one")
            elif value > allowed * (1 + SLIP):
                lines.append(f"{what}, {value - allowed:g} more than its budget of {allowed:g}")
            elif value < allowed * (1 - SLACK):
                lines.append(f"{what}, well within its budget of {allowed:g}: tighten that with --write")
    return lines


def as_toml(figures: Figures) -> str:
    sections = [
        f'\n["{section}"]\n' + "".join(f'"{name}" = {value:g}\n' for name, value in values.items())
        for section, values in figures.items()
    ]
    return HEAD + "".join(sections)


# ---- The page ----


def report(root: Path, figures: Figures) -> str:
    """The tables of docs/performance.md."""
    floor = {
        machine.toolchain.chip: mcu_bench.measure(root, machine, mcu_bench.FLOOR)
        for machine in mcu_bench.MACHINES
    }
    return "\n\n".join(
        [
            "Bytes of the C core at -Os, and its deepest stack:",
            core_table(figures),
            "Instructions per operation, in QEMU; the floor's in parentheses:",
            instruction_table(figures, floor),
            "Instructions of its peers on Cortex-M0+, and how many times ours they are:",
            peer_table(root, figures, floor[CORTEX_M0.chip]),
            "Bytes of RAM that a table takes, everything included, on a 32-bit board:",
            table_table(figures["bytes of a table"]),
            "Bytes of the native module, all of sesstab's C code in it:",
            page.markdown(["architecture", "_sesstab.mpy"], named_rows(figures["bytes of _sesstab.mpy"])),
        ]
    )


def core_table(figures: Figures) -> str:
    rows = []
    for toolchain in TOOLCHAINS:
        core = figures[f"bytes of the core, {toolchain.chip}"]
        rows.append([toolchain.chip, *(f"{value:g}" for value in core.values())])
    return page.markdown(["chip", *CORE_COLUMNS], rows)


def instruction_table(figures: Figures, floor: dict[str, mcu_bench.Counts]) -> str:
    rows = []
    for operation in OPERATIONS:
        for size in mcu_bench.SIZES:
            cells = []
            for machine in mcu_bench.MACHINES:
                chip = machine.toolchain.chip
                ours = figures[f"instructions, {chip}"][f"{operation}, {size} sessions"]
                theirs = floor[chip].get(operation, {}).get(size)
                cells.append(f"{ours:.0f}" + (f" ({theirs:.0f})" if theirs else ""))
            rows.append([operation, str(size), *cells])
    chips = [machine.toolchain.chip for machine in mcu_bench.MACHINES]
    return page.markdown(["operation", "sessions", *chips], rows)


def peer_table(root: Path, figures: Figures, floor: mcu_bench.Counts) -> str:
    machine = next(machine for machine in mcu_bench.MACHINES if machine.toolchain is CORTEX_M0)
    ours = figures[f"instructions, {CORTEX_M0.chip}"]
    peers = [mcu_bench.measure(root, machine, table) for table in (mcu_bench.BEARSSL, mcu_bench.MBEDTLS)]
    rows = []
    for operation in floor:
        for size in mcu_bench.SIZES:
            own = ours[f"{operation}, {size} sessions"]
            theirs = [counts[operation][size] for counts in (*peers, floor)]
            rows.append(
                [operation, str(size), f"{own:.0f}", *(f"{n:.0f} ({page.number(n / own)})" for n in theirs)]
            )
    return page.markdown(["operation", "sessions", "sesstab", "BearSSL", "Mbed TLS", "floor"], rows)


def table_table(tables: dict[str, float]) -> str:
    rows = [[name, f"{size:g}", f"{size / int(name.split()[0]):.1f}"] for name, size in tables.items()]
    return page.markdown(["table of", "bytes", "for each session"], rows)


def named_rows(values: dict[str, float]) -> list[list[str]]:
    return [[name, f"{value:g}"] for name, value in values.items()]


def main() -> int:
    parser = argparse.ArgumentParser(description="Compares what the C core takes on boards with its budget.")
    parser.add_argument("--write", action="store_true", help="make what is measured the budget")
    arguments = parser.parse_args()
    root = find_root()
    try:
        measured = measure(root)
        if arguments.write:
            file_of(root).write_text(as_toml(measured))
            page.write(root / "docs" / "performance.md", report(root, measured), "sizes")
            return 0
        lines = compare(read(root), measured)
    except (OSError, BoardError) as error:
        print(f"budget: {error}", file=sys.stderr)
        return 1
    for line in lines:
        print(f"budget: {line}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
