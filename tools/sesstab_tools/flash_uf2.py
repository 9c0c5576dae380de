"""Flashes RP2040 and RP2350: copies a UF2 file to the volume that the boot loader in ROM shows.

The boot loader ignores what it does not understand and never says so: a copy of half a file, or of one for
another chip, succeeds. So the file is checked first, whole; and what shows success is that the volume goes
away, which it does when the last block of the set has come, and that MicroPython then answers. Only then can
flash be verified: the board computes the SHA-256 of its own, since the volume cannot be read back.

It also keeps what it has of a set that was cut off: of the next one with as many blocks, though of another
image, it ignores those that it has. So before the file comes a block that makes it forget.

A board that runs MicroPython is sent into its boot loader over the REPL.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from serial.tools import list_ports  # type: ignore[import-untyped]

from .boards import BoardSpec, Uf2Flash
from .errors import BoardError, DeviceException, FlashError, ImageError, NoSuchPort, PortError
from .flash import Flashed, OnProgress
from .line import Deadline
from .repl import Board
from .uf2 import BLOCK, COUNT, FAMILY_ID_PRESENT, NOT_MAIN_FLASH, PAYLOAD, Block, decode, encode
from .volumes import Volume, find_volumes, volume_at

FILE = "firmware.uf2"
USB_VENDOR = 0x2E8A  # of the chip's maker, whose id MicroPython uses on these boards
APPEAR_TIME = 15.0  # seconds until the boot loader's volume is mounted
STALL_TIME = 20.0  # seconds in which the volume may take nothing
GO_TIME = 10.0  # seconds until the volume goes away, after the last block
RETURN_TIME = 20.0  # seconds until MicroPython answers
_ASK_TIME = 3.0
_POLL = 0.05
_CHUNK = 32 * BLOCK
_AGAIN = "hold BOOTSEL while plugging it in, and run this again"

# The first block of files made for RP2350: it is for another family and stands outside the numbering. It
# keeps early chips from looking for a partition table (erratum RP2350-E10).
_ERRATUM_FAMILY, _ERRATUM_DATA = 0xE48BFF57, b"\xef" * PAYLOAD

_MACHINE = "getattr(__import__('sys').implementation, '_machine', '')"
_ENTER_BOOT_LOADER = """
import machine, time
time.sleep_ms(100)
machine.bootloader()
"""
_DIGEST = """
def digest(address, size):
    import hashlib, uctypes

    value = hashlib.sha256()
    while size:
        part = min(size, 4096)
        value.update(uctypes.bytearray_at(address, part))
        address += part
        size -= part
    print(value.digest())

digest({address}, {size})
del digest
"""


def flash_uf2(
    spec: BoardSpec,
    flash: Uf2Flash,
    path: Path,
    contents: bytes,
    port: str | None,
    folder: Path | None,
    verify: bool,
    on_progress: OnProgress,
) -> Flashed:
    """Checks `contents`, those of `path`, and the board; copies them; waits for the board; verifies."""
    runs = check_image(contents, flash, path)
    volume, port = _find_volume(spec, flash, folder, port)
    others = set(_usb_ports())
    _Copy(_block_of_no_set(flash) + contents, volume, on_progress).run()
    _wait_until_gone(volume)
    with _wait_for_micropython(volume, port, others) as board:
        verified = _verify(board, runs, verify)
        return Flashed(spec.name, str(path), sum(len(run.data) for run in runs), board.port, verified)


# The image


@dataclass
class Run:
    """Bytes that lie together in flash."""

    address: int
    data: bytearray


def check_image(contents: bytes, flash: Uf2Flash, path: Path) -> list[Run]:
    """The file is whole, for that chip, and fits its flash. Gives what it writes. Raises ImageError."""
    try:
        blocks = decode(contents[BLOCK:] if _has_erratum_block(contents) else contents)
        for block in blocks:
            _check_block(block, flash)
        return _runs(blocks)
    except BoardError as error:
        raise ImageError(f"{path}: {error}; nothing was written") from error


def _has_erratum_block(contents: bytes) -> bool:
    header = contents[28:32] == _ERRATUM_FAMILY.to_bytes(4, "little")
    return header and contents[32 : 32 + PAYLOAD] == _ERRATUM_DATA


def _check_block(block: Block, flash: Uf2Flash) -> None:
    """The boot loader would take it."""
    name = f"block {block.number}"
    if block.family != flash.family:
        found = "of no family" if block.family is None else f"of family 0x{block.family:08x}"
        raise ImageError(f"{name} is {found}, but the board's is 0x{flash.family:08x}: for another chip?")
    known = FAMILY_ID_PRESENT | NOT_MAIN_FLASH
    if block.flags & NOT_MAIN_FLASH or block.flags & ~known:
        raise ImageError(f"{name} has the flags 0x{block.flags:08x}, which the boot loader would not take")
    if len(block.data) != PAYLOAD or block.address % PAYLOAD:
        raise ImageError(
            f"{name} is {len(block.data)} bytes at 0x{block.address:08x}, no page of {PAYLOAD} bytes"
        )
    if not flash.address <= block.address <= flash.address + flash.size - PAYLOAD:
        raise ImageError(
            f"{name} goes to 0x{block.address:08x}, outside the flash of {flash.size} bytes "
            f"at 0x{flash.address:08x}"
        )


def _runs(blocks: Sequence[Block]) -> list[Run]:
    runs: list[Run] = []
    for block in sorted(blocks, key=lambda block: block.address):
        end = runs[-1].address + len(runs[-1].data) if runs else -1
        if block.address < end:
            raise ImageError(f"block {block.number}: 0x{block.address:08x} is written by two blocks")
        if block.address == end:
            runs[-1].data += block.data
        else:
            runs.append(Run(block.address, bytearray(block.data)))
    return runs


def _block_of_no_set(flash: Uf2Flash) -> bytes:
    """Set to have no blocks at all, it is not written, and ends the set that was on its way."""
    block = bytearray(encode(bytes(PAYLOAD), flash.address, flash.family))
    block[COUNT : COUNT + 4] = bytes(4)
    return bytes(block)


# The volume


def _find_volume(
    spec: BoardSpec, flash: Uf2Flash, folder: Path | None, port: str | None
) -> tuple[Volume, str | None]:
    """The board's volume, and its port if it is known. Nothing is written yet."""
    if folder:
        volume = volume_at(folder)
        if not volume.board_id.startswith(flash.volume):
            raise FlashError(
                f"{folder} is the volume of a board {volume.board_id}, but {spec.name}'s is {flash.volume}; "
                "nothing was written"
            )
        return volume, port
    volumes = find_volumes(flash.volume)
    if port is None and not volumes:
        running = _usb_ports()
        port = running[0] if len(running) == 1 else None
    if port and _enter_boot_loader(spec, port):
        return _wait_for_volume(flash, {volume.folder for volume in volumes}), port
    if not volumes:
        absent = f", and there is no port {port}" if port else ""
        raise FlashError(f"no volume {flash.volume} is mounted{absent}; {_how_to_get_a_volume(flash)}")
    if len(volumes) > 1:
        places = ", ".join(str(volume.folder) for volume in volumes)
        raise FlashError(f"several boards are in their boot loaders ({places}); choose one with --volume")
    return volumes[0], port


def _enter_boot_loader(spec: BoardSpec, port: str) -> bool:
    """Sends the board at `port` there. False: no such port, so it may be in its boot loader already."""
    try:
        board = Board.open(port, baudrate=spec.serial.baudrate, burst=spec.serial.burst)
    except NoSuchPort:
        return False
    with board:
        machine = str(board.eval(_MACHINE, _ASK_TIME))
        if spec.chip.upper() not in machine.upper():
            raise FlashError(
                f"port {port}: a board {machine!r} answers, but {spec.name} has an {spec.chip.upper()}; "
                "nothing was written"
            )
        # The board may be gone before it has acknowledged the last byte.
        with contextlib.suppress(BoardError):
            board.start(_ENTER_BOOT_LOADER, _ASK_TIME)
    return True


def _wait_for_volume(flash: Uf2Flash, before: set[Path]) -> Volume:
    def find() -> Volume | None:
        return next((found for found in find_volumes(flash.volume) if found.folder not in before), None)

    volume = _wait(find, APPEAR_TIME)
    if volume is None:
        raise FlashError(
            f"the board was sent into its boot loader, but no volume {flash.volume} appeared in "
            f"{APPEAR_TIME:g} s; nothing was written. It runs again when it is plugged in anew, or: "
            f"{_how_to_get_a_volume(flash)}"
        )
    return volume


def _how_to_get_a_volume(flash: Uf2Flash) -> str:
    device = Path("/dev/disk/by-label") / flash.volume
    if device.exists():
        return f"it is there, so mount it (udisksctl mount -b {device}) and run this again"
    return f"{_AGAIN}; a board that runs MicroPython gets there by itself: name its port with --port"


# Copying


@dataclass
class _Copy:
    """Writes the file to the volume, in a thread, since a device that hangs would hold it for minutes."""

    contents: bytes
    volume: Volume
    on_progress: OnProgress
    _taken: int = 0
    """Bytes that the volume has taken."""
    _error: OSError | None = None
    _step: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        threading.Thread(target=self._work, daemon=True).start()
        ended = False
        while not ended:
            if not self._step.wait(STALL_TIME):
                raise FlashError(
                    f"{self._where()}: it took nothing more for {STALL_TIME:g} s; unplug the board, {_AGAIN}"
                )
            self._step.clear()
            ended = self._ended.is_set()  # asked first: then what was taken is all, and is shown
            self.on_progress("writing", self._taken, len(self.contents))
        # An error after the last byte is the board's reboot, before the file could be closed.
        if self._error and self._taken < len(self.contents):
            raise FlashError(self._why())

    def _work(self) -> None:
        try:
            with (self.volume.folder / FILE).open("wb", buffering=0) as file:
                while self._taken < len(self.contents):
                    size = file.write(self.contents[self._taken : self._taken + _CHUNK])
                    if not size:
                        raise OSError("it takes no more bytes")
                    last = self._taken + size == len(self.contents)
                    with contextlib.suppress(OSError) if last else contextlib.nullcontext():
                        os.fsync(file.fileno())
                    self._taken += size
                    self._step.set()
        except OSError as error:
            self._error = error
        finally:
            self._ended.set()
            self._step.set()

    def _where(self) -> str:
        return f"{self.volume.folder}: after {self._taken} of {len(self.contents)} bytes"

    def _why(self) -> str:
        assert self._error
        reason = self._error.strerror or str(self._error)
        if self._taken == 0 and self.volume.is_there():
            return f"{self._where()}: {reason}; nothing was written"
        if self.volume.is_there():
            return (
                f"{self._where()}: {reason}; the firmware is incomplete, the board is still in its boot "
                "loader: run this again"
            )
        return f"{self._where()}: the volume went away ({reason}); the firmware is incomplete: {_AGAIN}"


# Afterwards


def _wait_until_gone(volume: Volume) -> None:
    if not _wait(lambda: not volume.is_there(), GO_TIME):
        raise FlashError(
            f"{volume.folder}: it took the whole file, but is still there after {GO_TIME:g} s, so blocks are "
            "missing on the board, which is still in its boot loader: run this again"
        )


def _wait_for_micropython(volume: Volume, port: str | None, others: set[str]) -> Board:
    """The board, at its prompt: at `port`, or at a port that has appeared."""

    def find() -> Board | None:
        for name in [*([port] if port else []), *sorted(set(_usb_ports()) - others)]:
            board = _answering(name)
            if board:
                return board
        return None

    board = _wait(find, RETURN_TIME)
    if board:
        return board
    if any(found.folder == volume.folder for found in find_volumes(volume.board_id)):
        raise FlashError(
            "all was written, but the board is in its boot loader again: the chip does not start this image; "
            "run this again with another"
        )
    raise FlashError(
        f"all was written and the volume went away, but no MicroPython answered at "
        f"{port or 'a new port'} in {RETURN_TIME:g} s; does the image start, and is it one with USB? "
        f"The board can be flashed again: {_AGAIN}"
    )


def _answering(port: str) -> Board | None:
    try:
        board = Board.open(port)
    except PortError:
        return None
    try:
        board.enter(_ASK_TIME)
    except BoardError:
        board.close()
        return None
    return board


def _verify(board: Board, runs: Sequence[Run], must: bool) -> str:
    """Has the board compute the SHA-256 of what the image wrote."""
    for run in runs:
        try:
            text = board.exec(_DIGEST.format(address=run.address, size=len(run.data)), timeout=60)
        except DeviceException as error:
            if must:
                raise FlashError(
                    f"{error}: the board cannot compute a SHA-256 of its flash, so this is not verified"
                ) from error
            return ""
        if text.strip() != repr(hashlib.sha256(run.data).digest()).encode():
            raise FlashError(
                f"port {board.port}: flash differs from the image between 0x{run.address:08x} and "
                f"0x{run.address + len(run.data):08x}: {_AGAIN}"
            )
    return "SHA-256 computed by the board"


def _usb_ports() -> list[str]:
    return sorted(str(info.device) for info in list_ports.comports() if info.vid == USB_VENDOR)


_Found = TypeVar("_Found")


def _wait(find: Callable[[], _Found | None], seconds: float) -> _Found | None:
    """What `find` gives, as soon as it gives something true."""
    deadline = Deadline(seconds)
    while not (found := find()) and not deadline.passed:
        deadline.wait(_POLL)
    return found
