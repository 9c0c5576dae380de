"""A board on a pty of which a script decides every byte, for what no real interpreter would do."""

from __future__ import annotations

import os
import re
import select
import threading
import tty
from collections.abc import Callable
from types import TracebackType

RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"


class Stopped(Exception):
    """The test is over."""


class FakeBoard:
    """A pty, and a thread that runs `script` at its other end.

    with FakeBoard(script) as fake:
        Board.open(fake.port)
    """

    def __init__(self, script: Callable[[FakeBoard], None] | None = None) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self._stop_read, self._stop_write = os.pipe()
        self.received = b""
        self._thread = threading.Thread(target=self._run, args=(script,), daemon=True)

    def __enter__(self) -> FakeBoard:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.write(self._stop_write, b"x")
        self._thread.join()
        for descriptor in (self._slave, self._stop_read, self._stop_write):
            os.close(descriptor)
        self.unplug()

    def unplug(self) -> None:
        """The port goes away."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def send(self, data: bytes) -> None:
        while data:
            self._wait_for(select.POLLOUT)
            data = data[os.write(self._master, data) :]

    def read_until(self, end: bytes) -> bytes:
        """What came up to and with `end`; what follows stays for the next call."""
        while end not in self.received:
            self.read_some()
        before, _, self.received = self.received.partition(end)
        return before + end

    def read_some(self) -> None:
        """Waits for something to arrive, and adds it to `received`."""
        self._wait_for(select.POLLIN)
        self.received += os.read(self._master, 4096)

    def reach_prompt(self) -> None:
        """Answers what a client sends to get to the raw prompt, once, as a board does."""
        self.read_until(b"\x01")
        self.send(RAW_PROMPT)
        typed = self.read_until(b"\x04")
        token = re.search(rb"print\('(.*)'\)", typed)
        assert token, typed
        self.send(b"OK" + token[1] + b"\r\n\x04\x04>")

    def accept_paste(self, window: int = 128) -> None:
        """Answers the request for raw paste with yes."""
        self.read_until(b"\x05A\x01")
        self.send(b"R\x01" + window.to_bytes(2, "little") + b"\x01")

    def _wait_for(self, event: int) -> None:
        if self._master < 0:
            raise Stopped
        poll = select.poll()
        poll.register(self._master, event)
        poll.register(self._stop_read, select.POLLIN)
        if self._stop_read in dict(poll.poll()):
            raise Stopped

    def _run(self, script: Callable[[FakeBoard], None] | None) -> None:
        try:
            if script:
                script(self)
            self.read_until(b"no such bytes")
        except (Stopped, OSError):
            return
