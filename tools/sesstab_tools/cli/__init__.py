"""The command `sesstab`: a board's REPL, deployment, virtual boards and tests. One module a command."""

from __future__ import annotations

import sys

from ..errors import BoardError, DeviceException
from . import boards, deploy, emulate, execute, repl, test  # noqa: F401  (each adds its command)
from .app import app


def main() -> None:
    """Runs the command. A failure is one line on stderr (or the board's own traceback) and status 1."""
    try:
        app()
    except DeviceException as error:
        print(error.traceback.rstrip(), file=sys.stderr)
    except (BoardError, OSError) as error:
        print(f"sesstab: {error}", file=sys.stderr)
    sys.exit(1)
