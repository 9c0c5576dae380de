"""What commands have in common: the options that name a board, and getting to that board."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated

import typer
from serial.tools import list_ports  # type: ignore[import-untyped]

from ..boards import all_boards
from ..deploy import deploy, find_root
from ..emulators import UNIX, UNIX_C, start
from ..errors import PortError
from ..repl import Board

PORT_VARIABLE = "SESSTAB_PORT"

Port = Annotated[
    str | None,
    typer.Option(
        "--port",
        "-p",
        envvar=PORT_VARIABLE,
        help="A device or any pyserial URL (socket://, rfc2217://); or unix, unix-c, RPI_PICO, ...: a fresh "
        "emulated board for this command only. Default: the only board on USB.",
    ),
]
Root = Annotated[
    str | None, typer.Option("--root", envvar="SESSTAB_ROOT", help="The repository, where lib/ is.")
]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON, for scripts.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0, help="Seconds that the code may run. Default: no limit.")
]


@contextlib.contextmanager
def connect(port: str | None, root: str | None) -> Iterator[Board]:
    """The board that a command is for. An emulated one has sesstab on it."""
    with open_board(port, root) as board:
        if is_emulated(port, root):
            deploy(board, find_root(root))
        yield board


@contextlib.contextmanager
def open_board(port: str | None, root: str | None) -> Iterator[Board]:
    """The board that a command is for, as it is."""
    if port and is_emulated(port, root):
        with (
            start(port, find_root(root)) as running,
            Board.open(running.port, press_reset=running.reset) as board,
        ):
            yield board
    else:
        with Board.open(port or _only_board()) as board:
            yield board


def is_emulated(port: str | None, root: str | None) -> bool:
    """Whether `port` is no port but the name of a board, to be emulated."""
    if port is None or "/" in port:
        return False
    return port in (UNIX, UNIX_C) or any(spec.name == port for spec in all_boards(find_root(root)))


def usb_ports() -> list[str]:
    return sorted(str(info.device) for info in list_ports.comports() if info.vid is not None)


def _only_board() -> str:
    """The port of the board on USB, if there is exactly one."""
    found = usb_ports()
    if len(found) == 1:
        return found[0]
    if found:
        raise PortError(f"several boards on USB ({', '.join(found)}); choose one with --port")
    raise PortError("no board found on USB; plug one in, name its port with --port, or try --port unix")
