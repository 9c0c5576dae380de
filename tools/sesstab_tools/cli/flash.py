"""sesstab flash"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..boards import EsptoolFlash, find_board
from ..deploy import find_root
from ..flash import Flashed, OnProgress, flash
from .app import app, examples
from .options import PORT_VARIABLE, Json, Root, usb_ports


@app.command(
    "flash",
    epilog=examples(
        "sesstab flash RPI_PICO",
        "sesstab flash ESP32_GENERIC --port /dev/ttyUSB0 --verify",
        "sesstab flash ESP32_GENERIC --port /dev/ttyUSB0 --image new.bin --json",
    ),
)
def flash_command(
    name: Annotated[str, typer.Argument(metavar="BOARD", help="Which board it is: sesstab boards --known.")],
    port: Annotated[
        str | None,
        typer.Option(
            "--port", "-p", envvar=PORT_VARIABLE, help="Its serial port. Default: the only board on USB."
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option("--image", help="The firmware. Default: that of make firmware BOARD=...."),
    ] = None,
    volume: Annotated[
        Path | None,
        typer.Option("--volume", help="Where the volume of its UF2 boot loader is. Default: searched for."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare each byte in flash, or fail; takes longer.")
    ] = False,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Writes firmware to a board, and says how it was verified.

    The image is checked first, then that the right chip is there; only then anything is written. A board that
    runs MicroPython enters its UF2 boot loader by itself; else hold BOOTSEL while you plug it in.
    """
    folder = find_root(root)
    spec = find_board(name, folder)
    if port is None and isinstance(spec.flash, EsptoolFlash) and len(usb_ports()) == 1:
        port = usb_ports()[0]
    try:
        with _progress() as on_progress:
            done = flash(
                spec, folder, image=image, port=port, volume=volume, verify=verify, on_progress=on_progress
            )
    except KeyboardInterrupt as error:
        print("sesstab: interrupted; the firmware may be incomplete: run this again", file=sys.stderr)
        raise typer.Exit(130) from error
    if as_json:
        print(json.dumps(dataclasses.asdict(done)))
    else:
        _show(done)


@contextlib.contextmanager
def _progress() -> Iterator[OnProgress]:
    """A bar for each thing that is done, on stderr, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def on_progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what)
            progress.update(tasks[what], completed=done, total=total)

        yield on_progress


def _show(done: Flashed) -> None:
    table = Table(show_header=False, box=None)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("board", done.board)
    table.add_row("image", done.image)
    table.add_row("written", f"{done.size} bytes")
    table.add_row("verified", done.verified or "no: the board cannot read its flash; --verify insists")
    if done.port:
        table.add_row("port", done.port)
    Console(highlight=False, markup=False).print(table)
