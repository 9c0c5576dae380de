"""Clients of a server on the board: each connects twice, and the second time offers what it was given.

A client says of each connection whether it was resumed.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from interop.chromium import chromium
from interop.process import TIMEOUT, run
from interop.wire import ID, TICKET_12, TLS13

GNUTLS_PRIORITY = {ID: "+VERS-TLS1.2:%NO_TICKETS", TICKET_12: "+VERS-TLS1.2", TLS13: "+VERS-TLS1.3"}
REQUEST = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


OPENSSL_VERSION = {ID: ["-tls1_2", "-no_ticket"], TICKET_12: ["-tls1_2"], TLS13: ["-tls1_3"]}


def s_client(port: int, way: str, folder: Path, *options: object) -> bool | None:
    """One request with OpenSSL's client. Whether it was resumed; None: there was no answer."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", *OPENSSL_VERSION[way]]
    text = run([*command, *options], folder, REQUEST)
    said = re.search(r"^(New|Reused), ", text, re.M)
    return said[1] == "Reused" if said and "HTTP/1.1 200 OK" in text else None


def openssl(port: int, way: str, folder: Path) -> list[bool | None]:
    session = folder / "session.pem"
    return [s_client(port, way, folder, option, session) for option in ("-sess_out", "-sess_in")]


def python_context(way: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    only = ssl.TLSVersion.TLSv1_3 if way == TLS13 else ssl.TLSVersion.TLSv1_2
    context.minimum_version = context.maximum_version = only
    if way == ID:
        context.options |= ssl.OP_NO_TICKET
    return context


class PythonClient:
    """CPython's ssl: keeps its last session."""

    def __init__(self, port: int, way: str, context: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.context = context or python_context(way)
        self.session: ssl.SSLSession | None = None

    def connect(self, session: ssl.SSLSession | None = None) -> bool:
        """One request and its answer. Whether the handshake was resumed."""
        stream = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
        with self.context.wrap_socket(stream, server_hostname="localhost", session=session) as connection:
            connection.sendall(REQUEST.encode())
            assert connection.recv(12) == b"HTTP/1.1 200"
            self.session = connection.session  # of TLS 1.3: comes with the answer
            return bool(connection.session_reused)

    def resume(self) -> bool:
        assert self.session is not None
        return self.connect(self.session)


def python(port: int, way: str, folder: Path) -> list[bool]:
    client = PythonClient(port, way)
    return [client.connect(), client.resume()]


def curl(port: int, way: str, folder: Path) -> list[bool]:
    # Two pages in one run: curl keeps sessions in memory only. The server closes the connections.
    version = ["--tlsv1.3"] if way == TLS13 else ["--tls-max", "1.2"]
    page = f"https://127.0.0.1:{port}/"
    options = ["--disable", "--silent", "--verbose", "--insecure", "--noproxy", "*", "--http1.1", *version]
    text = run(["curl", *options, page, page], folder)
    connections = re.split(r"\*\s+Trying ", text)[1:]
    assert text.count("HTTP/1.1 200 OK") == 2, text
    return ["re-using session ID" in part for part in connections]


def gnutls(port: int, way: str, folder: Path) -> list[bool]:
    version = "NORMAL:-VERS-ALL:" + GNUTLS_PRIORITY[way]
    options = ["--waitresumption"] if way == TLS13 else []
    command = ["gnutls-cli", "--resume", "--insecure", "--priority", version, *options, "--port", port]
    text = run([*command, "127.0.0.1"], folder, REQUEST)
    assert text.count("Handshake was completed") == 2, text
    first, _, second = text.partition("Connecting again")
    return ["This is a resumed session" in part for part in (first, second)]


Client = Callable[[int, str, Path], Sequence[bool | None]]
CLIENTS: dict[str, Client] = {
    "OpenSSL s_client": openssl,
    "CPython ssl": python,
    "curl": curl,
    "GnuTLS gnutls-cli": gnutls,
    "Chromium": chromium,
}
