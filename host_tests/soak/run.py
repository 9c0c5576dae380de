"""Soak: both engines and their model, millions of calls on this computer, then hours of an emulated board.

    python host_tests/soak/run.py --hours 1 --board QEMU_MPS2_AN385

An hour is what the board needs an hour for: QEMU counts instructions, and the board executes 25 million of
them a second, as the MPS2's Cortex-M3 does at 25 MHz with one cycle each. soak.py says what runs. Exit status
1 and the reason when anything is wrong; --seed repeats a run.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sesstab_tools.boards import BoardSpec, all_boards, find_board
from sesstab_tools.deploy import deploy
from sesstab_tools.emulators import emulate
from sesstab_tools.errors import BoardError, DeviceException
from sesstab_tools.repl import Board

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "host_tests" / "soak"
DEVICE = ROOT / "host_tests" / "device"
HERTZ = 25_000_000
HOST_CALLS_AN_HOUR = 20_000_000
GENERATIONS = 65535  # of a slot in a table of up to 16384; beyond, GENERATIONS_WIDE
GENERATIONS_WIDE = 16383
TURN_SECONDS = 600.0  # a turn takes some; a board that hangs, for ever
LINE_SECONDS = 10.0  # between two lines of progress
PROGRAM = [HERE / "soak.py", *(DEVICE / name for name in ("support.py", "lockstep.py", "table_model.py"))]

Say = Callable[[str], object]


class Soak:
    """Turns of churn and lockstep, so that both get half of the time, and what came of them."""

    def __init__(self, name: str, seed: int, say: Say) -> None:
        self.calls: Counter[str] = Counter()
        self._name, self._seed, self._say = name, seed, say
        self._spent: Counter[str] = Counter()
        self._turns = 0
        self._start = self._last = time.monotonic()

    def next_turn(self) -> tuple[str, str]:
        """Which part has its turn, and the code for it."""
        self._turns += 1
        if self._spent["churn"] <= self._spent["lockstep"]:
            return "churn", "churn.turn(100)"
        return "lockstep", f"soak.lockstep_turn({self._seed + self._turns}, {self._turns}, 2000)"

    def count(self, part: str, calls: int, spent: int, done: str) -> None:
        """Notes a turn; `spent` in any unit that is the same for all. `done` is for the line of progress."""
        self.calls[part] += calls
        self._spent[part] += spent
        if time.monotonic() - self._last > LINE_SECONDS:
            self._last = time.monotonic()
            self._say(f"{self._name}: {done}, {self.summary()}")

    def summary(self) -> str:
        parts = ", ".join(f"{self.calls[part]:,} of {part}" for part in sorted(self.calls))
        return f"{sum(self.calls.values()):,} calls: {parts}; {time.monotonic() - self._start:.0f} s"


def soak_host(calls: int, seed: int, say: Say) -> None:
    """On CPython: the C core, the pure engine and the model."""
    sys.path[:0] = [str(folder) for folder in (HERE, DEVICE, ROOT / "lib", ROOT / "host_tests" / "ccore")]
    soak = importlib.import_module("soak")
    result = Soak("host", seed, say)
    names = {"soak": soak, "churn": soak.Churn(soak.sesstab.SessionTable)}
    for slots, times in ((2, GENERATIONS), (40000, GENERATIONS_WIDE)):
        if calls >= 8 * times * len(soak.ENGINES):
            result.count("reuse", soak.reuse(soak.ENGINES, (slots - 1, 1), times), 0, "reuse")
    while sum(result.calls.values()) < calls:
        part, code = result.next_turn()
        start = time.perf_counter_ns()
        result.count(part, eval(code, names), time.perf_counter_ns() - start, "on CPython")
    say(f"host: {result.summary()}")


def soak_board(spec: BoardSpec, hours: float, seed: int, say: Say) -> None:
    """On the board: the native module, the pure engine and the model."""
    result = Soak(spec.name, seed, say)
    wanted, instructions = hours * 3600 * HERTZ, 0
    with emulate(spec, ROOT) as running, Board.open(running.port, timeout=TURN_SECONDS) as board:
        deployed = deploy(board, ROOT, extra={f"lib/{path.name}": path.read_bytes() for path in PROGRAM})
        if deployed.engine != "native":
            raise BoardError(f"{spec.name} runs the pure engine only: {deployed.module}")
        board.exec("import gc, soak, time\nchurn = soak.Churn(soak.sesstab.SessionTable)")

        def turn(code: str) -> tuple[int, int]:
            # QEMU's -icount: a nanosecond is an instruction.
            calls, microseconds = board.exec(
                f"t = time.ticks_us()\nn = {code}\nprint(n, time.ticks_diff(time.ticks_us(), t))"
            ).split()
            return int(calls), 1000 * int(microseconds)

        used = 0
        while instructions < wanted:
            part, code = result.next_turn()
            if instructions > wanted / 2 and not used:
                part, code = "reuse", f"soak.reuse((soak.sesstab.SessionTable,), (1, 1), {GENERATIONS})"
            calls, spent = turn(code)
            instructions += spent
            result.count(part, calls, spent, f"{instructions / HERTZ / 60:.1f} minutes")
            used = used or (_used_memory(board) if part == "reuse" else 0)
        leaked = _used_memory(board) - used
    worth = f"{instructions / HERTZ / 3600:.2f} hours, {instructions:,} instructions"
    say(f"{spec.name}: {worth}, {result.summary()}")
    if leaked > 64:
        raise BoardError(f"{spec.name}: {leaked} bytes more are in use than half way")


def _used_memory(board: Board) -> int:
    used = board.eval("[gc.collect() for _ in range(3)] and gc.mem_alloc()")
    assert isinstance(used, int)
    return used


def arguments() -> argparse.Namespace:
    boards = [spec.name for spec in all_boards(ROOT) if spec.emulator and spec.emulator.kind == "qemu"]
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--hours", type=float, default=1.0, help="of the board's time (1)")
    parser.add_argument("--board", default="QEMU_MPS2_AN385", choices=boards, help="QEMU_MPS2_AN385")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> int:
    chosen = arguments()

    def say(line: str) -> None:
        print(line, flush=True)

    say(f"soak of {chosen.hours:g} hours, seed {chosen.seed}")
    try:
        soak_host(int(chosen.hours * HOST_CALLS_AN_HOUR), chosen.seed, say)
        soak_board(find_board(chosen.board, ROOT), chosen.hours, chosen.seed, say)
    except DeviceException as error:
        print(f"FINDING on the board:\n{error.traceback}", file=sys.stderr)
        return 1
    except AssertionError as error:
        print(f"FINDING on the host: {error}", file=sys.stderr)
        return 1
    except BoardError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
