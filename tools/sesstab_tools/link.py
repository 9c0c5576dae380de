"""TLS with a board over its serial line: no network needed.

The board runs a TLS server (or client) whose "socket" is the REPL's own line; here its records go through a
MemoryBIO pair into the host's OpenSSL. on_board/serial_link.py has the board's end, and tells the protocol.

    with board.start("serve_serial(context, table, 1)") as program:
        line = SerialLine(program)
        tls = SerialTLS(line, ssl_context, session=earlier)
        tls.do_handshake()
        tls.write(b"hello\n")
        tls.read()
        tls.close()
        line.output()                   # what the program printed
"""

from __future__ import annotations

import base64
import binascii
import ssl
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Program(Protocol):
    """Code running on a board that has the serial line for itself; repl.Program is one."""

    @property
    def ended(self) -> bool: ...

    def read(self, timeout: float) -> bytes:
        """What the board printed; waits at most `timeout` seconds. b"": nothing came, or it has ended."""

    def write(self, data: bytes) -> None: ...

    def finish(self) -> bytes:
        """Raises the program's exception, if that was its end."""


class LinkError(Exception):
    """The board broke the link's protocol, or did not keep to its deadline."""


class SerialLine:
    """The lines of a running program: those of the link, and those it prints."""

    def __init__(self, program: Program, timeout: float = 30.0) -> None:
        self._program = program
        self._timeout = timeout
        self._partial = b""
        self._printed: list[str] = []

    def next_frame(self) -> str:
        """The next line of the link."""
        while not (line := self._next_line()).startswith("~"):
            self._printed.append(line)
        return line

    def output(self) -> str:
        """The next line that the program printed."""
        if self._printed:
            return self._printed.pop(0)
        line = self._next_line()
        if line.startswith("~"):
            raise LinkError(f"expected what the program prints, got the link's {line[:60]!r}")
        return line

    def send(self, data: bytes) -> None:
        """Answers "~?": with bytes, or with none, which ends the stream."""
        self._program.write(b"~" + base64.b64encode(data) + b"\n")

    def _next_line(self) -> str:
        deadline = time.monotonic() + self._timeout
        while b"\n" not in self._partial:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                said = [*self._printed, self._partial.decode(errors="replace")][-3:]
                raise LinkError(f"the board sent nothing in {self._timeout:g} s; its last words: {said}")
            if self._program.ended:
                self._program.finish()
                raise LinkError("the program on the board ended, but more was expected of it")
            self._partial += self._program.read(remaining)
        line, self._partial = self._partial.split(b"\n", 1)
        return line.rstrip(b"\r").decode(errors="replace")


class SerialTLS:
    """The host's end of one TLS connection with the board. Counts the bytes of TLS each way."""

    def __init__(
        self,
        line: SerialLine,
        context: ssl.SSLContext,
        *,
        session: ssl.SSLSession | None = None,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> None:
        self._line = line
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side, server_hostname=server_hostname, session=session
        )
        self._open = True
        self.sent = 0
        self.received = 0

    @property
    def session(self) -> ssl.SSLSession | None:
        return self._tls.session

    @property
    def session_reused(self) -> bool:
        return bool(self._tls.session_reused)

    def do_handshake(self) -> None:
        self._run(self._tls.do_handshake)

    def read(self, size: int = 4096) -> bytes:
        return self._run(lambda: self._tls.read(size))

    def write(self, data: bytes) -> None:
        """Queues `data`; it travels when the board asks for it."""
        self._run(lambda: self._tls.write(data))

    def close(self) -> None:
        """Ends the stream, and waits until the board has closed its end."""
        while self._open:
            self._serve(closing=True)

    def _run(self, operation: Callable[[], T]) -> T:
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                self._serve()

    def _serve(self, closing: bool = False) -> None:
        """Handles one line of the link."""
        frame = self._line.next_frame()
        if frame == "~.":
            self._open = False
            self._incoming.write_eof()
        elif frame.startswith("~?"):
            data = self._outgoing.read(int(frame[2:]))
            if not data and not closing:
                raise LinkError("board and host both wait for the other's bytes")
            self.sent += len(data)
            self._line.send(data)
        else:
            self._incoming.write(self._decode(frame))

    def _decode(self, frame: str) -> bytes:
        try:
            data = base64.b64decode(frame[1:], validate=True)
        except binascii.Error as error:
            raise LinkError(f"the board sent {frame[:60]!r}: {error}") from error
        self.received += len(data)
        return data
