"""What happened on the wire: a proxy in front of a TLS server that reads the hellos of each connection.

It is a third witness, beside the board and the other side: neither of them says how a handshake was resumed.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass

HANDSHAKE, CHANGE_CIPHER_SPEC = 22, 20
CLIENT_HELLO, SERVER_HELLO, CERTIFICATE = 1, 2, 11
TICKET, PRE_SHARED_KEY, SUPPORTED_VERSIONS = 35, 41, 43
RETRY_REQUEST = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
TIMEOUT = 20

# What a handshake was: in full, under the one version or the other, or resumed by one of three means.
FULL_12, FULL_13 = "full 1.2", "full 1.3"
ID, TICKET_12, TLS13 = "1.2 id", "1.2 ticket", "1.3"
BROKEN = "broken off"


@dataclass(frozen=True)
class Hello:
    random: bytes
    session_id: bytes
    extensions: dict[int, bytes]


def parse_hello(body: bytes, from_client: bool) -> Hello:
    size = body[34]
    at = 35 + size
    if from_client:
        at += 2 + struct.unpack_from(">H", body, at)[0]  # cipher suites
        at += 1 + body[at]  # compression methods
    else:
        at += 3
    extensions: dict[int, bytes] = {}
    at += 2
    while at + 4 <= len(body):
        kind, length = struct.unpack_from(">HH", body, at)
        extensions[kind] = body[at + 4 : at + 4 + length]
        at += 4 + length
    return Hello(body[2:34], body[35 : 35 + size], extensions)


def plain_messages(stream: bytes) -> list[tuple[int, bytes]]:
    """The handshake messages up to where encryption starts, and (0, b"") there."""
    messages: list[tuple[int, bytes]] = []
    data, at = b"", 0
    while at + 5 <= len(stream) and stream[at] == HANDSHAKE:
        length = struct.unpack_from(">H", stream, at + 3)[0]
        data += stream[at + 5 : at + 5 + length]
        at += 5 + length
    while len(data) >= 4 + (size := int.from_bytes(data[1:4], "big")):
        messages.append((data[0], data[4 : 4 + size]))
        data = data[4 + size :]
    if at < len(stream) and stream[at] == CHANGE_CIPHER_SPEC:
        messages.append((0, b""))
    return messages


def _server_hello(stream: bytes) -> Hello | None:
    return next(
        (parse_hello(body, False) for kind, body in plain_messages(stream) if kind == SERVER_HELLO), None
    )


class Connection:
    """The bytes of one connection, as far as they tell about the handshake."""

    def __init__(self) -> None:
        self.from_client = b""
        self.from_server = b""

    @property
    def client_hello(self) -> Hello:
        return parse_hello(plain_messages(self.from_client)[0][1], True)

    @property
    def server_hello(self) -> Hello | None:
        """The one that counts: not a request to say hello again, which a ChangeCipherSpec follows."""
        first, _, rest = self.from_server.partition(bytes([CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1]))
        hello = _server_hello(first)
        return _server_hello(rest) if hello and hello.random == RETRY_REQUEST else hello

    @property
    def what(self) -> str:
        hello = self.server_hello
        if hello is None:
            return BROKEN
        if SUPPORTED_VERSIONS in hello.extensions:
            return TLS13 if PRE_SHARED_KEY in hello.extensions else FULL_13
        kinds = [kind for kind, _ in plain_messages(self.from_server)]
        if CERTIFICATE in kinds:
            return FULL_12
        if 0 not in kinds:
            return BROKEN
        return TICKET_12 if self.client_hello.extensions.get(TICKET) else ID

    @property
    def offered(self) -> str | None:
        """What the client offered to resume with. An id in a hello of TLS 1.3 may be mere disguise."""
        hello = self.client_hello
        if PRE_SHARED_KEY in hello.extensions:
            return TLS13
        if hello.extensions.get(TICKET):
            return TICKET_12
        return ID if hello.session_id and SUPPORTED_VERSIONS not in hello.extensions else None


class Tap:
    """A proxy on a port of its own, in front of a server on another."""

    KEEP = 16384  # bytes of each direction

    def __init__(self, to: int, timeout: float = TIMEOUT) -> None:
        self.to = to
        self.timeout = timeout  # of silence, after which a connection is broken off
        self.connections: list[Connection] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._run(self._accept)

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(TIMEOUT)

    @property
    def seen(self) -> list[str]:
        """What each connection was that began with a hello."""
        return [connection.what for connection in self.connections if connection.from_client]

    def _run(self, function: object, *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=function, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            client.settimeout(self.timeout)
            self._run(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        # A connection that stays silent, as browsers make them, would block MicroPython's server.
        with client:
            try:
                if not client.recv(1, socket.MSG_PEEK):
                    return
                server = socket.create_connection(("127.0.0.1", self.to), self.timeout)
            except OSError:
                return
            connection = Connection()
            self.connections.append(connection)
            with server:
                back = self._run(self._carry, server, client, connection, "from_server")
                self._carry(client, server, connection, "from_client")
                back.join()

    def _carry(self, source: socket.socket, sink: socket.socket, connection: Connection, name: str) -> None:
        try:
            while data := source.recv(65536):
                if len(getattr(connection, name)) < self.KEEP:
                    setattr(connection, name, getattr(connection, name) + data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:  # one side is gone, and the other is told
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
