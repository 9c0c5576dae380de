"""The emulated Xtensa board: MicroPython with register windows, as on the ESP32, in QEMU's user mode.

The firmware is a program of its own (firmware/qemu_xtensa) with the REPL on its standard input and output, so
it runs behind a pty as virtual boards do. It looks for Ctrl-C and handles soft resets itself. Its flash
memory is a file, which is why files survive the reset button.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from .boards import BoardSpec
from .errors import PortError
from .virtual import VirtualBoard

_FLASH = "flash.bin"


def xtensa_board(
    spec: BoardSpec, root: Path, *, image: Path | None = None, files: Path | None = None
) -> VirtualBoard:
    """Starts the firmware, `image` or the one in dist/. The folder `files`, if given, holds its flash."""
    if spec.emulator is None:
        raise PortError(f"nothing emulates {spec.name}; its board.toml has no [emulator]")
    image = (image or spec.images(root) / "firmware.elf").resolve()
    if not image.is_file():
        name = image.relative_to(root) if image.is_relative_to(root) else image
        raise PortError(f"no {name}; build it: make firmware BOARD={spec.name}")
    program = _find_program(spec.emulator.program, root)
    command = [program, *spec.emulator.arguments, str(image), _FLASH]
    return VirtualBoard(command, files=files, sees_ctrl_c=True, flash=_FLASH)


def _find_program(name: str, root: Path) -> str:
    """The emulator on PATH, or the one that tools/setup/qemu_xtensa.sh fetched."""
    found = shutil.which(name) or shutil.which(name, path=str(root / "build" / "qemu-xtensa"))
    if not found:
        raise PortError(f"no {name}; get it: tools/setup/qemu_xtensa.sh, or install qemu-user-static")
    return found
