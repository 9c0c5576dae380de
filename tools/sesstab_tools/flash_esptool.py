"""Flashes the ESP32 family through the ROM boot loader, by esptool as a library.

An image of MicroPython is three things at fixed places: the second-stage boot loader, the partition table,
and the application. All three are checked before the port is opened, since each has a checksum, and the chip
that answers and its flash before anything is written. The chip then computes the MD5 of what is in its flash.

esptool waits for each answer for a limited time, but has no limit for the whole; _BoundedPort adds that.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import esptool  # type: ignore[import-untyped]
from esptool.bin_image import LoadFirmwareImage  # type: ignore[import-untyped]
from esptool.logger import EspLog, EspLogBase  # type: ignore[import-untyped]
from esptool.targets import CHIP_DEFS  # type: ignore[import-untyped]
from esptool.util import flash_size_bytes  # type: ignore[import-untyped]
from serial import SerialException  # type: ignore[import-untyped]

from .boards import BoardSpec, EsptoolFlash
from .errors import BoardError, FlashError, ImageError, NoAnswer, PortError
from .flash import Flashed, OnProgress
from .line import Deadline, open_device

BAUDRATE = 460800  # as MicroPython's instructions for these chips have it
_BASE_TIME = 60.0  # seconds for connecting, the stub, erasing and MD5
_SLOWNESS = 4  # how much longer than the bytes take on the line the rest may take
_AGAIN = "hold BOOT while pressing reset, and run this again"

_PARTITIONS = 0x8000  # where the table is in flash
_PARTITIONS_SIZE = 0xC00
_PARTITION = struct.Struct("<HBBII16sI")
_PARTITION_MAGIC, _MD5_MAGIC = 0x50AA, 0xEBEB
_APPLICATION = 0  # a type of partition


def flash_esptool(
    spec: BoardSpec,
    flash: EsptoolFlash,
    path: Path,
    image: bytes,
    port: str | None,
    verify: bool,
    on_progress: OnProgress,
) -> Flashed:
    """Checks `image`, the contents of `path`, then the chip at `port`; writes it; has the chip verify it."""
    check_image(image, flash, path)
    if port is None:
        raise PortError(f"{spec.name} is flashed through its serial port; name it with --port")
    seconds = _BASE_TIME + _SLOWNESS * (1 + verify) * len(image) * 10 / BAUDRATE
    device = _BoundedPort(open_device(port), port, Deadline(seconds))
    progress = _Progress("writing", on_progress)
    EspLog.set_logger(progress)
    try:
        with _errors_of(port, "nothing was written"):
            chip = esptool.detect_chip(device)
            _check_chip(chip, spec, flash, port)
            chip = esptool.run_stub(chip)
            chip.change_baud(BAUDRATE)
            esptool.attach_flash(chip)
            _check_flash_size(chip, spec, flash, port)
        with _errors_of(port, "what was on the board may be gone"):
            esptool.write_flash(chip, [(flash.offset, image)])
            verified = "MD5 computed by the chip"
            if verify:
                progress.what = "reading back"
                _compare(image, esptool.read_flash(chip, flash.offset, len(image)), flash.offset)
                verified = "every byte read back"
            esptool.reset_chip(chip)
    finally:
        device.close()
    return Flashed(spec.name, str(path), len(image), port, verified)


# The image


@dataclass(frozen=True)
class Partition:
    name: str
    kind: int
    offset: int
    size: int


def check_image(image: bytes, flash: EsptoolFlash, path: Path) -> None:
    """The image is whole, undamaged, for that chip, and fits its flash. Raises ImageError."""
    if flash.chip not in CHIP_DEFS:
        raise ImageError(f"the board's flash.chip is {flash.chip!r}; esptool knows {', '.join(CHIP_DEFS)}")
    if flash.offset + len(image) > flash.size:
        raise ImageError(
            f"{path}: {len(image)} bytes at 0x{flash.offset:x} do not fit a flash of {flash.size} bytes"
        )
    try:
        _check_part(image, flash.chip, "boot loader")
        partitions = read_partitions(image[_PARTITIONS - flash.offset :])
        for partition in partitions:
            _check_partition(image, partition, flash)
        if not any(partition.kind == _APPLICATION for partition in partitions):
            raise ImageError("its partition table has no application")
    except ImageError as error:
        raise ImageError(f"{path}: {error}; nothing was written") from error


def read_partitions(table: bytes) -> list[Partition]:
    """The partition table that `table` begins with. Raises ImageError."""
    partitions: list[Partition] = []
    for start in range(0, _PARTITIONS_SIZE, _PARTITION.size):
        entry = table[start : start + _PARTITION.size]
        if len(entry) < _PARTITION.size:
            break
        magic, kind, _, offset, size, name, _ = _PARTITION.unpack(entry)
        if magic == _MD5_MAGIC:
            if hashlib.md5(table[:start]).digest() != entry[16:]:
                raise ImageError("its partition table is damaged: the MD5 is wrong")
            return partitions
        if magic != _PARTITION_MAGIC:
            break
        partitions.append(Partition(name.rstrip(b"\0").decode(errors="replace"), kind, offset, size))
    raise ImageError("no whole partition table at 0x8000; only images with boot loader and application do")


def _check_partition(image: bytes, partition: Partition, flash: EsptoolFlash) -> None:
    if partition.offset + partition.size > flash.size:
        raise ImageError(
            f"its partition {partition.name} ends at 0x{partition.offset + partition.size:x}, "
            f"but flash has 0x{flash.size:x} bytes"
        )
    start = partition.offset - flash.offset
    # A table has further application partitions, empty ones, where updates over the air go.
    if partition.kind == _APPLICATION and (partition.name == "factory" or start < len(image)):
        _check_part(image[start : start + partition.size], flash.chip, f"application ({partition.name})")


def _check_part(data: bytes, chip: str, name: str) -> None:
    """One image in Espressif's format. Its header, checksum and SHA-256 are right."""
    try:
        part = LoadFirmwareImage(chip, data)
        checksum_right = part.checksum == part.calculate_checksum()
    except (RuntimeError, struct.error, TypeError, IndexError) as error:
        # TypeError is esptool's for a file that ends before its checksum.
        raise ImageError(f"its {name} is damaged or cut short ({_first_sentence(error)})") from error
    if part.chip_id != CHIP_DEFS[chip].IMAGE_CHIP_ID:
        raise ImageError(f"its {name} is for {_chip_name(part.chip_id)}, not for {CHIP_DEFS[chip].CHIP_NAME}")
    if not checksum_right:
        raise ImageError(f"its {name} is damaged: the checksum is wrong")
    if part.append_digest and part.stored_digest != part.calc_digest:
        raise ImageError(f"its {name} is damaged: the SHA-256 is wrong")


def _chip_name(chip_id: int) -> str:
    for rom in CHIP_DEFS.values():
        if chip_id == rom.IMAGE_CHIP_ID:
            return str(rom.CHIP_NAME)
    return f"an unknown chip (id {chip_id})"


# The chip


def _check_chip(chip: Any, spec: BoardSpec, flash: EsptoolFlash, port: str) -> None:
    expected = CHIP_DEFS[flash.chip].CHIP_NAME
    if expected != chip.CHIP_NAME:
        raise FlashError(
            f"port {port}: an {chip.CHIP_NAME} answers, but {spec.name} has an {expected}; "
            "nothing was written"
        )


def _check_flash_size(chip: Any, spec: BoardSpec, flash: EsptoolFlash, port: str) -> None:
    size = flash_size_bytes(esptool.detect_flash_size(chip))
    if size is None or size < flash.size:
        found = "an unknown size" if size is None else f"{size} bytes"
        raise FlashError(
            f"port {port}: the flash has {found}, but {spec.name} has {flash.size}; nothing was written"
        )


def _compare(image: bytes, found: bytes, offset: int) -> None:
    if found != image:
        first = next((at for at, byte in enumerate(image) if found[at : at + 1] != bytes([byte])), len(image))
        raise FlashError(f"flash differs from the image at 0x{offset + first:x}")


@contextmanager
def _errors_of(port: str, state: str) -> Iterator[None]:
    """What can go wrong meanwhile becomes one line that says what state the board is in."""
    try:
        yield
    except (FlashError, NoAnswer) as error:
        if "nothing was written" in str(error):
            raise
        raise FlashError(f"{error}; {state}; {_AGAIN}") from error
    except BoardError:
        raise
    except SerialException as error:
        raise FlashError(
            f"port {port}: connection lost ({_first_sentence(error)}); {state}; plug it in, {_AGAIN}"
        ) from error
    except (RuntimeError, OSError, struct.error) as error:
        # esptool's FatalError is a RuntimeError.
        raise FlashError(f"port {port}: {_first_sentence(error)}; {state}; {_AGAIN}") from error


def _first_sentence(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].partition(". ")[0].rstrip(".!")


class _BoundedPort:
    """pyserial's port; once the deadline has passed, whoever reads or writes gets NoAnswer."""

    def __init__(self, device: Any, name: str, deadline: Deadline) -> None:
        self.__dict__.update(_device=device, _name=name, _deadline=deadline)

    def read(self, size: int = 1) -> Any:
        self._check()
        return self._device.read(size)

    def write(self, data: bytes) -> Any:
        self._check()
        return self._device.write(data)

    def _check(self) -> None:
        if self._deadline.passed:
            raise NoAnswer(f"port {self._name}: not done after {self._deadline.seconds:.0f} s")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._device, name, value)


class _Progress(EspLogBase):  # type: ignore[misc]
    """Where esptool's messages go: only its progress is of interest, errors come as exceptions."""

    def __init__(self, what: str, on_progress: OnProgress) -> None:
        self.what = what
        self._on_progress = on_progress

    def progress_bar(self, cur_iter: int, total_iters: int, *args: object, **kwargs: object) -> None:
        self._on_progress(self.what, cur_iter, total_iters)

    def _ignore(self, *args: object, **kwargs: object) -> None:
        pass

    print = err = warn = note = hint = debug = set_verbosity = _ignore
