"""`make demo`: virtual boards resume TLS sessions, as servers and as a client, and what it costs.

The first board is stock MicroPython behind a pty. sesstab is deployed to it over serial, the table is
attached to a TLS server there, and this computer's OpenSSL connects: in full, then offering the session, many
times over. The second is the firmware of boards/UNIX, with sesstab compiled in: that adds TLS 1.3, and the
board as a client.
"""

from __future__ import annotations

import ssl
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .certificates import Certificate, make_certificate
from .deploy import find_root
from .errors import BoardError
from .handshakes import (
    COLUMNS,
    ROUNDS,
    Handshake,
    as_client,
    client_context,
    deploy_programs,
    over_serial,
    over_tcp,
    rows,
    start_server,
)
from .link import LinkError
from .repl import Board
from .virtual import unix_board, unix_c_board

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def main() -> None:
    console = Console(width=max(Console().width, 100), highlight=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            certificate = make_certificate(Path(folder))
            with unix_board() as virtual, Board.open(virtual.port) as board:
                stock_board(board, certificate, console)
            with unix_c_board(find_root()) as virtual, Board.open(virtual.port) as board:
                board_with_sesstab(board, certificate, console)
    except (BoardError, LinkError, OSError) as error:
        sys.exit(f"sesstab: {error}")


def stock_board(board: Board, certificate: Certificate, console: Console) -> None:
    introduce("Stock firmware", board, console)
    start_server(board, certificate)
    context = client_context(certificate)
    results = {
        "server over serial": over_serial(board, context),
        "server over TCP": over_tcp(board, context),
    }
    console.print(comparison("TLS 1.2", results))
    console.print(f"The table's own count: {counts(board)}\n")


def board_with_sesstab(board: Board, certificate: Certificate, console: Console) -> None:
    introduce("Firmware with sesstab in it", board, console)
    start_server(board, certificate)
    results = {"server TLS 1.3": over_tcp(board, client_context(certificate, TLS13))}
    results["client TLS 1.2"] = as_client(board, certificate, TLS12)
    results["client TLS 1.3"] = as_client(board, certificate, TLS13)
    console.print(comparison("TLS 1.3, and the board as a client", results))


def introduce(name: str, board: Board, console: Console) -> None:
    version = str(board.eval('__import__("sys").version')).partition("; ")[2]
    deployment = deploy_programs(board)
    console.print(f"[bold]{name}[/bold], on a virtual board at {board.port}: {version}")
    console.print(f"{len(deployment.sent)} files deployed over its serial line")


def comparison(title: str, results: dict[str, list[Handshake]]) -> Table:
    title = f"{title}, ECDSA P-256: {ROUNDS} handshakes each; the least CPU time, medians of the rest"
    table = Table(title=title, title_justify="left", title_style="")
    for column in ("the board as", "handshake"):
        table.add_column(column, no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for name, handshakes in results.items():
        table.add_section()
        for kind in rows(handshakes):
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
