"""Any bytes as a board's answers to the REPL client: it ends in time, with a result or a BoardError.

The line is not real and neither is time: waiting costs nothing, and moves the clock to what comes next. What
the board sends is taken from the fuzzer's bytes as they are, or as pieces of the protocol (an echo of the
client's token among them), so that the deeper states are reached. Now and then it takes no input, or is gone.
"""

import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "host_tests" / "fuzz")]

from sesstab_tools import line  # noqa: E402
from sesstab_tools.errors import BoardError, PortError  # noqa: E402
from sesstab_tools.repl import RAW_PROMPT, Board  # noqa: E402
from taken import Taken  # noqa: E402

SLACK = 3.0  # seconds that an operation may take beyond its deadline: it asks the line for what is left of it
ASKED = 3000  # times that one operation may ask the line without time going by

PIECES = [
    RAW_PROMPT, b"OK", b"\x04", b"\x04\x04>", b">", b"R\x01\x20\x00\x01", b"R\x01\x00\x00\x01", b"R\x00",
    b"ra", b"\x01", b"\r\n>>> ", b"\r\nMPY: soft reboot\r\n", b"MicroPython v1.28 on x; y\r\n>>> ",
    b"{[]: 1}", b"Traceback (most recent call last):\r\nValueError: x\r\n", RAW_PROMPT + b"OK",
    b"-" * 5000 + b"1", b"'\\ud800'", b"1+2j", b"\xff\xfe", b"[" * 300,
]  # fmt: skip


class Clock:
    """Stands in for the module time, in line.py."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        assert seconds >= 0
        self.now += seconds


class PlayedLine(line.Line):
    """Plays the fuzzer's bytes."""

    def __init__(self, taken, clock):
        super().__init__("played", None, None)
        self.taken, self.clock = taken, clock
        self.token = b""
        self.asked = 0
        self.is_open = True

    def _wait_and_read(self, seconds):
        assert seconds >= 0
        if not self.is_open:
            raise self._lost("closed")
        self.asked += 1
        assert self.asked < ASKED, "the client asks and asks"
        kind = 255 if self.taken.over else self.taken.byte()
        if kind == 250:
            raise self._lost("played")
        if kind >= 245:
            self.clock.sleep(seconds)  # nothing comes
            self.asked = 0 if seconds else self.asked
            return
        if kind >= 200:
            self.clock.sleep(min(seconds, (kind - 200) / 10))
        if kind < 110:
            self._received += PIECES[kind % len(PIECES)]
        elif kind < 150:
            self._received += b"OK" + self.token + b"\r\n\x04\x04>"
        else:
            self._received += self.taken.some(kind % 16)

    def send(self, data, deadline, burst=None):
        if b"sesstab" in data:
            self.token = data.split(b"'")[1]
        super().send(data, deadline, burst)

    def _write(self, data, deadline):
        if not self.is_open:
            raise self._lost("closed")
        if not self.taken.over and self.taken.data[self.taken.at] == 251:
            self.taken.byte()
            self.clock.sleep(deadline.remaining)
            raise self._blocked(deadline)

    def close(self):
        self.is_open = False


class PlayedBoard(Board):
    def __init__(self, taken, clock, **options):
        self._taken, self._clock = taken, clock
        super().__init__("played", **options)

    def _open_line(self):
        if not self._taken.over and self._taken.data[self._taken.at] == 252:
            self._taken.byte()
            raise PortError("port played: gone")
        return PlayedLine(self._taken, self._clock)


def run_program(board, timeout):
    program = board.start("x = 1\n" * 20, timeout)
    program.read(0.5)
    program.write(b"abc", timeout)
    program.interrupt()
    return program.finish(timeout, lambda output: None)


OPERATIONS = [
    lambda board, timeout: board.exec("print(1)", timeout),
    lambda board, timeout: board.exec(b"x" * 300, timeout),
    lambda board, timeout: board.eval("1", timeout),
    run_program,
    lambda board, timeout: board.enter(timeout),
    lambda board, timeout: board.soft_reset(timeout),
    lambda board, timeout: board.recover(timeout),
    lambda board, timeout: board.leave(timeout),
]


def check(operation, board, timeout, clock):
    before = clock.now
    board.line.asked = 0
    try:
        operation(board, timeout)
    except BoardError as error:
        assert str(error) and "\n" not in str(error), str(error)
    parts = 3 if operation is run_program else 1  # each with a deadline of its own
    assert clock.now - before <= parts * (timeout + SLACK), clock.now - before


def test_one_input(data):
    taken, clock = Taken(data), Clock()
    real, line.time = line.time, types.SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep)
    try:
        kind = taken.byte()
        pressed = []
        press_reset = (lambda: pressed.append(1)) if kind & 1 else None
        try:
            board = PlayedBoard(taken, clock, press_reset=press_reset, burst=7 if kind & 2 else None)
        except PortError:
            return
        for _ in range(6):
            if not taken.over:
                operation = OPERATIONS[taken.byte() % len(OPERATIONS)]
                check(operation, board, [0.0, 1.0, 10.0, 3.0][kind >> 6], clock)
        check(lambda board, timeout: board.close(), board, 1.0, clock)
        assert not board.line.is_open
    finally:
        line.time = real
