"""Handshakes of a board with this computer's OpenSSL, full and resumed in turns, as the board measures them.

The demo shows them, the benchmarks write them down. The board runs on_board/tls_server.py and tls_client.py;
on_board/measure.py measures.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import statistics
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from .certificates import Certificate
from .deploy import Deployment, deploy, find_root
from .errors import DeployError
from .link import LinkError, SerialLine, SerialTLS
from .repl import Board, Program

ROUNDS = 20  # full handshakes, and as many resumed ones, where nothing else is asked for
REQUEST = b"hello\n"
TIMEOUT = 60.0  # seconds; an RSA key on an emulated board takes ten of an idle computer
PROGRAMS = ("measure.py", "serial_link.py", "tls_server.py", "tls_client.py")


@dataclass(frozen=True)
class Handshake:
    """One handshake, as the board measured it."""

    resumed: bool
    cpu_us: int
    """Time in the handshake less the time in the stream below it, microseconds."""
    received: int
    sent: int
    heap: int
    """Bytes of MicroPython's heap taken, and not given back when it is over."""
    heap_most: int
    """The most that it had taken of that heap whenever it read or wrote."""
    tls_heap: tuple[int, int] | None
    """Allocations of Mbed TLS and the bytes that it had at the peak, where the firmware can tell."""


Session = ssl.SSLSession | None
Connect = Callable[[Session], Session]


def deploy_programs(board: Board) -> Deployment:
    """sesstab with the native engine, and the programs for the board's end."""
    folder = Path(__file__).with_name("on_board")
    extra = {f"lib/{name}": (folder / name).read_bytes() for name in PROGRAMS}
    deployment = deploy(board, find_root(), extra=extra)
    if deployment.engine != "native" and not board.eval("hasattr(__import__('_sesstab'), 'TLS')"):
        raise DeployError(f"attaching a table to a TLS server needs the native module: {deployment.module}")
    return deployment


# The board is the server


def start_server(board: Board, certificate: Certificate) -> None:
    """A TLS server on the board, with a table attached."""
    board.exec("import sesstab, tls_server")
    board.exec(f"context = tls_server.make_context({certificate.certificate_der!r}, {certificate.key_der!r})")
    board.exec("table = sesstab.SessionTable(32)\ntable.attach(context)")


def client_context(
    certificate: Certificate, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2, tickets: bool = True
) -> ssl.SSLContext:
    """A client of this computer that trusts `certificate`. Without tickets it resumes by session id."""
    context = ssl.create_default_context()
    context.load_verify_locations(certificate.certificate_pem)
    context.minimum_version = context.maximum_version = version
    if not tickets:
        context.options |= ssl.OP_NO_TICKET
    return context


def over_serial(board: Board, context: ssl.SSLContext, rounds: int = ROUNDS) -> list[Handshake]:
    """Handshakes whose records travel on the REPL's own line."""
    program = board.start(f"tls_server.serve_serial(context, table, {2 * rounds})")
    line = SerialLine(program, TIMEOUT)
    return in_turns(lambda session: connect_over_serial(line, context, session), line, program, rounds)


def connect_over_serial(line: SerialLine, context: ssl.SSLContext, session: Session) -> Session:
    """One connection, which must resume `session` if there is one. Gives its own."""
    connection = SerialTLS(line, context, session=session, server_hostname="localhost")
    with telling_why(connection, line):
        connection.do_handshake()
        connection.write(REQUEST)
        check_answer(connection.read(), session)
    connection.close()
    check_reuse(connection.session_reused, session)
    return connection.session


def over_tcp(board: Board, context: ssl.SSLContext) -> list[Handshake]:
    """Handshakes over TCP on this computer's loopback."""
    port = free_port()
    program = board.start(f"tls_server.serve_tcp(context, table, {2 * ROUNDS}, {port})")
    line = SerialLine(program, TIMEOUT)
    line.output()  # it listens

    def connect(session: Session) -> Session:
        with (
            socket.create_connection(("127.0.0.1", port), TIMEOUT) as raw,
            context.wrap_socket(raw, server_hostname="localhost", session=session) as connection,
        ):
            connection.sendall(REQUEST)
            check_answer(connection.recv(4096), session)
            check_reuse(bool(connection.session_reused), session)
            return connection.session

    return in_turns(connect, line, program)


def in_turns(connect: Connect, line: SerialLine, program: Program, rounds: int = ROUNDS) -> list[Handshake]:
    """A full handshake and one that resumes its session, and so on."""
    handshakes = []
    for _ in range(rounds):
        session: Session = None
        for _ in ("full", "resumed"):
            session = connect(session)
            handshakes.append(read_report(line))
    program.finish(TIMEOUT)
    return handshakes


def check_answer(answer: bytes, session: Session) -> None:
    """The board says itself whether it resumed; it must have done what was asked of it."""
    expected = (b"resumed " if session else b"full ") + REQUEST
    if answer != expected:
        raise LinkError(f"the board answered {answer!r} instead of {expected!r}")


def check_reuse(reused: bool, session: Session) -> None:
    """What OpenSSL says of it."""
    if reused != bool(session):
        raise LinkError(f"OpenSSL {'did not reuse the session' if session else 'reused a session unasked'}")


# The board is the client


def start_client(board: Board, certificate: Certificate) -> None:
    """A TLS client on the board, with a table for its sessions. It checks the server's certificate."""
    board.exec("import sesstab, tls_client")
    board.exec(f"context = tls_client.make_context({certificate.certificate_der!r})")
    board.exec("table = sesstab.SessionTable(4, data_size=1600, mode=sesstab.SESS_CACHE_CLIENT)")


def server_context(certificate: Certificate, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A server of this computer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate_pem, certificate.key_pem)
    context.minimum_version = context.maximum_version = version
    if version == ssl.TLSVersion.TLSv1_2:
        # A client of Mbed TLS 3.6 with TLS 1.3 offers RSA-PSS, and then refuses it in TLS 1.2 (a bug of Mbed
        # TLS's). So an RSA key must not sign.
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:AES128-GCM-SHA256")
    return context


def as_client_over_serial(board: Board, context: ssl.SSLContext, rounds: int = ROUNDS) -> list[Handshake]:
    """Handshakes that the board makes with a server of this computer, on the REPL's own line."""
    program = board.start(f"tls_client.ask_serial(context, table, {rounds})")
    line = SerialLine(program, TIMEOUT)
    handshakes = []
    for _ in range(2 * rounds):
        connection = SerialTLS(line, context, server_side=True)
        with telling_why(connection, line):
            connection.do_handshake()
            connection.write(connection.read())
        connection.close()
        handshakes.append(read_report(line))
        if connection.session_reused != handshakes[-1].resumed:
            raise LinkError("the board and OpenSSL do not agree on whether they resumed")
    program.finish(TIMEOUT)
    return in_order(handshakes)


def as_client_over_tcp(board: Board, context: ssl.SSLContext) -> list[Handshake]:
    """The same over TCP."""
    with echo_server(context) as port:
        program = board.start(f"tls_client.ask_tcp(context, table, {ROUNDS}, {port})")
        line = SerialLine(program, TIMEOUT)
        handshakes = [read_report(line) for _ in range(2 * ROUNDS)]
        program.finish(TIMEOUT)
    return in_order(handshakes)


def in_order(handshakes: list[Handshake]) -> list[Handshake]:
    """They must be full and resumed in turns."""
    wrong = [i for i, handshake in enumerate(handshakes) if handshake.resumed != bool(i % 2)]
    if wrong:
        raise LinkError(f"handshakes {wrong} of the board were not what was asked of it")
    return handshakes


@contextlib.contextmanager
def echo_server(context: ssl.SSLContext) -> Iterator[int]:
    """A TLS server on a port of the loopback, which answers a line with that line."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:  # closed: the measurement is over
                return
            # A client that goes away shows in its own report.
            with raw, contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as connection:
                connection.sendall(connection.recv(4096))
                connection.recv(4096)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(TIMEOUT)


@contextlib.contextmanager
def telling_why(connection: SerialTLS, line: SerialLine) -> Iterator[None]:
    """When TLS fails, the board knows why: raises what ended its program, or tells what it printed."""
    try:
        yield
    except ssl.SSLError as error:
        connection.close()
        while (said := line.output()).startswith(("Traceback", " ")):
            pass
        raise LinkError(f"{error}; the board says {said!r}") from error


def read_report(line: SerialLine) -> Handshake:
    report = json.loads(line.output())
    return Handshake(*(report[field.name] for field in fields(Handshake)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# In figures

COLUMNS = {
    "CPU": "{:.2f} ms",
    "bytes in": "{:.0f}",
    "bytes out": "{:.0f}",
    "heap": "{:.0f}",
    "TLS callocs": "{:.0f}",
    "TLS peak": "{:.0f}",
}
"""The board's, and their formats: time in the handshake, bytes of TLS, bytes taken from MicroPython's heap;
Mbed TLS's allocations and its bytes at the peak."""


def figures(handshakes: list[Handshake], resumed: bool) -> list[float | None]:
    """One number for each of COLUMNS; None where the firmware cannot tell.

    Of the times the least, since all that disturbs a measurement adds to it; of the rest the median.
    """
    chosen = [h for h in handshakes if h.resumed == resumed]
    heaps = [h.tls_heap for h in chosen if h.tls_heap]
    peaks = [statistics.median(heap[i] for heap in heaps) if heaps else None for i in (0, 1)]
    return [min(h.cpu_us for h in chosen) / 1000, *medians(chosen, "received", "sent", "heap"), *peaks]


def medians(handshakes: list[Handshake], *names: str) -> list[float]:
    return [statistics.median(getattr(h, name) for h in handshakes) for name in names]


def rows(handshakes: list[Handshake]) -> list[list[str]]:
    """compare() for COLUMNS."""
    return compare(figures(handshakes, False), figures(handshakes, True), COLUMNS.values())


def compare(
    full: Sequence[float | None], resumed: Sequence[float | None], formats: Iterable[str]
) -> list[list[str]]:
    """Full, resumed, and the ratio of the two; each a name and a text for each format."""
    texts = [
        [name, *("-" if n is None else form.format(n) for form, n in zip(formats, numbers, strict=True))]
        for name, numbers in (("full", full), ("resumed", resumed))
    ]
    ratio = ["-" if not a or not b else f"{a / b:.1f}" for a, b in zip(full, resumed, strict=True)]
    return [*texts, ["ratio", *ratio]]
