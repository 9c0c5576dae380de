"""sesstab flash for the ESP32 family: real and synthetic images, a mock boot loader on a pty, and faults.

After every fault there is an error, and the same chip can be flashed again.
"""

from __future__ import annotations

import hashlib
import random
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import flash_esp32_fake as fake
import pytest
from flash_esp32_fake import FakeESP32
from sesstab_tools import flash_esptool
from sesstab_tools.boards import BoardSpec, EsptoolFlash, find_board
from sesstab_tools.deploy import find_root
from sesstab_tools.errors import BoardError, FlashError, ImageError, PortError
from sesstab_tools.flash import flash

ROOT = find_root()
ESP32 = find_board("ESP32_GENERIC", ROOT)
CHIP_IDS = {"esp32": 0, "esp32c3": 5, "esp32s3": 9}
APPLICATION = 0x10000
TABLE = 0x8000

slow = pytest.mark.slow


@pytest.fixture
def real_image() -> Path:
    path = ROOT / "build" / "esp32-image" / "firmware.bin"
    assert path.is_file(), "no image to flash: make setup-test"
    return path


@pytest.fixture
def chip() -> Iterator[FakeESP32]:
    with FakeESP32() as chip:
        yield chip


def part(size: int, chip: str = "esp32") -> bytes:
    """One image in Espressif's format: a segment of random contents, which do not compress."""
    contents = random.Random(size).randbytes(size)
    magic, segments, has_digest = 0xE9, 1, 1
    header = struct.pack(
        "<BBHI4sHBHH4sB", magic, segments, 0, 0, b"", CHIP_IDS[chip], 0, 0, 0xFFFF, b"", has_digest
    )
    checksum = 0xEF
    for byte in contents:
        checksum ^= byte
    data = header + struct.pack("<II", 0x3FFB0000, size) + contents
    data += bytes(15 - len(data) % 16) + bytes([checksum])
    return data + hashlib.sha256(data).digest()


def partition_table(*partitions: tuple[int, int, int, int, str]) -> bytes:
    """Each: type, subtype, offset, size, name."""
    table = b"".join(
        struct.pack("<HBBII16sI", 0x50AA, *numbers, name.encode(), 0) for *numbers, name in partitions
    )
    return table + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(table).digest()


def firmware(spec: BoardSpec = ESP32, *, size: int = 150_000, table: bytes | None = None) -> bytes:
    """Boot loader, partition table and application, as MicroPython's build joins them."""
    assert isinstance(spec.flash, EsptoolFlash)
    if table is None:
        table = partition_table(
            (1, 2, 0x9000, 0x6000, "nvs"),
            (0, 0, APPLICATION, 0x180000, "factory"),
            (1, 0x81, 0x200000, 0x200000, "vfs"),
        )
    loader = part(20_000, spec.flash.chip)
    data = loader.ljust(TABLE - spec.flash.offset, b"\xff") + table
    return data.ljust(APPLICATION - spec.flash.offset, b"\xff") + part(size, spec.flash.chip)


def image_file(folder: Path, data: bytes) -> Path:
    path = folder / "firmware.bin"
    path.write_bytes(data)
    return path


def in_flash(chip: FakeESP32, image: bytes, offset: int = 0x1000) -> bool:
    return chip.flash[offset : offset + len(image)] == image


@slow
def test_a_real_image_is_written_verified_and_read_back_identical(chip: FakeESP32, real_image: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    done = flash(
        ESP32,
        ROOT,
        image=real_image,
        port=chip.port,
        verify=True,
        on_progress=lambda *step: seen.append(step),
    )
    assert in_flash(chip, real_image.read_bytes())
    assert done.size == real_image.stat().st_size
    assert done.verified == "every byte read back"
    for what in ("writing", "reading back"):
        steps = [(at, total) for name, at, total in seen if name == what]
        assert steps == sorted(steps) and len(steps) > 10
        assert steps[-1][0] == steps[-1][1]


@pytest.mark.parametrize("name", ["ESP32_GENERIC", "ESP32_GENERIC_C3", "ESP32_GENERIC_S3"])
def test_each_chip_of_the_family(name: str, tmp_path: Path) -> None:
    spec = find_board(name, ROOT)
    assert isinstance(spec.flash, EsptoolFlash)
    data = firmware(spec)
    with FakeESP32(spec.flash.chip) as chip:
        path = image_file(tmp_path, data)
        done = flash(spec, ROOT, image=path, port=chip.port)
        assert in_flash(chip, data, spec.flash.offset)
        assert done.verified == "MD5 computed by the chip"
        done = flash(spec, ROOT, image=path, port=chip.port, verify=True)
        assert done.verified == "every byte read back"


# While it is written: fault, and how the error says it


@pytest.mark.parametrize(
    "fault, message",
    [
        (fake.DROPPED_BLOCK, "MD5 of file does not match data in flash"),
        (fake.BIT_ROT, "MD5 of file does not match data in flash"),
        (fake.WRONG_MD5, "MD5 of file does not match data in flash"),
        (fake.REFUSED, "Failed to write compressed data to flash"),
        pytest.param(fake.LOST_REPLY, "No more data to read from the serial port; ", marks=slow),
        pytest.param(fake.TRUNCATED_REPLY, "No more data to read from the serial port; ", marks=slow),
        (fake.NOISE, "No more data to read from the serial port; "),
        pytest.param(fake.UNPLUGGED, "connection lost", marks=slow),
    ],
)
def test_a_fault_is_an_error_and_the_chip_can_be_flashed_again(
    chip: FakeESP32, tmp_path: Path, fault: str, message: str
) -> None:
    data = firmware()
    path = image_file(tmp_path, data)
    chip.set_fault(fault)
    start = time.monotonic()
    with pytest.raises(FlashError, match=message) as error:
        flash(ESP32, ROOT, image=path, port=chip.port)
    assert time.monotonic() - start < 60
    assert "what was on the board may be gone" in str(error.value)
    assert "hold BOOT while pressing reset, and run this again" in str(error.value)
    assert "\n" not in str(error.value)
    assert chip.blocks >= fake.FAULTY_BLOCK
    flash_again(chip, path, data)


def test_a_block_that_is_refused_once_is_sent_again(chip: FakeESP32, tmp_path: Path) -> None:
    data = firmware()
    chip.set_fault(fake.REFUSED_ONCE)
    flash(ESP32, ROOT, image=image_file(tmp_path, data), port=chip.port)
    assert chip.blocks > fake.FAULTY_BLOCK
    assert in_flash(chip, data)


@pytest.mark.parametrize(
    "fault, message",
    [
        (fake.WRONG_READ, "Digest mismatch"),
        (fake.FORGOTTEN, f"flash differs from the image at 0x{fake.WRONG_ADDRESS:x}"),
    ],
)
def test_a_wrong_bit_while_reading_back_is_an_error(
    chip: FakeESP32, tmp_path: Path, fault: str, message: str
) -> None:
    data = firmware()
    path = image_file(tmp_path, data)
    chip.set_fault(fault)
    with pytest.raises(FlashError, match=message):
        flash(ESP32, ROOT, image=path, port=chip.port, verify=True)
    flash_again(chip, path, data)


@slow
def test_a_chip_that_answers_for_ever_does_not_hold_it_for_ever(
    chip: FakeESP32, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = firmware()
    path = image_file(tmp_path, data)
    monkeypatch.setattr(flash_esptool, "_BASE_TIME", 2.0)
    monkeypatch.setattr(flash_esptool, "_SLOWNESS", 0)
    chip.set_fault(fake.ENDLESS_REPLY)
    start = time.monotonic()
    with pytest.raises(FlashError, match="not done after 2 s; what was on the board may be gone"):
        flash(ESP32, ROOT, image=path, port=chip.port)
    assert time.monotonic() - start < 30
    monkeypatch.undo()
    flash_again(chip, path, data)


def flash_again(chip: FakeESP32, path: Path, data: bytes) -> None:
    if chip.fault == fake.UNPLUGGED:
        chip.plug()
    chip.set_fault(None)
    flash(ESP32, ROOT, image=path, port=chip.port)
    assert in_flash(chip, data)


# Before anything is written: the chip


def untouched(chip: FakeESP32) -> bool:
    return chip.flash == b"\xff" * len(chip.flash)


@pytest.mark.parametrize("answers, name", [("esp32c3", "ESP32-C3"), ("esp32s3", "ESP32-S3")])
def test_another_chip_is_refused(answers: str, name: str, tmp_path: Path) -> None:
    with FakeESP32(answers) as chip:
        with pytest.raises(FlashError) as error:
            flash(ESP32, ROOT, image=image_file(tmp_path, firmware()), port=chip.port)
        assert str(error.value) == (
            f"port {chip.port}: an {name} answers, but ESP32_GENERIC has an ESP32; nothing was written"
        )
        assert untouched(chip)


def test_a_flash_that_is_too_small_is_refused(tmp_path: Path) -> None:
    with FakeESP32(flash_id=fake.FLASH_ID_2MB) as chip:
        with pytest.raises(FlashError) as error:
            flash(ESP32, ROOT, image=image_file(tmp_path, firmware()), port=chip.port)
        assert str(error.value) == (
            f"port {chip.port}: the flash has 2097152 bytes, but ESP32_GENERIC has 4194304; "
            "nothing was written"
        )
        assert untouched(chip)


@slow
@pytest.mark.parametrize("fault", [fake.SILENT, fake.NO_STUB])
def test_a_chip_that_does_not_answer(chip: FakeESP32, tmp_path: Path, fault: str) -> None:
    data = firmware()
    path = image_file(tmp_path, data)
    chip.set_fault(fault)
    with pytest.raises(FlashError, match="nothing was written; hold BOOT while pressing reset") as error:
        flash(ESP32, ROOT, image=path, port=chip.port)
    assert "\n" not in str(error.value)
    assert untouched(chip)
    flash_again(chip, path, data)


def test_no_such_port(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="no such device; is the board plugged in"):
        flash(ESP32, ROOT, image=image_file(tmp_path, firmware()), port="/dev/ttyNONE")


def test_no_port(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="name it with --port"):
        flash(ESP32, ROOT, image=image_file(tmp_path, firmware()))


def test_a_volume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FlashError, match="ESP32_GENERIC shows no volume"):
        flash(ESP32, ROOT, image=image_file(tmp_path, firmware()), volume=tmp_path)


# Before anything is written: the image. No port is opened, so none is needed.


def refusal(spec: BoardSpec, path: Path) -> str:
    with pytest.raises(ImageError) as error:
        flash(spec, ROOT, image=path, port="/dev/ttyNONE")
    return str(error.value).removeprefix(f"{path}: ").removesuffix("; nothing was written")


def changed(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


def test_an_image_for_another_chip_is_refused(tmp_path: Path) -> None:
    c3 = find_board("ESP32_GENERIC_C3", ROOT)
    path = image_file(tmp_path, firmware(replace(c3, flash=replace(c3.flash, offset=0x1000))))
    assert refusal(ESP32, path) == "its boot loader is for ESP32-C3, not for ESP32"


def test_an_application_for_another_chip_is_refused(tmp_path: Path) -> None:
    data = firmware()[: APPLICATION - 0x1000] + part(100_000, "esp32s3")
    assert refusal(ESP32, image_file(tmp_path, data)) == (
        "its application (factory) is for ESP32-S3, not for ESP32"
    )


@pytest.mark.parametrize("fraction", [0.001, 0.01, 0.05, 0.5, 0.9, 0.9999])
def test_a_truncated_image_is_refused(real_image: Path, tmp_path: Path, fraction: float) -> None:
    data = real_image.read_bytes()
    message = refusal(ESP32, image_file(tmp_path, data[: int(len(data) * fraction)]))
    assert "cut short" in message or "SHA-256" in message or "no whole partition table" in message


def test_an_empty_image_is_refused(tmp_path: Path) -> None:
    assert "its boot loader is damaged or cut short" in refusal(ESP32, image_file(tmp_path, b""))


@pytest.mark.parametrize(
    "at, value, message",
    [
        (0, 0xE8, "its boot loader is damaged or cut short (Invalid firmware image magic=0xe8)"),
        (100, 0x5A, "its boot loader is damaged: the checksum is wrong"),
        (9, 0x5A, "its boot loader is damaged: the SHA-256 is wrong"),
        (TABLE - 0x1000 + 40, 0x77, "its partition table is damaged: the MD5 is wrong"),
        (TABLE - 0x1000, 0x77, "no whole partition table at 0x8000; "),
        (0x40000, 0x5A, "its application (factory) is damaged: the checksum is wrong"),
    ],
)
def test_a_damaged_image_is_refused(
    real_image: Path, tmp_path: Path, at: int, value: int, message: str
) -> None:
    data = real_image.read_bytes()
    assert data[at] != value
    assert refusal(ESP32, image_file(tmp_path, changed(data, at, value))).startswith(message)


def test_two_changes_that_the_checksum_does_not_see_are_seen_by_the_hash(
    real_image: Path, tmp_path: Path
) -> None:
    data = real_image.read_bytes()
    data = changed(changed(data, 0x40000, data[0x40000] ^ 1), 0x40001, data[0x40001] ^ 1)
    assert refusal(ESP32, image_file(tmp_path, data)) == (
        "its application (factory) is damaged: the SHA-256 is wrong"
    )


def test_an_image_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    assert refusal(ESP32, image_file(tmp_path, bytes(0x400000))) == (
        "4194304 bytes at 0x1000 do not fit a flash of 4194304 bytes"
    )


def test_partitions_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    table = partition_table((0, 0, APPLICATION, 0x180000, "factory"), (1, 1, 0x300000, 0x200000, "vfs"))
    assert refusal(ESP32, image_file(tmp_path, firmware(table=table))) == (
        "its partition vfs ends at 0x500000, but flash has 0x400000 bytes"
    )


def test_an_image_without_application_is_refused(tmp_path: Path) -> None:
    table = partition_table((1, 2, 0x9000, 0x6000, "nvs"))
    assert refusal(ESP32, image_file(tmp_path, firmware(table=table))) == (
        "its partition table has no application"
    )


def test_a_uf2_file_is_refused(tmp_path: Path) -> None:
    assert "Invalid firmware image magic" in refusal(ESP32, image_file(tmp_path, b"UF2\n" + bytes(60_000)))


def test_without_an_image_it_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(BoardError) as error:
        flash(find_board("ESP32_GENERIC_S3", ROOT), tmp_path, port="/dev/ttyNONE")
    assert str(error.value) == (
        "no dist/firmware/ESP32_GENERIC_S3/firmware.bin; build it: make firmware BOARD=ESP32_GENERIC_S3"
    )


def test_a_board_without_flash_is_refused() -> None:
    with pytest.raises(FlashError, match=r"QEMU_MICROBIT .* has no flash to write"):
        flash(find_board("QEMU_MICROBIT", ROOT), ROOT)
