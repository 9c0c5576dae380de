"""sesstab repl"""

from __future__ import annotations

import sys

from ..terminal import interact
from .app import app
from .options import Port, Root, connect


@app.command()
def repl(port: Port = None, root: Root = None) -> None:
    """The board's prompt, on this terminal. Ctrl-] or Ctrl-X leaves; Ctrl-C reaches the board."""
    with connect(port, root) as board:
        print(f"Connected to {board.port}; Ctrl-] or Ctrl-X leaves", file=sys.stderr)
        board.leave()
        interact(board.line)
    print(file=sys.stderr)
