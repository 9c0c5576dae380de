"""TLS with a board over its serial line: no network needed.

The board runs a TLS server (or client) whose "socket" is the REPL's own line (on_board/serial_link.py tells the
protocol); here its records go through a MemoryBIO pair into the host's OpenSSL.

    with board.start("serve_serial(context, table, 1)") as program:
        tls = SerialTLS(program, ssl_context, session=earlier)
        tls.do_handshake()
        tls.write(b"hello\\n")
        tls.read()
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
    """Code running on a board that has the serial line for itself."""

    def read(self, timeout: float) -> bytes:
        """What the board printed meanwhile, at most `timeout` seconds later; b"" when nothing came or it ended."""

    def write(self, data: bytes) -> None: ...


class LinkError(Exception):
    """The board broke the link's protocol, or did not keep to its deadline."""


class SerialTLS:
    """The host's end of one TLS connection with the board. Counts the bytes of TLS each way."""

    def __init__(
        self,
        program: Program,
        context: ssl.SSLContext,
        *,
        session: ssl.SSLSession | None = None,
        server_side: bool = False,
        server_hostname: str | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._program = program
        self._timeout = timeout
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side, server_hostname=server_hostname, session=session
        )
        self._line = b""
        self.output: list[str] = []
        """Lines that the board printed beside the link's."""
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
        """Answers whatever the board still asks for with the end of the stream, for as long as it asks at once."""
        while (line := self._next_line(time.monotonic() + 0.05)) is not None:
            if line.startswith("~?"):
                self._program.write(b"~\n")
            elif not line.startswith("~"):
                self.output.append(line)

    def _run(self, operation: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                self._receive(deadline)

    def _receive(self, deadline: float) -> None:
        """Serves the board until it has sent some TLS bytes."""
        while True:
            line = self._next_line(deadline)
            if line is None:
                raise LinkError(f"the board sent nothing in {self._timeout:g} s; its last words: {self.output[-3:]}")
            if line.startswith("~?"):
                self._send(line)
            elif line.startswith("~"):
                self._incoming.write(self._decode(line))
                return
            else:
                self.output.append(line)

    def _send(self, request: str) -> None:
        data = self._outgoing.read(int(request[2:]))
        if not data:
            raise LinkError("board and host both wait for the other's bytes")
        self.sent += len(data)
        self._program.write(b"~" + base64.b64encode(data) + b"\n")

    def _decode(self, line: str) -> bytes:
        try:
            data = base64.b64decode(line[1:], validate=True)
        except binascii.Error as error:
            raise LinkError(f"the board sent {line[:60]!r}: {error}") from error
        self.received += len(data)
        return data

    def _next_line(self, deadline: float) -> str | None:
        while b"\n" not in self._line:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return None
            self._line += self._program.read(remaining)
        line, self._line = self._line.split(b"\n", 1)
        return line.rstrip(b"\r").decode(errors="replace")
