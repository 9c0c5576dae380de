"""Emulated boards: real firmware in an emulator, on a serial port like any board.

    with start("RPI_PICO", root) as pico:
        with Board.open(pico.port, press_reset=pico.reset) as board:
            board.exec("print(1)")

The emulators differ; what runs in them is used alike: `port` is a pty that stays while the board is reset.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol

from .boards import BoardSpec, all_boards
from .errors import PortError
from .virtual import unix_board, unix_c_board

# Not boards, but as good as: MicroPython for unix as others publish it, and the firmware of the board UNIX.
UNIX, UNIX_C = "unix", "unix-c"
_HEAP = "2M"
_FLASH = "flash.bin"


class RunningBoard(Protocol):
    """A board that this process runs. Use it in a with statement, or close() it."""

    port: str

    def __enter__(self) -> RunningBoard: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def reset(self) -> None:
        """Presses the reset button, and waits for the prompt."""

    def check(self) -> None:
        """BoardError: the emulator has ended by itself, and why."""

    def close(self) -> None:
        """Ends the emulator and the port; nothing is left behind."""


def emulated_names(root: Path) -> list[str]:
    """All that start() knows, each once: the board UNIX is unix-c."""
    boards = [spec.name for spec in all_boards(root) if spec.emulator and spec.emulator.kind != "unix"]
    return [UNIX, UNIX_C, *boards]


def start(
    name: str, root: Path, *, files: Path | None = None, heap: str | None = None, uart: bool = False
) -> RunningBoard:
    """Starts a board by name: its firmware, from dist/firmware, in its emulator.

    `files`: a folder, made if need be, that keeps its files or, with a real board's firmware, its flash.
    `heap`: the size of its heap, for unix. `uart`: the board has `uart_port`, too. PortError: something is
    missing, the emulator does not have that, or the flash is another board's.
    """
    if name == UNIX:
        _refuse(name, uart=uart)
        return unix_board(heap=heap or _HEAP, files=_made(files))
    if name == UNIX_C:
        _refuse(name, uart=uart)
        return unix_c_board(root, heap=heap or _HEAP, files=_made(files))
    spec = next((spec for spec in all_boards(root) if spec.name == name), None)
    if spec is None:
        raise PortError(f"no board {name!r} to emulate; there are {', '.join(emulated_names(root))}")
    return emulate(spec, root, files=files, heap=heap, uart=uart)


def emulate(
    spec: BoardSpec, root: Path, *, files: Path | None = None, heap: str | None = None, uart: bool = False
) -> RunningBoard:
    """start() for a board that is known."""
    # An emulator's modules take time to load, and one board needs one of them.
    kind = spec.emulator.kind if spec.emulator else None
    if kind == "unix":
        return start(UNIX_C, root, files=files, heap=heap, uart=uart)
    if kind == "rp2040js":
        from .rp2040 import rp2040_board

        _refuse(spec.name, heap=heap)
        folder = _made(files)
        return rp2040_board(spec, root, flash=folder and folder / _FLASH, uart=uart)
    if kind == "qemu":
        from .qemu import qemu_board

        _refuse(spec.name, heap=heap, files=files, uart=uart)
        return qemu_board(spec, root)
    if kind == "qemu-user":
        from .xtensa import xtensa_board

        _refuse(spec.name, heap=heap, uart=uart)
        return xtensa_board(spec, root, files=_made(files))
    there = ", ".join(emulated_names(root))
    raise PortError(f"nothing emulates {spec.name} ({spec.chip}); there are {there}")


def _refuse(name: str, *, files: Path | None = None, heap: str | None = None, uart: bool = False) -> None:
    if heap:
        raise PortError(f"{name} has the heap that its firmware gives it; heap is for {UNIX} and {UNIX_C}")
    if files:
        raise PortError(f"{name} keeps its files in memory, so there is nothing to keep in {files}")
    if uart:
        raise PortError(f"{name} has one serial port only; uart is for boards that rp2040js emulates")


def _made(folder: Path | None) -> Path | None:
    if folder:
        if folder.exists() and not folder.is_dir():
            raise PortError(f"{folder} is no folder that could keep files")
        folder.mkdir(parents=True, exist_ok=True)
        return folder.resolve()
    return None
