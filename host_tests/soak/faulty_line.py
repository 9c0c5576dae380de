"""A second port for a board: a line that drops, doubles, changes and delays bytes, and is unplugged at times.

    with FaultyLine(board.port, folder / "port", seed=1, gap=2000) as line:
        Board.open(str(line.port))

Where faults are depends on the seed and on how many bytes have passed in that direction, not on how they came
in pieces. The port is a link to a pty; unplugged, it is gone for a moment, and then a link to another.
"""

from __future__ import annotations

import os
import random
import select
import threading
import time
import tty
from collections import Counter
from pathlib import Path

KINDS = ("dropped", "doubled", "changed", "delayed", "unplugged")
_WEIGHTS = (6, 6, 6, 3, 1)
_CHUNK = 4096
_BUFFER = 65536  # bytes held for a side that does not read; then the other side has to wait
_DELAY = 0.2
_AWAY = 0.05


class Unplugged(Exception):
    """Ends what a direction carries."""


class Direction:
    """What happens to the bytes that go one way. `gap`: bytes between two faults, on average."""

    def __init__(self, seed: str, gap: float) -> None:
        self.gap = gap
        self.faults: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._left = self._next()

    def spoil(self, data: bytes) -> bytes:
        result = bytearray()
        while len(data) > self._left:
            result += data[: self._left]
            result += self._fault(data[self._left])
            data = data[self._left + 1 :]
            self._left = self._next()
        self._left -= len(data)
        return bytes(result) + data

    def _next(self) -> int:
        return int(self._random.expovariate(1 / self.gap))

    def _fault(self, byte: int) -> bytes:
        kind = self._random.choices(KINDS, _WEIGHTS)[0]
        self.faults[kind] += 1
        if kind == "dropped":
            return b""
        if kind == "doubled":
            return bytes([byte, byte])
        if kind == "changed":
            return bytes([byte ^ 1 << self._random.randrange(8)])
        if kind == "unplugged":
            raise Unplugged
        time.sleep(self._random.random() * _DELAY)
        return bytes([byte])


class FaultyLine:
    def __init__(self, board: str, port: Path, seed: int, gap: float) -> None:
        self.port = port
        self.faulty = True
        self.directions = [Direction(f"{seed} {way}", gap) for way in ("to the board", "to the host")]
        self._board = os.open(board, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self._stop_read, self._stop_write = os.pipe()
        self._plug_in()
        self._thread = threading.Thread(target=self._carry)

    def __enter__(self) -> FaultyLine:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        os.write(self._stop_write, b"x")
        self._thread.join()
        self._unplug()
        for descriptor in (self._board, self._stop_read, self._stop_write):
            os.close(descriptor)

    @property
    def faults(self) -> Counter[str]:
        return self.directions[0].faults + self.directions[1].faults

    def _plug_in(self) -> None:
        self._host, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._host, False)
        self._waiting = {self._host: b"", self._board: b""}
        self.port.symlink_to(os.ttyname(self._slave))

    def _unplug(self) -> None:
        self.port.unlink()
        os.close(self._slave)
        os.close(self._host)

    def _carry(self) -> None:
        while True:
            poll = select.poll()
            poll.register(self._stop_read, select.POLLIN)
            for source, target in ((self._host, self._board), (self._board, self._host)):
                events = select.POLLIN if len(self._waiting[target]) < _BUFFER else 0
                poll.register(source, events | (select.POLLOUT if self._waiting[source] else 0))
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._stop_read in ready:
                return
            try:
                for source, target, direction in (
                    (self._host, self._board, self.directions[0]),
                    (self._board, self._host, self.directions[1]),
                ):
                    if source in ready:
                        data = _read(source)
                        self._waiting[target] += direction.spoil(data) if self.faulty else data
            except Unplugged:
                self._unplug()
                time.sleep(_AWAY)
                self._plug_in()
            for target, data in self._waiting.items():
                self._waiting[target] = data[_write(target, data) :]


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return b""


def _write(descriptor: int, data: bytes) -> int:
    try:
        return os.write(descriptor, data) if data else 0
    except BlockingIOError:
        return 0
