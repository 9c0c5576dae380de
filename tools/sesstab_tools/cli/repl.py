"""sesstab repl"""

from __future__ import annotations

import sys

from ..terminal import interact
from .app import app, examples
from .options import Port, Root, connect


@app.command(epilog=examples("sesstab repl", "sesstab repl --port RPI_PICO", "sesstab repl --port unix"))
def repl(port: Port = None, root: Root = None) -> None:
    """The board's prompt, on this terminal. Ctrl-] or Ctrl-X leaves; all other keys reach the board.

    Up and down: history, the board's own. Ctrl-E: paste mode, ended by Ctrl-D. Ctrl-C interrupts the program
    there; at the prompt Ctrl-D is a soft reset.
    """
    with connect(port, root) as board:
        print(f"Connected to {board.port}; Ctrl-] or Ctrl-X leaves", file=sys.stderr)
        board.leave()
        interact(board.line)
    print(file=sys.stderr)
