"""sesstab deploy"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from .. import deploy as deployment
from .app import app
from .options import Port, Root, open_board


@app.command("deploy")
def deploy_command(
    port: Port = None,
    root: Root = None,
    pure: Annotated[bool, typer.Option("--pure", help="Without the native module.")] = False,
) -> None:
    """Puts sesstab onto the board, with the native module for it if there is one. Sends only what changed."""
    with open_board(port, root) as board:
        done = deployment.deploy(board, deployment.find_root(root), native=not pure, on_file=_show_file)
    _show_deployment(done)


def _show_file(path: str, size: int) -> None:
    print(f"{path} ({size} bytes)", flush=True)


def _show_deployment(done: deployment.Deployment) -> None:
    table = Table(show_header=False, box=None)
    table.add_row("engine", f"{done.engine} ({done.module})")
    table.add_row("sent", str(len(done.sent)))
    table.add_row("unchanged", str(len(done.unchanged)))
    for path in done.removed:
        table.add_row("removed", path)
    Console(soft_wrap=True).print(table)
