"""An RP2040 or RP2350 whose boot loader shows its volume, through FUSE, with a fault if wanted.

    with FakeRP2(spec, folder) as chip:
        flash(spec, root, port=chip.port)
        chip.flash[:1000]

Blocks are taken as the boot loader in ROM takes them (its source: virtual_disk.c of pico-bootrom-rp2040).
What is no block for the chip is ignored without a word; so is a block that has come already, in this set or
an earlier one of as many blocks. When all have come, the volume vanishes and what is in flash starts: an
EmulatedPico, or a StandIn, which takes no time. Whatever runs is left when it calls machine.bootloader().

The volume is a process of its own, this file run as a program, so that it can be pulled out while the kernel
waits for its answer.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import mfusepy  # type: ignore[import-untyped]
from sesstab_tools import uf2
from sesstab_tools.boards import BoardSpec, Uf2Flash
from sesstab_tools.deploy import find_root
from sesstab_tools.rp2040 import rp2040_board
from sesstab_tools.virtual import cpython_board

# What may happen to the first file, at the block FAULTY_BLOCK unless it says otherwise.
DROPPED_BLOCK = "does not see a block"
TRUNCATED = "sees no block from one on"
DAMAGED_BLOCK = "sees a block whose end is damaged"
BIT_ROT = "writes a block with one bit changed"
UNPLUGGED = "is unplugged at a block"
DISK_FULL = "has no room for a block"
IO_ERROR = "has an error at a block"
STALLED = "never answers at a block"
READ_ONLY = "takes no file"
NEVER_VANISHES = "stays, with all blocks there"
NO_RETURN = "vanishes, and nothing starts"
BOOT_LOADER_AGAIN = "vanishes, and is there again"
NO_BOOT_LOADER = "leaves MicroPython, and no volume appears"

FAULTY_BLOCK = 100

_SECTOR = 4096  # what flash erases at once
_REBOOTED = 0
_START_TIME = 10.0
_POLL = 0.02
_NO_FUSE = "FUSE does not work here; it needs /dev/fuse, and fusermount3 (tools/setup/test_tools.sh)"


class Booted(Protocol):
    """What runs when the chip starts its flash."""

    port: str

    @property
    def in_boot_loader(self) -> bool: ...

    def close(self) -> None: ...


class FakeRP2:
    """The chip, plugged in: in its boot loader, as if BOOTSEL was held, or with `running=True`."""

    def __init__(
        self,
        spec: BoardSpec,
        folder: Path,
        boot: Callable[[BoardSpec, Path], Booted] | None = None,
        *,
        flash: bytes = b"",
        running: bool = False,
        fault: str = "",
    ) -> None:
        assert isinstance(spec.flash, Uf2Flash)
        self.fault = fault
        self.folder = folder / "volume"
        self.folder.mkdir(parents=True)
        self._link = folder / "port"
        self.port = str(self._link)
        """Where MicroPython is, while it runs."""
        self._file = folder / "flash.bin"
        self._file.write_bytes(flash.ljust(spec.flash.size, b"\xff"))
        self._spec = spec
        self._boot = boot or StandIn
        self._running = running
        self._volume: subprocess.Popen[str] | None = None
        self._board: Booted | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    @property
    def flash(self) -> bytes:
        return self._file.read_bytes()

    def __enter__(self) -> FakeRP2:
        self._plug(bootsel=not self._running)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unplug()
        if self._failure and not error:
            raise self._failure

    def replug_with_bootsel(self) -> None:
        self._unplug()
        self._plug(bootsel=True)

    def _plug(self, *, bootsel: bool) -> None:
        self._stop.clear()
        try:
            if bootsel:
                self._mount()
            else:
                self._start()
        except BaseException:
            self._unplug()
            raise
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def _unplug(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()
        if self._volume:
            self._volume.kill()
            self._unmount()
        if self._board:
            self._leave()

    def _live(self) -> None:
        """The thread: what the chip does by itself."""
        try:
            while not self._stop.wait(_POLL):
                if self._volume and self._volume.poll() is not None:
                    rebooted = self._volume.returncode == _REBOOTED
                    self._unmount()
                    if rebooted and self.fault == BOOT_LOADER_AGAIN:
                        self._mount()
                    elif rebooted and self.fault != NO_RETURN:
                        self._start()
                elif self._board and self._board.in_boot_loader:
                    self._leave()
                    if self.fault != NO_BOOT_LOADER:
                        self._mount()
        except BaseException as error:
            self._failure = error

    def _start(self) -> None:
        self._board = self._boot(self._spec, self._file)
        self._link.symlink_to(self._board.port)

    def _leave(self) -> None:
        assert self._board
        self._link.unlink()
        self._board.close()
        self._board = None

    def _mount(self) -> None:
        if not shutil.which("fusermount3"):
            raise RuntimeError(_NO_FUSE)
        flash = self._spec.flash
        assert isinstance(flash, Uf2Flash)
        arguments = [str(self.folder), str(self._file), flash.volume, str(flash.family), self.fault]
        volume = self._volume = subprocess.Popen(
            [sys.executable, __file__, *arguments],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        end = time.monotonic() + _START_TIME
        while not self.folder.is_mount():
            if volume.poll() is not None or time.monotonic() > end:
                volume.kill()
                assert volume.stderr
                raise RuntimeError(f"{_NO_FUSE}: {volume.stderr.read()}")
            time.sleep(_POLL)

    def _unmount(self) -> None:
        assert self._volume
        _detach(self.folder)
        self._volume.communicate()
        self._volume = None


class EmulatedPico:
    """The flash, in rp2040js."""

    def __init__(self, spec: BoardSpec, flash: Path) -> None:
        assert isinstance(spec.flash, Uf2Flash)
        # The emulator wants an image, which it puts over what is in flash.
        image = flash.with_name("first_page.uf2")
        page = flash.read_bytes()[: uf2.PAYLOAD]
        image.write_bytes(uf2.encode(page, spec.flash.address, spec.flash.family))
        self._board = rp2040_board(spec, find_root(), image=image, flash=flash)
        self.port = self._board.port

    @property
    def in_boot_loader(self) -> bool:
        return self._board.in_boot_loader

    def close(self) -> None:
        self._board.close()


class StandIn:
    """CPython, which says that it is MicroPython on such a chip, and sees its flash."""

    def __init__(self, spec: BoardSpec, flash: Path) -> None:
        modules = flash.with_name("modules")
        modules.mkdir(exist_ok=True)
        (modules / "sitecustomize.py").write_text(_CUSTOMIZE.format(chip=spec.chip.upper()))
        (modules / "machine.py").write_text(_MACHINE)
        (modules / "uctypes.py").write_text(_UCTYPES.format(flash=str(flash)))
        self._board = cpython_board([modules])
        self.port = self._board.port

    @property
    def in_boot_loader(self) -> bool:
        return (self._board.files / "in_boot_loader").exists()

    def close(self) -> None:
        self._board.close()


_CUSTOMIZE = """
import sys, time
sys.implementation._machine = "Raspberry Pi Pico with {chip}"
time.sleep_ms = lambda milliseconds: time.sleep(milliseconds / 1000)
"""
_MACHINE = """
import time
def bootloader():
    open("in_boot_loader", "w").close()
    time.sleep(60)
"""
_UCTYPES = """
def bytearray_at(address, size):
    with open({flash!r}, "rb") as file:
        file.seek(address - 0x10000000)
        return bytearray(file.read(size))
"""


# The volume's process


class Volume(mfusepy.Operations):  # type: ignore[misc]
    """One folder with INFO_UF2.TXT and whatever is written."""

    use_ns = True  # of its times, which there are none of, mfusepy wants to know the unit

    def __init__(self, flash: Path, board_id: str, family: int, fault: str) -> None:
        self._flash = os.open(flash, os.O_RDWR)
        self._flash_size = flash.stat().st_size
        self._info = f"UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: {board_id}\r\n".encode()
        self._family = family
        self._fault = fault
        self._files = 0
        """How many were begun."""
        self._sizes: dict[str, int] = {}
        self._blocks = 0
        """How many have come, whatever they are."""
        self._count = 0
        """Blocks of the set that is on its way."""
        self._written: set[int] = set()
        self._erased: set[int] = set()

    def getattr(self, path: str, handle: int | None = None) -> dict[str, int]:
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        if path == "/INFO_UF2.TXT":
            return {"st_mode": stat.S_IFREG | 0o444, "st_nlink": 1, "st_size": len(self._info)}
        if path in self._sizes:
            return {"st_mode": stat.S_IFREG | 0o644, "st_nlink": 1, "st_size": self._sizes[path]}
        raise mfusepy.FuseOSError(errno.ENOENT)

    def readdir(self, path: str, handle: int) -> list[str]:
        return [".", "..", "INFO_UF2.TXT", *(name[1:] for name in self._sizes)]

    def read(self, path: str, size: int, offset: int, handle: int) -> bytes:
        return self._info[offset : offset + size] if path == "/INFO_UF2.TXT" else b""

    def create(self, path: str, mode: int, info: Any = None) -> int:
        self._begin(path)
        return 0

    def open(self, path: str, flags: int) -> int:
        if flags & os.O_TRUNC:
            self._begin(path)
        return 0

    def _begin(self, path: str) -> None:
        self._files += 1
        if self._files > 1:
            self._fault = ""
        if self._fault == READ_ONLY:
            raise mfusepy.FuseOSError(errno.EROFS)
        self._sizes[path] = 0

    def write(self, path: str, data: bytes, offset: int, handle: int) -> int:
        self._sizes[path] = max(self._sizes[path], offset + len(data))
        for start in range(0, len(data), uf2.BLOCK):
            self._blocks += 1
            block = bytearray(data[start : start + uf2.BLOCK])
            if self._blocks == FAULTY_BLOCK:
                self._spoil(block)
            if self._fault != TRUNCATED or self._blocks < FAULTY_BLOCK:
                self._take(block)
        return len(data)

    def _spoil(self, block: bytearray) -> None:
        if self._fault == UNPLUGGED:
            os._exit(1)
        if self._fault == STALLED:
            time.sleep(3600)
        for fault, number in ((DISK_FULL, errno.ENOSPC), (IO_ERROR, errno.EIO)):
            if self._fault == fault:
                raise mfusepy.FuseOSError(number)
        if self._fault == DROPPED_BLOCK:
            block.clear()
        elif self._fault == DAMAGED_BLOCK:
            block[-1] ^= 1
        elif self._fault == BIT_ROT:
            block[32 + 77] ^= 1

    def _take(self, block: bytes) -> None:
        """What the boot loader does with a sector."""
        if len(block) < uf2.BLOCK:
            return
        first, second, flags, address, size, number, count, family = struct.unpack_from("<8I", block)
        magics = (first, second, int.from_bytes(block[-4:], "little"))
        if magics != (0x0A324655, 0x9E5D5157, 0x0AB16F30) or flags & 0x2001 != 0x2000:
            return
        if family != self._family or size != 256:
            return
        at = address - 0x10000000
        if not 0 <= at < self._flash_size or at % 256 or number >= count:
            self._count = 0
            return
        if count != self._count:
            self._count = count
            self._written.clear()
            self._erased.clear()
        if number in self._written:
            return
        self._program(at, number * size // _SECTOR, block[32 : 32 + size])
        self._written.add(number)
        if len(self._written) == count and self._fault != NEVER_VANISHES:
            # Once the kernel has the answer that the block is written.
            threading.Timer(0.1, os._exit, [_REBOOTED]).start()

    def _program(self, at: int, sector: int, page: bytes) -> None:
        if sector not in self._erased:
            self._erased.add(sector)
            os.pwrite(self._flash, b"\xff" * _SECTOR, at // _SECTOR * _SECTOR)
        before = os.pread(self._flash, len(page), at)
        os.pwrite(self._flash, bytes(old & new for old, new in zip(before, page, strict=True)), at)


def _detach(folder: Path) -> None:
    """Whoever is in it or waits for it gets an error."""
    subprocess.run(["fusermount3", "-u", "-z", folder], check=False, stderr=subprocess.DEVNULL)


def _end_with_parent(folder: Path) -> None:
    with contextlib.suppress(OSError):
        sys.stdin.read()
    _detach(folder)
    os._exit(1)


def main(folder: str, flash: str, board_id: str, family: str, fault: str) -> None:
    threading.Thread(target=_end_with_parent, args=[Path(folder)], daemon=True).start()
    volume = Volume(Path(flash), board_id, int(family), fault)
    mfusepy.FUSE(volume, folder, foreground=True, nothreads=True, fsname=board_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
