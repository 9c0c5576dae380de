"""TLS servers on this computer for a client on a board, and that board."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sesstab_tools.certificates import Certificate
from sesstab_tools.repl import Board

TIMEOUT = 20.0
ROOT = Path(__file__).parents[2]

# How servers resume: TLS 1.2 by session id, TLS 1.2 by ticket, TLS 1.3.
WAYS = ("1.2-id", "1.2-ticket", "1.3")

# On the board: connect() makes a connection, sends a line, and tells about the answer.
CLIENT = """
import gc, socket, sesstab, tls

def make_context(certificate=CERTIFICATE, verify_mode=tls.CERT_REQUIRED):
    ctx = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    ctx.verify_mode = verify_mode
    ctx.load_verify_locations(certificate)
    return ctx

def make_table(capacity=4, spare=2, timeout=7200, clock=None):
    return sesstab.SessionTable(capacity, spare, 512, timeout, sesstab.SESS_CACHE_CLIENT, clock)

def dial(port):
    s = socket.socket()
    s.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
    return s

def connect(port, host="localhost", context=0, request=b"hello\\n"):
    s = dial(port)
    try:
        stream = table.wrap_socket(ctx, s, server_hostname=host, port=port, context=context)
    except BaseException:
        s.close()
        raise
    stream.write(request)
    answer = stream.readline()
    stream.close()
    return stream.session_reused, answer

def free_slots():
    handles = []
    while True:
        h = table.new_session(b"%d" % len(handles), b"")
        if not h:
            break
        handles.append(h)
    return sum([table.free(h) for h in handles])

def leaks():
    refs = [table.session_refs(h) for h in walk()]
    return table.sess_number(), max(refs + [1]), free_slots()

def walk():
    h = table.next_session()
    while h:
        yield h
        h = table.next_session(h)

def counts():
    return table.sess_stored(), table.sess_hits(), table.sess_misses(), table.sess_number()

ctx = make_context()
table = make_table()
"""


def prepare(board: Board, certificate: Certificate) -> Board:
    """Puts CLIENT onto a board, with the certificate that it trusts."""
    board.exec(f"CERTIFICATE = {certificate.certificate_der!r}\n" + CLIENT)
    return board


def server_context(certificate: Certificate, way: str) -> ssl.SSLContext:
    """A server that resumes in one of WAYS.

    With an RSA certificate and TLS 1.2 it must not sign: Mbed TLS 3.6.6 built with TLS 1.3 offers RSA-PSS and
    then refuses it in TLS 1.2 (Mbed TLS's pull request 10674). So keys are exchanged by RSA.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate_pem, certificate.key_pem)
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:AES128-GCM-SHA256")
    if way == "1.3":
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    else:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if way == "1.2-id":
        context.options |= ssl.OP_NO_TICKET
    return context


@dataclass
class Seen:
    """What a server saw of one connection."""

    reused: bool | None = None
    closed_properly: bool = False
    name: str | None = None
    error: Exception | None = None


Handler = Callable[[socket.socket, Seen], None]


class Server:
    """Answers lines with lines, one connection after the other, in a thread. For a with statement."""

    def __init__(self, context: ssl.SSLContext | None, port: int = 0) -> None:
        self.seen: list[Seen] = []
        self.handler: Handler = self.echo
        self.context = context
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self.listener.getsockname()[1]
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def context(self) -> ssl.SSLContext | None:
        return self._context

    @context.setter
    def context(self, context: ssl.SSLContext | None) -> None:
        """A new context has new ticket keys and an empty cache, as a restarted server has."""
        self._context = context
        if context:
            context.sni_callback = self._note_name

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join(TIMEOUT)

    def take(self) -> list[Seen]:
        """The connections since the last call, once they are over."""
        self._idle.wait(TIMEOUT)
        seen, self.seen = self.seen, []
        return seen

    def reused(self) -> list[bool | None]:
        return [connection.reused for connection in self.take()]

    def _note_name(self, connection: ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        self.seen[-1].name = name

    def _serve(self) -> None:
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return  # closed
            self._idle.clear()
            self.seen.append(Seen())
            stream.settimeout(TIMEOUT)
            with stream:
                try:
                    self.handler(stream, self.seen[-1])
                except OSError as error:
                    self.seen[-1].error = error
            self._idle.set()

    def echo(self, stream: socket.socket, seen: Seen) -> None:
        assert self.context
        with self.context.wrap_socket(stream, server_side=True) as connection:
            seen.reused = connection.session_reused
            while line := connection.recv(4096):
                connection.sendall(b"you said " + line)
            seen.closed_properly = True  # without close_notify, recv() raises
            with contextlib.suppress(OSError):
                connection.unwrap()  # OpenSSL forgets sessions whose connections it did not shut down itself


def reset(stream: socket.socket, seen: Seen) -> None:
    """The connection breaks while the handshake runs: a handler."""
    stream.recv(4096)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset_within_a_record(stream: socket.socket, seen: Seen) -> None:
    stream.recv(4096)
    stream.sendall(b"\x16\x03\x03\x00\x7a\x02\x00")
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def alert(stream: socket.socket, seen: Seen) -> None:
    """The server refuses the handshake: a handler."""
    stream.recv(4096)
    stream.sendall(b"\x15\x03\x03\x00\x02\x02\x28")  # handshake_failure
