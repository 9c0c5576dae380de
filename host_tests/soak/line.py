"""Thousands of operations of the harness over a line with faults, each followed by a look at what it left.

    python host_tests/soak/line.py --operations 5000

MicroPython's raw REPL has no checksum: a changed byte in a program, or in what it prints, can pass unseen. So
what exec() and eval() give over such a line can be wrong; it is counted. What must hold:

    - put() and deploy() that return have put there what they were given, bit for bit; those that raise leave
      the old file or the new one, whole. No other file changes.
    - What is read from the board and has the SHA-256 that the board says is what is in the file.
    - Nothing takes longer than its deadline, and every error is a BoardError.
    - When the faults stop, the harness recovers by itself, and everything works.

The board is MicroPython for unix: its files are there to be looked at, past the line.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from faulty_line import FaultyLine
from sesstab_tools.deploy import deploy, verify
from sesstab_tools.errors import BoardError
from sesstab_tools.files import Files
from sesstab_tools.repl import Board
from sesstab_tools.virtual import VirtualBoard, unix_board

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("a", "b.bin", "lib/c.py")
GAP = 4000  # bytes between two faults
DEPLOY_GAP = 150_000  # it sends about so many
TIMEOUT = 0.6  # seconds for a step of an operation
CALM_TIMEOUT = 20.0  # without faults: nothing but a busy computer takes time
RECOVERY_TIME = 4.0
RESET_TIME = 5.0  # which is on top: the button starts a new interpreter
LATE = 2.0  # seconds that a busy computer may be late
LARGEST = 3000  # bytes of a file
STEPS = 10  # of a put(), besides those for each kilobyte


class Wrong(AssertionError):
    """Something that must hold does not."""


class Harness:
    """A board behind the line, and what has to be in its files."""

    def __init__(self, virtual: VirtualBoard, line: FaultyLine, seed: int) -> None:
        self.virtual, self.line = virtual, line
        self.results: Counter[str] = Counter()
        self.random = random.Random(seed)
        self.contents = dict.fromkeys(NAMES, b"from the start")
        (virtual.files / "lib").mkdir()
        for name, data in self.contents.items():
            (virtual.files / name).write_bytes(data)
        self.board = Board.open(str(line.port), press_reset=virtual.reset)
        self.wait_for(TIMEOUT)

    def wait_for(self, seconds: float) -> None:
        """For each step of an operation."""
        self.board.timeout = seconds
        self.files = Files(self.board, seconds)

    def operate(self) -> None:
        """One operation, chosen at random, on time; and the board brought back when it failed."""
        kinds = (self.exec, self.eval, self.put, self.get, self.sums)
        operation: Callable[[], str] = self.random.choices(kinds, (3, 2, 4, 3, 1))[0]
        name = operation.__name__
        try:
            with self.on_time(name, (STEPS + LARGEST // 1000) * self.board.timeout):
                name += " " + operation()
        except BoardError as error:
            name += " raised " + type(error).__name__
            self.recover()
        self.results[name] += 1
        self.look(name)

    # The operations: what they return says how they ended.

    def exec(self) -> str:
        text = "".join(self.random.choices("abcdefghijklm", k=self.random.randrange(300)))
        with self.on_time("exec", self.board.timeout):
            output = self.board.exec(f"print({text!r})")
        return "right" if output.strip() == text.encode() else "wrong, unseen"

    def eval(self) -> str:
        number = self.random.randrange(1 << 60)
        with self.on_time("eval", self.board.timeout):
            value = self.board.eval(f"{number} + 1")
        return "right" if value == number + 1 else "wrong, unseen"

    def put(self) -> str:
        name = self.random.choice(NAMES)
        data = self.random.randbytes(self.random.randrange(LARGEST))
        try:
            self.files.put(name, data)
        except BoardError:
            if self.on_disk(name) == data:
                self.contents[name] = data
            raise
        self.contents[name] = data
        return "right"

    def get(self) -> str:
        name = self.random.choice(list(self.contents))
        data = self.board.eval(f"open({name!r}, 'rb').read()")
        if not isinstance(data, bytes) or self.files.sha256([name])[name] != hashlib.sha256(data).hexdigest():
            return "refused"
        if data != self.contents[name]:
            raise Wrong(f"read {data!r:.60} from {name}, which has {self.contents[name]!r:.60}")
        return "right"

    def sums(self) -> str:
        sums = self.files.sha256(self.contents)
        right = {name: hashlib.sha256(data).hexdigest() for name, data in self.contents.items()}
        return "right" if sums == right else "wrong, unseen"

    # What must hold

    @contextmanager
    def on_time(self, what: str, seconds: float) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            taken = time.monotonic() - start
            if taken > seconds + LATE:
                raise Wrong(f"{what} took {taken:.1f} s of {seconds:g}")

    def look(self, after: str) -> None:
        for name, data in self.contents.items():
            found = self.on_disk(name)
            if found != data:
                raise Wrong(f"after {after}: {name} has {found!r:.60}, not {data!r:.60}")

    def on_disk(self, name: str) -> bytes | None:
        path = self.virtual.files / name
        return path.read_bytes() if path.is_file() else None

    def recover(self) -> None:
        """While there are faults it may take more than one attempt."""
        for _ in range(20):
            try:
                with self.on_time("recover", RECOVERY_TIME + RESET_TIME):
                    return self.board.recover(RECOVERY_TIME)
            except BoardError as error:
                self.results["recover raised " + type(error).__name__] += 1
        raise Wrong("the board did not come back in 20 attempts")

    def settle(self) -> None:
        """The faults stop: everything works, at the first attempt."""
        self.line.faulty = False
        self.wait_for(CALM_TIMEOUT)
        with self.on_time("recover", CALM_TIMEOUT):
            self.board.recover(CALM_TIMEOUT)
        for operation in (self.exec, self.eval, self.put, self.get, self.sums):
            if operation() != "right":
                raise Wrong(f"{operation.__name__} without faults is not right")
        self.look("the faults had stopped")
        self.wait_for(TIMEOUT)
        self.line.faulty = True


@contextmanager
def faulty_board(seed: int, gap: float) -> Iterator[tuple[VirtualBoard, FaultyLine]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        unix_board() as virtual,
        FaultyLine(virtual.port, Path(folder) / "port", seed, gap) as line,
    ):
        yield virtual, line


def soak_operations(count: int, seed: int, say: Callable[[str], object]) -> Counter[str]:
    """So many operations; the faults stop after each hundred, for a look at whether everything works."""
    with faulty_board(seed, GAP) as (virtual, line):
        harness = Harness(virtual, line, seed)
        for n in range(1, count + 1):
            harness.operate()
            if n % 100 == 0:
                harness.settle()
                say(f"{n} operations, {sum(line.faults.values())} faults")
        harness.settle()
        harness.board.close()
        say("; ".join(f"{count} {kind}" for kind, count in sorted(line.faults.items())))
        for result, times in sorted(harness.results.items()):
            say(f"{times:6} {result}")
        return harness.results


def soak_deployments(count: int, seed: int, say: Callable[[str], object]) -> Counter[str]:
    """Deploys to fresh boards. One that returns has done it; after one that raises, the next does."""
    results: Counter[str] = Counter()
    for n in range(count):
        with faulty_board(seed + n, DEPLOY_GAP) as (virtual, line):
            board = Board.open(str(line.port), timeout=TIMEOUT, press_reset=virtual.reset)
            try:
                deploy(board, ROOT, native=False)
                failed = ""
            except BoardError as error:
                failed = type(error).__name__
            results[f"deploy raised {failed}" if failed else "deploy right"] += 1
            line.faulty = False
            board.timeout = CALM_TIMEOUT
            board.recover()
            if failed:
                deploy(board, ROOT, native=False)
            states = verify(board, ROOT, native=False)
            if set(states.values()) != {"same"}:
                raise Wrong(f"deployment {n} left {states}")
            board.close()
    for result, times in sorted(results.items()):
        say(f"{times:6} {result}")
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--operations", type=int, default=5000, help="(5000); a deployment for each hundred")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()

    def say(line: str) -> None:
        print(line, flush=True)

    try:
        soak_operations(chosen.operations, chosen.seed, say)
        soak_deployments(chosen.operations // 100, chosen.seed, say)
    except Wrong as wrong:
        print(f"FINDING, seed {chosen.seed}: {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
