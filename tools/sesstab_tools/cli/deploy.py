"""sesstab deploy"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from .. import deploy as deployment
from ..repl import Board
from .app import app, examples
from .options import Json, Port, Root, open_board


@app.command(
    "deploy",
    epilog=examples(
        "sesstab deploy",
        "sesstab deploy --dry-run --port RPI_PICO",
        "sesstab deploy --verify --json --port /dev/ttyACM0",
    ),
)
def deploy_command(
    port: Port = None,
    root: Root = None,
    pure: Annotated[bool, typer.Option("--pure", help="Without the native module.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be sent and removed.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only compare with what is on the board; status 1: it differs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Puts sesstab onto the board, with the native module for it if there is one. Sends only what changed.

    Every file is checked on the board by its SHA-256. Cut off at any moment, the board has the old version or
    the new one, whole; deploy again.
    """
    if dry_run and verify:
        raise typer.BadParameter("--dry-run and --verify: one at a time")
    folder = deployment.find_root(root)
    with open_board(port, root) as board:
        if verify:
            _verify(board, folder, not pure, as_json)
            return
        done = deployment.deploy(
            board,
            folder,
            native=not pure,
            on_file=None if as_json else _show_file,
            dry_run=dry_run,
        )
    if as_json:
        print(json.dumps(dataclasses.asdict(done)))
    else:
        _show_deployment(done, dry_run)


def _verify(board: Board, folder: Path, native: bool, as_json: bool) -> None:
    states = deployment.verify(board, folder, native=native)
    if as_json:
        print(json.dumps(states))
    else:
        for path, state in states.items():
            print(f"{state:10} {path}")
    if any(state != "same" for state in states.values()):
        raise typer.Exit(1)


def _show_file(path: str, size: int) -> None:
    print(f"{path} ({size} bytes)", flush=True)


def _show_deployment(done: deployment.Deployment, dry_run: bool) -> None:
    if dry_run:
        for path, size in done.sent.items():
            _show_file(path, size)
    table = Table(show_header=False, box=None)
    table.add_row("engine", f"{done.engine} ({done.module})")
    if done.frozen is not None:
        table.add_row("sesstab", f"frozen into the firmware (version {done.frozen})")
    table.add_row("would send" if dry_run else "sent", str(len(done.sent)))
    if done.copied:
        table.add_row("would copy" if dry_run else "copied", f"{len(done.copied)} on the board")
    table.add_row("unchanged", str(len(done.unchanged)))
    for path in done.removed:
        table.add_row("would remove" if dry_run else "removed", path)
    Console(soft_wrap=True, markup=False).print(table)
