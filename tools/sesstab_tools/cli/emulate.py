"""sesstab emulate: a virtual board for other programs to use."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ..errors import PortError
from .app import app
from .options import UNIX, VIRTUAL, Root, virtual_board


@app.command()
def emulate(
    kind: Annotated[
        str,
        typer.Argument(help="unix: stock MicroPython for unix; unix-c: with sesstab compiled in."),
    ] = UNIX,
    link: Annotated[
        Path | None, typer.Option("--link", help="Also make this symbolic link to the port.")
    ] = None,
    files: Annotated[
        Path | None, typer.Option("--files", help="A folder for its files. Default: a new one.")
    ] = None,
    heap: Annotated[str, typer.Option("--heap", help="Size of its heap.")] = "2M",
    root: Root = None,
) -> None:
    """Starts a virtual board, prints its port, and runs until Ctrl-C."""
    if kind not in VIRTUAL:
        raise PortError(f"no virtual board {kind!r}; there are {', '.join(VIRTUAL)}")
    if files:
        files.mkdir(parents=True, exist_ok=True)
    with virtual_board(kind, root, heap, files and files.resolve()) as board, _linked(link, board.port):
        print(board.port, flush=True)
        _wait_for_signal()


@contextlib.contextmanager
def _linked(link: Path | None, port: str) -> Iterator[None]:
    if link is None:
        yield
        return
    if link.is_symlink():
        link.unlink()
    link.symlink_to(port)
    try:
        yield
    finally:
        link.unlink(missing_ok=True)


def _wait_for_signal() -> None:
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: told.set())
    while not told.wait(0.5):
        continue
