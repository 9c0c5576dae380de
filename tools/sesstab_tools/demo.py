"""`make demo`: virtual boards resume TLS sessions, as servers and as a client, and what it costs.

The first board is stock MicroPython behind a pty. sesstab is deployed to it over serial, the table is
attached to a TLS server there, and this computer's OpenSSL connects: in full, then offering the session, many
times over. The second is the firmware of boards/UNIX, with sesstab compiled in: that adds TLS 1.3, and the
board as a client.

`make demo BOARD=...` shows one emulated board instead, and `PORT=...` a real one: over the serial line, in
all ways that the board's firmware knows.
"""

from __future__ import annotations

import argparse
import signal
import ssl
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from . import board_handshakes
from .boards import BoardSpec, find_board
from .certificates import Certificate, make_certificate
from .cli import end_when_told
from .deploy import find_root
from .errors import BoardError
from .handshakes import (
    COLUMNS,
    ROUNDS,
    as_client_over_tcp,
    client_context,
    deploy_programs,
    over_serial,
    over_tcp,
    rows,
    server_context,
    start_client,
    start_server,
)
from .link import LinkError
from .repl import Board
from .virtual import unix_board, unix_c_board

MEASURED = f"ECDSA P-256: {ROUNDS} handshakes each; the least CPU time, medians of the rest"
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def main() -> None:
    parser = argparse.ArgumentParser(description="Full and resumed TLS handshakes, measured.")
    parser.add_argument("--board", help="an emulated board, such as RPI_PICO")
    parser.add_argument("--port", help="a real board's serial port, or any URL of pyserial")
    arguments = parser.parse_args()
    end_when_told()
    console = Console(width=max(Console().width, 110), highlight=False)
    root = find_root()
    try:
        with tempfile.TemporaryDirectory() as folder:
            certificate = make_certificate(Path(folder))
            if arguments.board or arguments.port:
                spec = find_board(arguments.board, root) if arguments.board else None
                with board_handshakes.opened(spec, arguments.port, root) as board:
                    one_board(board, None if arguments.port else spec, certificate, console)
                return
            with unix_board() as virtual, Board.open(virtual.port) as board:
                stock_board(board, certificate, console)
            with unix_c_board(root) as virtual, Board.open(virtual.port) as board:
                board_with_sesstab(board, certificate, console)
    except (BoardError, LinkError, OSError) as error:
        sys.exit(f"sesstab: {error}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def one_board(board: Board, emulated: BoardSpec | None, certificate: Certificate, console: Console) -> None:
    machine = board.eval("getattr(__import__('sys').implementation, '_machine', 'a board')")
    introduce(f"{emulated.title}, emulated" if emulated else f"{machine}", board, console)
    clock = board_handshakes.clock_of(board, emulated)
    columns = list(board_handshakes.columns(clock))
    if emulated:
        columns[0] = f"emulated {columns[0]}"
        console.print(f"Its time is emulated: {clock or 'the emulator takes that of this computer'}")
    results = {
        way: board_handshakes.rows(measured, clock)
        for way, measured in board_handshakes.handshakes(board, certificate)
    }
    title = f"TLS over the serial line, ECDSA P-256: medians of {board_handshakes.ROUNDS} handshakes each"
    console.print(comparison(title, columns, results))


def stock_board(board: Board, certificate: Certificate, console: Console) -> None:
    introduce("Stock firmware, on a virtual board", board, console)
    start_server(board, certificate)
    context = client_context(certificate)
    results = {
        "server over serial": rows(over_serial(board, context)),
        "server over TCP": rows(over_tcp(board, context)),
    }
    console.print(comparison(f"TLS 1.2, {MEASURED}", list(COLUMNS), results))
    console.print(f"The table's own count: {counts(board)}\n")


def board_with_sesstab(board: Board, certificate: Certificate, console: Console) -> None:
    introduce("Firmware with sesstab in it, on a virtual board", board, console)
    start_server(board, certificate)
    results = {"server TLS 1.3": rows(over_tcp(board, client_context(certificate, TLS13)))}
    start_client(board, certificate)
    for name, version in (("client TLS 1.2", TLS12), ("client TLS 1.3", TLS13)):
        results[name] = rows(as_client_over_tcp(board, server_context(certificate, version)))
    title = f"TLS 1.3, and the board as a client, {MEASURED}"
    console.print(comparison(title, list(COLUMNS), results))


def introduce(name: str, board: Board, console: Console) -> None:
    version = str(board.eval('__import__("sys").version')).partition("; ")[2]
    deployment = deploy_programs(board)
    console.print(f"[bold]{name}[/bold], at {board.port}: {version}")
    console.print(f"{len(deployment.sent)} files deployed over its serial line")


def comparison(title: str, columns: list[str], results: dict[str, list[list[str]]]) -> Table:
    """A table of what rows() gives, by a name for each."""
    table = Table(title=title, title_justify="left", title_style="")
    for column in ("the board as", "handshake"):
        table.add_column(column, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    for name, kinds in results.items():
        table.add_section()
        for kind in kinds:
            table.add_row(name if kind[0] == "full" else "", *kind)
    return table


def counts(board: Board) -> str:
    stats = board.eval("table.session_stats()")
    assert isinstance(stats, dict)
    return ", ".join(f"{stats[name]} {name}" for name in ("hits", "misses", "timeouts")) + (
        f"; {stats['number']} of {board.eval('table.capacity')} sessions held"
    )


if __name__ == "__main__":
    main()
