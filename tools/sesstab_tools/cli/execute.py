"""sesstab exec and sesstab run: code on the board, its output here."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .options import Port, Root, Timeout, connect


@app.command("exec")
def execute(
    code: Annotated[str, typer.Argument(help="Python code.")],
    port: Port = None,
    root: Root = None,
    timeout: Timeout = None,
) -> None:
    """Runs CODE on the board and shows what it prints."""
    _run(code.encode(), port, root, timeout)


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="A Python file on this machine.")],
    port: Port = None,
    root: Root = None,
    timeout: Timeout = None,
) -> None:
    """Runs a local FILE on the board and shows what it prints."""
    _run(file.read_bytes(), port, root, timeout)


def _run(code: bytes, port: str | None, root: str | None, timeout: float | None) -> None:
    with connect(port, root) as board:
        program = board.start(code)
        try:
            program.finish(math.inf if timeout is None else timeout, _show_output)
        except KeyboardInterrupt:
            # As at a terminal: Ctrl-C is for the program, whose traceback says where it was.
            program.interrupt()
            program.finish(on_output=_show_output)


def _show_output(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
