"""What the table costs on emulated boards, both engines, called from Python: time, and MicroPython's heap.

    python -m sesstab_tools.board_bench [BOARD...] [--write]

--write puts the figures into docs/performance.md, which tells how to read them; for scripts they are in
dist/bench/boards.json. What an emulated board does takes the same time whenever it does it, interrupts apart:
a few passes are enough.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .board_handshakes import clock_of
from .boards import BoardSpec, find_board
from .deploy import Deployment, deploy, find_root
from .emulators import emulate
from .errors import BoardError
from .page import markdown, write
from .repl import Board
from .targets import ENGINES, NATIVE, PURE, SELECT_ENGINE

BOARDS = (
    "RPI_PICO", "RPI_PICO_STOCK", "QEMU_MPS2_AN385", "QEMU_MICROBIT", "QEMU_VIRT_RV32", "QEMU_XTENSA_DC233C",
)  # fmt: skip
SIZES = (8, 16, 64, 256)  # sessions
ALIKE_ON, ALIKE_SIZES = "RPI_PICO", (64, 256)  # ids that are alike take minutes
OPERATIONS = {
    "get_us": "lookup, found",
    "get_hit_us": "hit: lookup, and free",
    "get_miss_us": "lookup, not found",
    "insert_full_us": "insert when full",
    "flush_us": "flush, for each expired",
}
HOSTILE = ("get_us", "get_miss_us", "insert_full_us")
BUDGET_US = 10000  # of the board's time, for an operation
STORM = "insert_expired_us"
_TIMEOUT = 120.0
_FREE = "__import__('gc').collect() or __import__('gc').mem_free()"

Results = dict[str, dict[str, Any]]


def measure(spec: BoardSpec, root: Path, sizes: Sequence[int] = SIZES) -> dict[str, Any]:
    """One board's figures; the keys of `operations` are those of on_board/bench_table.py."""
    with emulate(spec, root) as running, Board.open(running.port, press_reset=running.reset) as board:
        clock = clock_of(board, spec)
        figures: dict[str, Any] = {"unit": clock.unit, "per_us": clock.per_us} if clock else {}
        for engine in ENGINES:
            figures[engine] = load(board, root, engine)
            figures[engine]["sizes"] = bench_table(board, engine, sizes)
            if spec.name == ALIKE_ON and len(sizes) > 1:
                figures[engine]["alike"] = bench_table(board, engine, ALIKE_SIZES, alike=True)
    return figures


def load(board: Board, root: Path, engine: str) -> dict[str, Any]:
    """Puts sesstab and the measuring program onto the board, and imports them on a fresh interpreter."""
    source = Path(__file__).with_name("on_board") / "bench_table.py"
    extra = {"lib/bench_table.py": source.read_bytes()}
    done = deploy(board, root, native=engine == NATIVE, extra=extra)
    board.soft_reset()
    before = board.eval(_FREE)
    board.exec(SELECT_ENGINE[engine])
    after = board.eval(_FREE)
    board.exec("from bench_table import bench_table")
    return {"from": _whence(done, engine), "heap_before": before, "heap_after": after}


def _whence(done: Deployment, engine: str) -> str:
    if engine == PURE:
        return "frozen" if done.frozen else "Python files"
    return "built in" if done.frozen else "native module"


def bench_table(
    board: Board, engine: str, sizes: Sequence[int], *, budget_us: int = BUDGET_US, alike: bool = False
) -> dict[str, Any]:
    """What on_board/bench_table.py measures, by the number of sessions."""
    call = f"bench_table({tuple(sizes)}, {budget_us}, {alike})"
    result: dict[str, Any] = json.loads(board.exec(call, timeout=_TIMEOUT))
    if result["engine"] != engine:
        raise BoardError(f"the {engine} engine was to be measured, but {result['engine']} ran: make natmod")
    sizes_measured: dict[str, Any] = result["sizes"]
    return sizes_measured


# As a page


def report(results: Results) -> str:
    timed = {name: figures for name, figures in results.items() if "unit" in figures}
    parts = [f"### {name}\n\n{times(figures)}" for name, figures in timed.items()]
    parts += [
        f"### Worst cases on {name}\n\n{worst_cases(figures)}"
        for name, figures in results.items()
        if "alike" in figures[PURE]
    ]
    return "\n\n".join([*parts, f"### Heap\n\n{tables(results)}", imports(results)])


def times(figures: dict[str, Any]) -> str:
    per_us, unit = figures["per_us"], figures["unit"]
    in_us = unit == "cycles"  # a nanosecond for an instruction is nobody's time
    rows = []
    for key, name in OPERATIONS.items():
        for size in figures[PURE]["sizes"]:
            pure, native = (figures[engine]["sizes"][size][key] for engine in ENGINES)
            counts = [f"{pure * per_us:.0f}", f"{native * per_us:.0f}", f"{pure / native:.1f}"]
            rows.append([name, size, *counts, *([f"{pure:.1f}", f"{native:.1f}"] if in_us else [])])
    header = ["operation", "sessions", f"pure, {unit}", f"native, {unit}", "ratio"]
    return markdown([*header, *(["pure, µs", "native, µs"] if in_us else [])], rows)


def worst_cases(figures: dict[str, Any]) -> str:
    rows = []
    for size in figures[PURE]["alike"]:
        for key in HOSTILE:
            rows.append([f"{OPERATIONS[key]}, ids alike", size, *_compared(figures, "alike", key, key, size)])
        cells = _compared(figures, "sizes", STORM, "insert_full_us", size)
        rows.append(["one insertion, all others expired", size, *cells])
    usual = "times the usual"
    return markdown(["operation", "sessions", "pure, µs", usual, "native, µs", usual], rows)


def _compared(figures: dict[str, Any], where: str, key: str, usual: str, size: str) -> Iterator[str]:
    for engine in ENGINES:
        us = figures[engine][where][size][key]
        yield f"{us:.1f}"
        yield f"{us / figures[engine]['sizes'][size][usual]:.1f}"


def tables(results: Results) -> str:
    """The first board's tables: all boards have words of 32 bits, and MicroPython's heap."""
    name, figures = next(iter(results.items()))
    rows = []
    for size in figures[PURE]["sizes"]:
        sizes = [figures[engine]["sizes"][size] for engine in ENGINES]
        rows.append([size, *(str(one[key]) for one in sizes for key in ("size_of", "heap_bytes"))])
    columns = [f"{engine}, {what}" for engine in ENGINES for what in ("size_of()", "taken")]
    return markdown([f"sessions; bytes on {name}", *columns], rows)


def imports(results: Results) -> str:
    rows = []
    for name, figures in results.items():
        for engine in ENGINES:
            one = figures[engine]
            before, after = one["heap_before"], one["heap_after"]
            rows.append([name, engine, one["from"], str(before), str(before - after), str(after)])
    columns = ["engine", "from", "heap, bytes", "the import takes", "left"]
    return markdown(["board", *columns], rows)


def measure_all(names: Iterable[str], root: Path) -> Results:
    return {name: measure(find_board(name, root), root) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures both engines on emulated boards.")
    parser.add_argument("boards", nargs="*", metavar="BOARD", help=f"of {', '.join(BOARDS)}; all by default")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/performance.md")
    arguments = parser.parse_args()
    root = find_root()
    try:
        results = measure_all(arguments.boards or BOARDS, root)
        target = root / "dist" / "bench" / "boards.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(results, indent=1) + "\n")
        text = report(results)
        print(text)
        if arguments.write:
            write(root / "docs" / "performance.md", text, "boards")
    except (BoardError, OSError) as error:
        sys.exit(f"sesstab: {error}")


if __name__ == "__main__":
    main()
