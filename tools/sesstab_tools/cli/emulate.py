"""sesstab emulate: an emulated board for other programs to use."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ..deploy import find_root
from ..emulators import UNIX, start
from .app import app, examples
from .options import Root

_CHECK_EVERY = 0.5  # seconds


@app.command(
    epilog=examples(
        "sesstab emulate",
        "sesstab emulate RPI_PICO --link /tmp/pico --files /tmp/pico-files",
        "sesstab exec --port /tmp/pico \"print('hello')\"",
    )
)
def emulate(
    name: Annotated[
        str,
        typer.Argument(
            metavar="BOARD",
            help="unix: stock MicroPython for unix; unix-c: with sesstab compiled in; or RPI_PICO, ...: a "
            "board that has an emulator (sesstab boards --known).",
        ),
    ] = UNIX,
    link: Annotated[
        Path | None, typer.Option("--link", help="Also make this symbolic link to the port.")
    ] = None,
    files: Annotated[
        Path | None,
        typer.Option("--files", help="A folder that keeps its files. Default: a new one."),
    ] = None,
    heap: Annotated[
        str | None, typer.Option("--heap", help="unix, unix-c: the heap's size. Default: 2M.")
    ] = None,
    uart: Annotated[
        bool, typer.Option("--uart", help="RPI_PICO...: also print the port of its UART0, on a second line.")
    ] = False,
    root: Root = None,
) -> None:
    """Starts an emulated board, prints its port, and runs until Ctrl-C.

    The port stays while the board is reset; any program may use it, one at a time. If the emulator ends by
    itself, that is an error.
    """
    with (
        start(name, find_root(root), files=files, heap=heap, uart=uart) as board,
        _linked(link, board.port),
        contextlib.suppress(KeyboardInterrupt, SystemExit),
    ):
        print(board.port, flush=True)
        if uart:
            print(getattr(board, "uart_port", None), flush=True)
        while True:
            board.check()
            time.sleep(_CHECK_EVERY)


@contextlib.contextmanager
def _linked(link: Path | None, port: str) -> Iterator[None]:
    if link is None:
        yield
        return
    if _leads_to_a_port(link):  # of an emulator that was killed
        link.unlink()
    link.symlink_to(port)
    try:
        yield
    finally:
        if link.is_symlink() and os.readlink(link) == port:
            link.unlink()


def _leads_to_a_port(link: Path) -> bool:
    return link.is_symlink() and os.readlink(link).startswith("/dev/pts/")
