"""Neither engine takes more cycles or instructions on emulated boards than it did.

    python -m sesstab_tools.board_bench_check [--budget]

Compares with tools/bench/boards_budget.json, which --budget rewrites: after a change that is meant to cost
that much, or that made something faster. 10 % more is allowed: MicroPython finds names through a small cache,
so that a change elsewhere moves these figures a little.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .board_bench import OPERATIONS, measure
from .boards import find_board
from .deploy import find_root
from .errors import BoardError
from .host_bench_check import grown
from .targets import ENGINES

BOARDS = ("RPI_PICO", "QEMU_MPS2_AN385")
SIZE = 64
LIMIT = 1.1

Counts = dict[str, dict[str, dict[str, int]]]


def measure_now(root: Path) -> Counts:
    """Cycles or instructions by board, engine and operation, in the form of the budget."""
    counts: Counts = {}
    for name in BOARDS:
        figures = measure(find_board(name, root), root, [SIZE])
        counts[name] = {engine: _counts(figures, engine) for engine in ENGINES}
    return counts


def _counts(figures: dict[str, Any], engine: str) -> dict[str, int]:
    us = figures[engine]["sizes"][str(SIZE)]
    return {name: round(us[key] * figures["per_us"]) for key, name in OPERATIONS.items()}


def compare(budget: Counts, now: Counts) -> list[str]:
    """A line for each operation that got worse, or is not measured any more."""
    worse = []
    for board, engines in budget.items():
        for engine, operations in engines.items():
            for operation, before in operations.items():
                what = f"{board}, {engine}, {operation}"
                after = now.get(board, {}).get(engine, {}).get(operation)
                worse += [f"{what}: not measured"] if after is None else grown(what, before, after, LIMIT)
    return worse


def main() -> int:
    parser = argparse.ArgumentParser(description="Compares both engines' costs on boards with the budget.")
    parser.add_argument("--budget", action="store_true", help="make what is measured the budget")
    arguments = parser.parse_args()
    root = find_root()
    kept = root / "tools" / "bench" / "boards_budget.json"
    try:
        now = measure_now(root)
        if arguments.budget:
            kept.write_text(json.dumps(now, indent=1) + "\n")
            print(f"board-bench-check: wrote {kept.relative_to(root)}")
            return 0
        if not kept.exists():
            raise BoardError(f"no {kept.relative_to(root)}: --budget makes it")
        worse = compare(json.loads(kept.read_text()), now)
    except (BoardError, OSError) as error:
        print(f"board-bench-check: {error}", file=sys.stderr)
        return 1
    for line in [*worse, "worse; --budget allows it" if worse else "good"]:
        print(f"board-bench-check: {line}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
