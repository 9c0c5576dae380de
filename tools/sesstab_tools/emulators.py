"""Emulated boards: real firmware in an emulator, on a serial port like any board.

The emulators differ; what runs in them is used alike: `port` is a pty that stays while the board is reset.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Protocol

from .boards import BoardSpec, all_boards
from .errors import PortError
from .virtual import unix_c_board


class RunningBoard(Protocol):
    """A board that this process runs. Use it in a with statement, or close() it."""

    port: str

    def __enter__(self) -> RunningBoard: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def reset(self) -> None:
        """Presses the reset button, and waits for the prompt."""

    def close(self) -> None:
        """Ends the emulator and the port; nothing is left behind."""


def emulate(spec: BoardSpec, root: Path) -> RunningBoard:
    """Starts the board's firmware, from dist/firmware, in its emulator. PortError: something is missing."""
    kind = spec.emulator.kind if spec.emulator else None
    for name, module in (("rp2040js", "rp2040"), ("qemu", "qemu"), ("qemu-user", "xtensa")):
        if kind == name:
            board: RunningBoard = getattr(import_module(f"sesstab_tools.{module}"), f"{module}_board")(
                spec, root
            )
            return board
    if kind == "unix":
        return unix_c_board(root)
    emulated = ", ".join(board.name for board in all_boards(root) if board.emulator)
    raise PortError(f"nothing emulates {spec.name} ({spec.chip}); there are {emulated}")
