"""What commands have in common: the options that name a board, and getting to that board."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from serial.tools import list_ports  # type: ignore[import-untyped]

from ..deploy import deploy, find_root
from ..errors import PortError
from ..repl import Board
from ..virtual import VirtualBoard, unix_board, unix_c_board

UNIX, UNIX_C = "unix", "unix-c"
VIRTUAL = (UNIX, UNIX_C)

Port = Annotated[
    str | None,
    typer.Option(
        "--port",
        "-p",
        envvar="SESSTAB_PORT",
        help="A device or any pyserial URL (socket://, rfc2217://), or unix or unix-c: a virtual board for "
        "this command only. Default: the only board on USB.",
    ),
]
Root = Annotated[
    str | None, typer.Option("--root", envvar="SESSTAB_ROOT", help="The repository, where lib/ is.")
]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON, for scripts.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", help="Seconds that the code may run. Default: no limit.")
]


@contextlib.contextmanager
def connect(port: str | None, root: str | None) -> Iterator[Board]:
    """The board that a command is for. A virtual one has sesstab on it."""
    with open_board(port, root) as board:
        if port in VIRTUAL:
            deploy(board, find_root(root))
        yield board


@contextlib.contextmanager
def open_board(port: str | None, root: str | None) -> Iterator[Board]:
    """The board that a command is for, as it is."""
    if port in VIRTUAL:
        with (
            virtual_board(port, root) as virtual,
            Board.open(virtual.port, press_reset=virtual.reset) as board,
        ):
            yield board
    else:
        with Board.open(port or _only_board()) as board:
            yield board


def virtual_board(kind: str, root: str | None, heap: str = "2M", files: Path | None = None) -> VirtualBoard:
    if kind == UNIX_C:
        return unix_c_board(find_root(root), heap=heap, files=files)
    return unix_board(heap=heap, files=files)


def _only_board() -> str:
    """The port of the board on USB, if there is exactly one."""
    found = [str(info.device) for info in list_ports.comports() if info.vid is not None]
    if len(found) == 1:
        return found[0]
    if found:
        raise PortError(f"several boards on USB ({', '.join(sorted(found))}); choose one with --port")
    raise PortError("no board found on USB; plug one in, name its port with --port, or try --port unix")
