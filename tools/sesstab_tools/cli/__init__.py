"""The command `sesstab`: a board's REPL, firmware, deployment, emulation, tests. One module a command."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from ..errors import BoardError, DeviceException
from . import boards, deploy, emulate, execute, flash, monitor, repl, test  # noqa: F401  (each adds its command)
from .app import app


def main() -> None:
    """Runs the command. A failure is one line on stderr (or the board's own traceback) and status 1."""
    _open_missing_streams()
    end_when_told()
    try:
        app()
    except DeviceException as error:
        print(error.traceback.rstrip(), file=sys.stderr)
    except (BoardError, OSError) as error:
        print(f"sesstab: {error}", file=sys.stderr)
    sys.exit(1)


def _open_missing_streams() -> None:
    """Where whoever started this has closed one, there is nothing to read and nobody to tell."""
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def end_when_told() -> None:
    """SIGTERM and SIGHUP end the command as an error does: with its terminal and its boards put in order."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, leave)
