"""`make demo`: a virtual board resumes TLS sessions, over its serial line and over TCP, and what it costs.

The board is stock MicroPython behind a pty. sesstab is deployed to it over serial, the table is attached to a
TLS server there, and this computer's OpenSSL connects: in full, then offering the session, many times over.
"""

from __future__ import annotations

import json
import socket
import ssl
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .certificates import Certificate, make_certificate
from .deploy import Deployment, deploy, find_root
from .errors import BoardError, DeployError
from .link import LinkError, SerialLine, SerialTLS
from .repl import Board, Program
from .virtual import unix_board

ROUNDS = 20  # full handshakes, and as many resumed ones, on each line
REQUEST = b"hello\n"
TIMEOUT = 30.0  # seconds


@dataclass(frozen=True)
class Handshake:
    """One handshake, as the board measured it (on_board/tls_server.py)."""

    resumed: bool
    cpu_us: int
    received: int
    sent: int
    heap: int


Session = ssl.SSLSession | None
Connect = Callable[[Session], Session]


def main() -> None:
    console = Console()
    try:
        with unix_board() as virtual, Board.open(virtual.port) as board:
            run(board, console)
    except (BoardError, LinkError, OSError) as error:
        sys.exit(f"sesstab: {error}")


def run(board: Board, console: Console) -> None:
    version = board.eval('__import__("sys").version')
    console.print(f"[bold]Virtual board[/bold] on {board.port}: {version}, unmodified")
    deployment = deploy_demo(board)
    console.print(
        f"[bold]Deployed[/bold] over serial: {len(deployment.sent)} files, {deployment.engine} engine"
    )
    with tempfile.TemporaryDirectory() as folder:
        certificate = make_certificate(Path(folder))
        start_server(board, certificate)
        context = client_context(certificate)
        results = {"serial": over_serial(board, context), "TCP": over_tcp(board, context)}
    console.print(comparison(results))
    console.print(f"[bold]The table's own count[/bold]: {counts(board)}")


def deploy_demo(board: Board) -> Deployment:
    programs = ("serial_link.py", "tls_server.py")
    folder = Path(__file__).with_name("on_board")
    deployment = deploy(
        board, find_root(), extra={f"lib/{name}": (folder / name).read_bytes() for name in programs}
    )
    if deployment.engine != "native":
        raise DeployError(f"attaching a table to a TLS server needs the native module: {deployment.module}")
    return deployment


def start_server(board: Board, certificate: Certificate) -> None:
    """A TLS server on the board, with a table attached."""
    board.exec("import sesstab, tls_server")
    board.exec(f"context = tls_server.make_context({certificate.certificate_der!r}, {certificate.key_der!r})")
    board.exec("table = sesstab.SessionTable(32)\ntable.attach(context)")


def client_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(certificate.certificate_pem)
    return context


def over_serial(board: Board, context: ssl.SSLContext) -> list[Handshake]:
    """Handshakes whose records travel on the REPL's own line."""
    program = board.start(f"tls_server.serve_serial(context, table, {2 * ROUNDS})")
    line = SerialLine(program, TIMEOUT)

    def connect(session: Session) -> Session:
        connection = SerialTLS(line, context, session=session, server_hostname="localhost")
        connection.do_handshake()
        connection.write(REQUEST)
        check_answer(connection.read(), session)
        connection.close()
        return connection.session

    return measure(connect, line, program)


def over_tcp(board: Board, context: ssl.SSLContext) -> list[Handshake]:
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
            return connection.session

    return measure(connect, line, program)


def measure(connect: Connect, line: SerialLine, program: Program) -> list[Handshake]:
    """A full handshake and one that resumes its session, in turns."""
    handshakes = []
    for _ in range(ROUNDS):
        session: Session = None
        for _ in ("full", "resumed"):
            session = connect(session)
            report = json.loads(line.output())
            handshakes.append(Handshake(*(report[field.name] for field in fields(Handshake))))
    program.finish(TIMEOUT)
    return handshakes


def check_answer(answer: bytes, session: Session) -> None:
    """The board says itself whether it resumed; it must have done what was asked of it."""
    expected = (b"resumed " if session else b"full ") + REQUEST
    if answer != expected:
        raise LinkError(f"the board answered {answer!r} instead of {expected!r}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def comparison(results: dict[str, list[Handshake]]) -> Table:
    table = Table(title=f"TLS 1.2, ECDSA P-256, medians of {ROUNDS} handshakes each", title_justify="left")
    table.add_column("over")
    table.add_column("handshake")
    for column in ("CPU on the board", "bytes to the board", "bytes from it", "MicroPython heap"):
        table.add_column(column, justify="right")
    for name, handshakes in results.items():
        full, resumed = (medians(handshakes, kind) for kind in (False, True))
        table.add_section()
        table.add_row(name, "full", *cells(full))
        table.add_row("", "resumed", *cells(resumed))
        table.add_row(
            "", "ratio", *(f"{a / b:.1f}" if b else "-" for a, b in zip(full, resumed, strict=True))
        )
    return table


def medians(handshakes: list[Handshake], resumed: bool) -> list[float]:
    chosen = [h for h in handshakes if h.resumed == resumed]
    return [
        statistics.median(getattr(h, name) for h in chosen) for name in ("cpu_us", "received", "sent", "heap")
    ]


def cells(values: list[float]) -> list[str]:
    cpu, *counts = values
    return [f"{cpu / 1000:.2f} ms", *(f"{count:.0f}" for count in counts)]


def counts(board: Board) -> str:
    stats = board.eval("table.session_stats()")
    assert isinstance(stats, dict)
    return ", ".join(f"{stats[name]} {name}" for name in ("hits", "misses", "timeouts")) + (
        f"; {stats['number']} of {board.eval('table.capacity')} sessions held"
    )


if __name__ == "__main__":
    main()
