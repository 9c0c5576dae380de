"""sesstab boards: what is plugged in, and what could be."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from serial.tools import list_ports  # type: ignore[import-untyped]

from ..boards import BoardSpec, EsptoolFlash, Uf2Flash, all_boards
from ..deploy import find_root
from ..errors import BoardError
from ..facts import Facts, ask_facts
from ..repl import Board
from .app import app, examples
from .options import Json, Root

_PROBE_TIME = 3.0
# What the table shows; JSON has everything.
_COLUMNS = (
    *("name", "chip", "arch", "flash", "emulator", "title"),
    *("port", "usb", "firmware", "sesstab", "engine", "description", "machine"),
)


@app.command(
    "boards", epilog=examples("sesstab boards", "sesstab boards --probe --json", "sesstab boards --known")
)
def boards(
    known: Annotated[
        bool, typer.Option("--known", help="List the boards that sesstab can build for, flash or emulate.")
    ] = False,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe", help="Ask each board what runs on it; interrupts the program there (Ctrl-C)."
        ),
    ] = False,
    port: Annotated[
        list[str] | None, typer.Option("--port", "-p", help="A port besides those on USB (repeatable).")
    ] = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Lists the serial ports on USB; with --probe also the firmware and the sesstab on each board.

    Without --probe no port is opened, and no board disturbed. --json says more: heap, and USB description.
    """
    found = [_known(spec) for spec in all_boards(find_root(root))] if known else _ports(port or [])
    if probe and not known:
        for entry in found:
            entry.update(_probe(entry["port"]))
    if as_json:
        print(json.dumps(found))
    elif found:
        _show(found)
    else:
        print("no board.toml in boards/" if known else "no serial port on USB; is a board plugged in?")


def _known(spec: BoardSpec) -> dict[str, Any]:
    flash = {Uf2Flash: "UF2", EsptoolFlash: "esptool"}.get(type(spec.flash), "")
    return {
        "name": spec.name,
        "chip": spec.chip,
        "arch": spec.arch,
        "flash": flash,
        "emulator": spec.emulator.kind if spec.emulator else "",
        "title": spec.title,
    }


def _ports(others: list[str]) -> list[dict[str, Any]]:
    usb = [
        {"port": info.device, "usb": f"{info.vid:04x}:{info.pid:04x}", "description": info.description}
        for info in sorted(list_ports.comports())
        if info.vid is not None
    ]
    listed = [entry["port"] for entry in usb]
    return usb + [{"port": name, "usb": "", "description": ""} for name in others if name not in listed]


def _probe(port: str) -> dict[str, Any]:
    """What runs on the board; what is wrong, where none answers."""
    try:
        with Board.open(port, timeout=_PROBE_TIME) as board:
            return {**dataclasses.asdict(ask_facts(board)), "error": ""}
    except BoardError as error:
        nothing = {field.name: None for field in dataclasses.fields(Facts)}
        return {**nothing, "error": str(error)}


def _show(found: list[dict[str, Any]]) -> None:
    """A table whose last column takes what room there is; what went wrong, a line each."""
    table = Table(box=None, pad_edge=False)
    columns = [name for name in _COLUMNS if any(entry.get(name) for entry in found)]
    for name in columns:
        table.add_column(name, no_wrap=name != columns[-1])
    for entry in found:
        table.add_row(*(entry[name] or "" for name in columns))
    Console(highlight=False, markup=False).print(table)
    for entry in found:
        if entry.get("error"):
            print(entry["error"])
