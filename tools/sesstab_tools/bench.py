"""`make bench`: the figures of docs/performance.md, measured anew.

    python -m sesstab_tools.bench [--write]

--write puts them into docs/performance.md, between the marks there.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

from .board_bench import bench_table, load
from .certificates import Certificate, make_certificate
from .demo import TLS12, TLS13
from .deploy import find_root
from .errors import BoardError
from .handshakes import (
    COLUMNS,
    Handshake,
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
from .page import markdown, write
from .repl import Board
from .virtual import unix_board, unix_c_board

SIZES = (16, 64, 256)  # sessions
OPERATIONS = (("get_hit_us", "hit"), ("get_miss_us", "miss"), ("insert_full_us", "insert when full"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what docs/performance.md says.")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/performance.md")
    arguments = parser.parse_args()
    root = find_root()
    try:
        report = measure(root)
        print(report)
        if arguments.write:
            write(root / "docs" / "performance.md", report)
    except (BoardError, LinkError, OSError) as error:
        sys.exit(f"sesstab: {error}")


def measure(root: Path) -> str:
    """All figures, as Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        kinds = (("ec", "ECDSA P-256"), ("rsa", "RSA-2048"))
        certificates = {name: make_certificate(Path(folder), kind) for kind, name in kinds}
        with unix_board(heap="4M") as virtual, Board.open(virtual.port) as board:
            engines = {engine: bench_engine(board, root, engine) for engine in ("pure", "native")}
            stock = stock_handshakes(board, certificates)
        with unix_c_board(root, heap="4M") as virtual, Board.open(virtual.port) as board:
            built_in = built_in_handshakes(board, certificates)
    sections = [
        f"Measured on {platform.machine()}, {processor()}.",
        "### Handshakes on stock firmware",
        stock,
        "### Handshakes on firmware with sesstab in it",
        built_in,
        "### The engines on the virtual board",
        engine_table(engines),
        "### Memory",
        memory_table(engines),
    ]
    return "\n\n".join(sections)


def bench_engine(board: Board, root: Path, engine: str) -> dict[str, Any]:
    """What an engine costs, on a fresh interpreter."""
    load(board, root, engine)
    return bench_table(board, engine, SIZES, budget_us=300000)


def stock_handshakes(board: Board, certificates: dict[str, Certificate]) -> str:
    """The board is a server, with the firmware that anybody has; over the serial line, as on a board."""
    deploy_programs(board)
    table = []
    for name, certificate in certificates.items():
        board.soft_reset()
        start_server(board, certificate)
        table += labelled(f"server, 1.2 id, {name}", over_serial(board, client_context(certificate)))
    return markdown(["TLS", "handshake", *COLUMNS], table)


def built_in_handshakes(board: Board, certificates: dict[str, Certificate]) -> str:
    """The board is a server and a client, with sesstab in its firmware; over TCP."""
    deploy_programs(board)
    table = []
    for name, certificate in certificates.items():
        for way, version, tickets in (
            ("1.2 id", TLS12, False),
            ("1.2 ticket", TLS12, True),
            ("1.3", TLS13, True),
        ):
            board.soft_reset()
            start_server(board, certificate)
            context = client_context(certificate, version, tickets)
            table += labelled(f"server, {way}, {name}", over_tcp(board, context))
        for way, version in (("1.2 ticket", TLS12), ("1.3", TLS13)):
            board.soft_reset()
            start_client(board, certificate)
            handshakes = as_client_over_tcp(board, server_context(certificate, version))
            table += labelled(f"client, {way}, {name}", handshakes)
    return markdown(["TLS", "handshake", *COLUMNS], table)


def labelled(label: str, handshakes: list[Handshake]) -> list[list[str]]:
    return [[label if row[0] == "full" else "", *row] for row in rows(handshakes)]


def engine_table(engines: dict[str, Any]) -> str:
    rows = []
    for size in SIZES:
        pure, native = (engines[engine][str(size)] for engine in ("pure", "native"))
        for key, name in OPERATIONS:
            ratio = f"{pure[key] / native[key]:.0f}"
            rows.append([str(size), name, f"{pure[key]:.2f}", f"{native[key]:.2f}", ratio])
    return markdown(["sessions", "operation", "pure, µs", "native, µs", "ratio"], rows)


def memory_table(engines: dict[str, Any]) -> str:
    rows = []
    for size in SIZES:
        pure, native = (engines[engine][str(size)] for engine in ("pure", "native"))
        per_session = (native["size_of"] - header_size(engines)) / (size + 2)
        rows.append([str(size), str(native["size_of"]), f"{per_session:.2f}", str(pure["size_of"])])
    return markdown(["sessions", "native table, bytes", "a slot", "pure table, bytes"], rows)


def header_size(engines: dict[str, Any]) -> float:
    """What does not grow with the sessions, from two sizes of narrow tables."""
    small, large = (engines["native"][str(size)]["size_of"] for size in SIZES[:2])
    per_session = (large - small) / (SIZES[1] - SIZES[0])
    return float(small - per_session * (SIZES[0] + 2))


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(": ", 1)[1]
    return "unknown processor"


if __name__ == "__main__":
    main()
