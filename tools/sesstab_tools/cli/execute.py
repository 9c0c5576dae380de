"""sesstab exec and sesstab run: code on the board, its output here."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ..errors import BoardError, DeviceException
from ..repl import OnOutput, Program
from .app import app, examples
from .options import Json, Port, Root, Timeout, connect


@app.command(
    "exec",
    epilog=examples(
        'sesstab exec "import os; print(os.uname())"',
        'sesstab exec --port unix "import sesstab; print(sesstab.ENGINE)"',
        'sesstab exec --port unix --json --timeout 5 "1 / 0"',
    ),
)
def execute(
    code: Annotated[str, typer.Argument(help="Python code.")],
    port: Port = None,
    root: Root = None,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Runs CODE on the board and shows what it prints.

    Status 1, and the board's traceback, when it raises. Ctrl-C interrupts it. --json: one object with output,
    error (null, or what went wrong) and traceback.
    """
    _run(lambda: os.fsencode(code), port, root, timeout, as_json)


@app.command(
    epilog=examples("sesstab run test.py", "sesstab run --port /dev/ttyACM0 --timeout 60 --json test.py")
)
def run(
    file: Annotated[Path, typer.Argument(help="A Python file on this machine.")],
    port: Port = None,
    root: Root = None,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Runs a local FILE on the board and shows what it prints; else as sesstab exec."""
    _run(file.read_bytes, port, root, timeout, as_json)


def _run(
    read: Callable[[], bytes], port: str | None, root: str | None, timeout: float | None, as_json: bool
) -> None:
    seconds = math.inf if timeout is None else timeout
    try:
        code = read()
        with connect(port, root) as board:
            output = _finish(board.start(code), seconds, None if as_json else _show_output)
    except (BoardError, OSError) as error:
        if not as_json:
            raise
        print(_result(error.output if isinstance(error, BoardError) else b"", error))
        raise typer.Exit(1) from error
    if as_json:
        print(_result(output))


def _finish(program: Program, seconds: float, on_output: OnOutput | None = None) -> bytes:
    try:
        return program.finish(seconds, on_output)
    except KeyboardInterrupt:
        # As at a terminal: Ctrl-C is for the program, whose traceback says where it was.
        program.interrupt()
        return program.finish(on_output=on_output)


def _result(output: bytes, error: Exception | None = None) -> str:
    traceback = error.traceback if isinstance(error, DeviceException) else None
    what = error.last_line if isinstance(error, DeviceException) else error and str(error)
    text = output.decode(errors="replace").replace("\r\n", "\n")
    return json.dumps({"output": text, "error": what, "traceback": traceback})


def _show_output(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
