"""Handshakes of one board with this computer's OpenSSL, over the board's serial line, in all ways it can.

    python -m sesstab_tools.board_handshakes [--write]

measures emulated boards; --write puts the figures into docs/performance.md. `make demo BOARD=...` shows those
of one board, emulated or real.
"""

from __future__ import annotations

import argparse
import contextlib
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .boards import BoardSpec, Serial, find_board
from .certificates import Certificate, make_certificate
from .deploy import find_root
from .emulators import emulate
from .errors import BoardError
from .handshakes import (
    Handshake,
    as_client_over_serial,
    client_context,
    compare,
    deploy_programs,
    medians,
    over_serial,
    server_context,
    start_client,
    start_server,
)
from .link import LinkError
from .page import markdown, write
from .repl import Board

# On the page, and with what certificates.
BOARDS = {
    "RPI_PICO": ("ec", "rsa"),
    "RPI_PICO_STOCK": ("ec",),
    "QEMU_MICROBIT": ("ec",),
    "QEMU_MPS2_AN385": ("ec",),
    "QEMU_VIRT_RV32": ("ec",),
}
KEYS = {"ec": "ECDSA P-256", "rsa": "RSA-2048"}
ROUNDS = 5  # equal work takes equal time in an emulator; only random numbers differ, and what they cost
_TLS12, _TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@dataclass(frozen=True)
class Clock:
    """What a board's processor does in a microsecond."""

    per_us: float
    unit: str
    """Cycles, or instructions where the emulator counts those."""

    def __str__(self) -> str:
        return f"{self.per_us:g} {self.unit} in a microsecond"


@contextlib.contextmanager
def opened(spec: BoardSpec | None, port: str | None, root: Path) -> Iterator[Board]:
    """The board on a port; without a port, the emulated board."""
    if port:
        serial = spec.serial if spec else Serial(115200, None)
        with Board.open(port, baudrate=serial.baudrate, burst=serial.burst) as board:
            yield board
    else:
        assert spec
        with emulate(spec, root) as running, Board.open(running.port, press_reset=running.reset) as board:
            yield board


def clock_of(board: Board, emulated: BoardSpec | None) -> Clock | None:
    """None: the board does not tell."""
    if emulated and emulated.emulator and emulated.emulator.kind == "qemu":
        return Clock(1000, "instructions")  # each takes a nanosecond of the board's time
    frequency = board.eval("getattr(__import__('machine'), 'freq', int)()")
    return Clock(frequency / 1e6, "cycles") if isinstance(frequency, int) and frequency else None


def handshakes(
    board: Board, certificate: Certificate, rounds: int = ROUNDS
) -> Iterator[tuple[str, list[Handshake]]]:
    """Each way that the board's firmware knows, by name. The programs must be on the board."""
    features = board.eval("getattr(__import__('_sesstab'), 'TLS', ('1.2',))")
    assert isinstance(features, tuple)

    board.soft_reset()
    start_server(board, certificate)
    yield "server, 1.2 id", over_serial(board, client_context(certificate, tickets=False), rounds)
    if "tickets" in features:
        yield "server, 1.2 ticket", over_serial(board, client_context(certificate), rounds)
    if "1.3" in features:
        yield "server, 1.3", over_serial(board, client_context(certificate, _TLS13), rounds)
    if not board.eval("hasattr(__import__('_sesstab'), 'Client')"):
        return  # clients need sesstab in the firmware

    board.soft_reset()
    set_clock(board)
    start_client(board, certificate)
    yield "client, 1.2", as_client_over_serial(board, server_context(certificate, _TLS12), rounds)
    if "1.3" in features:
        yield "client, 1.3", as_client_over_serial(board, server_context(certificate, _TLS13), rounds)


def set_clock(board: Board) -> None:
    """To this computer's time, in UTC, where there is a clock to set: certificates have dates."""
    now = time.gmtime()
    moment = (now.tm_year, now.tm_mon, now.tm_mday, now.tm_wday, now.tm_hour, now.tm_min, now.tm_sec, 0)
    board.exec(f"import machine\nif hasattr(machine, 'RTC'): machine.RTC().datetime({moment})")


# In figures


def columns(clock: Clock | None) -> dict[str, str]:
    """Names and formats: the board's time in the handshake, bytes of TLS, bytes of MicroPython's heap."""
    counted = {f"M {clock.unit}": "{:.2f}"} if clock else {}
    numbers = ("bytes in", "bytes out", "heap kept", "heap at most")
    return {"ms": "{:.2f}", **counted, **dict.fromkeys(numbers, "{:.0f}")}


def figures(chosen: list[Handshake], clock: Clock | None) -> list[float]:
    """One number for each of columns(), the median."""
    us, *others = medians(chosen, "cpu_us", "received", "sent", "heap", "heap_most")
    counted = [us * clock.per_us / 1e6] if clock else []
    return [us / 1000, *counted, *others]


def rows(results: list[Handshake], clock: Clock | None) -> list[list[str]]:
    """Full, resumed, and the ratio of the two."""
    full, resumed = ([h for h in results if h.resumed == kind] for kind in (False, True))
    return compare(figures(full, clock), figures(resumed, clock), columns(clock).values())


# The page


def report(root: Path) -> str:
    """The emulated boards', as Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        certificates = {kind: make_certificate(Path(folder), kind) for kind in KEYS}
        return "\n\n".join(
            section(find_board(name, root), {kind: certificates[kind] for kind in kinds}, root)
            for name, kinds in BOARDS.items()
        )


def section(spec: BoardSpec, certificates: dict[str, Certificate], root: Path) -> str:
    with opened(spec, None, root) as board:
        module = deploy_programs(board).module
        clock = clock_of(board, spec)
        table = [
            [f"{way}, {KEYS[kind]}" if row[0] == "full" else "", *row]
            for kind, certificate in certificates.items()
            for way, results in handshakes(board, certificate)
            for row in rows(results, clock)
        ]
    head = f"### {spec.name}: {spec.title}\n\nThe table is in C, {module}; {clock}."
    return f"{head}\n\n{markdown(['the board as', 'handshake', *columns(clock)], table)}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures handshakes of emulated boards.")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/performance.md")
    arguments = parser.parse_args()
    root = find_root()
    try:
        text = report(root)
        print(text)
        if arguments.write:
            write(root / "docs" / "performance.md", text, "board handshakes")
    except (BoardError, LinkError, OSError) as error:
        sys.exit(f"sesstab: {error}")


if __name__ == "__main__":
    main()
