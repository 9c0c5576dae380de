"""sesstab test"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Annotated

import typer

from ..deploy import find_root
from .app import app
from .options import VIRTUAL, Port, Root


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(
    context: typer.Context,
    target: Annotated[
        list[str] | None, typer.Option("--target", help="cpython, unix or unix-c (repeatable).")
    ] = None,
    engine: Annotated[list[str] | None, typer.Option("--engine", help="pure or native (repeatable).")] = None,
    port: Port = None,
    root: Root = None,
) -> None:
    """Runs the device tests, on a board if --port names one. Other arguments go to pytest."""
    folder = find_root(root)
    targets = [*(target or []), *([port] if port in VIRTUAL else [])]
    options = [f"--target={name}" for name in targets] + [f"--engine={name}" for name in engine or []]
    if port and port not in VIRTUAL:
        options.append(f"--port={port if '://' in port else os.path.abspath(port)}")
    command = [sys.executable, "-m", "pytest", "host_tests/device", *options, *context.args]
    raise typer.Exit(subprocess.call(command, cwd=folder))
