"""sesstab flash for RP2040 and RP2350: a boot loader's volume, through FUSE, the board around it, and faults.

After every fault there is an error, and the same chip can be flashed again.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import rp2_volume_fake as fake
from emulated_boards import wait_until
from rp2_volume_fake import EmulatedPico, FakeRP2
from sesstab_tools import flash_uf2, uf2, volumes
from sesstab_tools.boards import Uf2Flash, find_board
from sesstab_tools.deploy import find_root
from sesstab_tools.errors import DeviceException, FlashError, ImageError, PortError
from sesstab_tools.flash import Flashed, flash
from sesstab_tools.repl import Board
from sesstab_tools.volumes import Volume

ROOT = find_root()
PICO = find_board("RPI_PICO", ROOT)
PICO_2 = find_board("RPI_PICO2", ROOT)
ADDRESS, FAMILY, SIZE = 0x10000000, 0xE48BFF56, 0x200000
CONTENTS = random.Random(2040).randbytes(12 * 4096)
OTHER = bytes(byte ^ 0xFF for byte in CONTENTS)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_real_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A board that is plugged into this computer is not what these tests may flash."""

    def find_volumes(board_id: str) -> list[Volume]:
        return [found for found in volumes.find_volumes(board_id) if found.folder.is_relative_to(tmp_path)]

    monkeypatch.setattr(flash_uf2, "find_volumes", find_volumes)
    monkeypatch.setattr(flash_uf2, "_usb_ports", list)


@pytest.fixture
def chip(tmp_path: Path) -> Iterator[FakeRP2]:
    """In its boot loader."""
    with FakeRP2(PICO, tmp_path / "chip") as chip:
        yield chip


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return image_file(tmp_path, CONTENTS)


def image_file(folder: Path, contents: bytes, family: int = FAMILY) -> Path:
    path = folder / "image.uf2"
    path.write_bytes(uf2.encode(contents, ADDRESS, family))
    return path


def flash_it(chip: FakeRP2, image: Path) -> Flashed:
    return flash(PICO, ROOT, image=image, port=chip.port, volume=chip.folder)


def in_flash(chip: FakeRP2, contents: bytes = CONTENTS) -> bool:
    return chip.flash == contents.ljust(SIZE, b"\xff")


def firmware(board: str, kind: str) -> bytes:
    path = ROOT / "dist" / "firmware" / board / f"firmware.{kind}"
    assert path.is_file(), f"no {path.relative_to(ROOT)}; build it: make firmware BOARD={board}"
    return path.read_bytes()


# Without faults


def test_other_firmware_is_replaced_by_ours_over_the_repl(
    tmp_path: Path,
) -> None:
    """Real firmware before and after, emulated: machine.bootloader(), the volume, MicroPython again."""
    before, ours = firmware("RPI_PICO_STOCK", "bin"), firmware("RPI_PICO", "uf2")
    address, contents = uf2.image(uf2.decode(ours))
    assert address == ADDRESS
    seen: list[tuple[str, int, int]] = []
    with FakeRP2(PICO, tmp_path / "chip", EmulatedPico, flash=before, running=True) as chip:
        with Board.open(chip.port) as board:
            board.exec("with open('kept', 'w') as f: f.write('words')")
            with pytest.raises(DeviceException, match="ImportError"):
                board.exec("import _sesstab")
        done = flash(PICO, ROOT, port=chip.port, verify=True, on_progress=lambda *step: seen.append(step))
        assert chip.flash[: len(contents)] == contents
        assert (done.size, done.port) == (len(contents), chip.port)
        assert done.verified == "SHA-256 computed by the board"
        with Board.open(chip.port) as board:
            assert board.eval("open('kept').read()") == "words"
            board.exec("import _sesstab")
    steps = [(at, total) for what, at, total in seen if what == "writing"]
    assert steps == sorted(steps) and len(steps) > 10
    assert steps[-1][0] == steps[-1][1] > len(ours)


def test_a_board_in_its_boot_loader_is_found_by_its_volume(chip: FakeRP2, image: Path) -> None:
    done = flash(PICO, ROOT, image=image, port=chip.port)
    assert in_flash(chip)
    assert (done.size, done.port) == (len(CONTENTS), chip.port)
    assert done.verified == "SHA-256 computed by the board"


def test_a_board_that_runs_is_sent_into_its_boot_loader(tmp_path: Path, image: Path) -> None:
    with FakeRP2(PICO, tmp_path / "chip", running=True) as chip:
        for _ in range(2):
            flash(PICO, ROOT, image=image, port=chip.port)
            assert in_flash(chip)


def test_rp2350_and_the_block_that_its_files_begin_with(tmp_path: Path) -> None:
    assert isinstance(PICO_2.flash, Uf2Flash)
    image = image_file(tmp_path, CONTENTS, PICO_2.flash.family)
    erratum = uf2.encode(b"\xef" * uf2.PAYLOAD, 0x10FFFF00, 0xE48BFF57)
    image.write_bytes(erratum + image.read_bytes())
    with FakeRP2(PICO_2, tmp_path / "chip") as chip:
        flash(PICO_2, ROOT, image=image, port=chip.port)
        assert chip.flash.rstrip(b"\xff") == CONTENTS.rstrip(b"\xff")


def test_flash_that_the_image_does_not_write_stays(tmp_path: Path, image: Path) -> None:
    old = b"old!" * (SIZE // 4)
    with FakeRP2(PICO, tmp_path / "chip", flash=old) as chip:
        flash_it(chip, image)
        assert chip.flash == CONTENTS + old[len(CONTENTS) :]


# Faults


INCOMPLETE = r"it took the whole file, but is still there after 1 s, so blocks are missing .* run this again$"


@pytest.mark.parametrize(
    "fault, short, message",
    [
        (fake.DROPPED_BLOCK, "GO_TIME", INCOMPLETE),
        (fake.TRUNCATED, "GO_TIME", INCOMPLETE),
        (fake.DAMAGED_BLOCK, "GO_TIME", INCOMPLETE),
        (fake.NEVER_VANISHES, "GO_TIME", INCOMPLETE),
        (fake.BIT_ROT, "", "flash differs from the image between 0x10000000 and 0x1000c000: hold BOOTSEL"),
        (fake.UNPLUGGED, "", r"the volume went away .* the firmware is incomplete: hold BOOTSEL"),
        (fake.DISK_FULL, "", r"No space left on device; the firmware is incomplete, .* run this again$"),
        (fake.IO_ERROR, "", r"Input/output error; the firmware is incomplete, .* run this again$"),
        (fake.STALLED, "STALL_TIME", "it took nothing more for 1 s; unplug the board, hold BOOTSEL"),
        (fake.READ_ONLY, "", "after 0 of 98816 bytes: Read-only file system; nothing was written$"),
        (fake.NO_RETURN, "RETURN_TIME", r"no MicroPython answered at .* in 1 s; .*: hold BOOTSEL"),
        (fake.BOOT_LOADER_AGAIN, "RETURN_TIME", "in its boot loader again: the chip does not start this"),
    ],
)
def test_a_fault_is_an_error_and_the_board_can_be_flashed_again(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch, fault: str, short: str, message: str
) -> None:
    with FakeRP2(PICO, tmp_path / "chip", fault=fault) as chip:
        start = time.monotonic()
        with monkeypatch.context() as patch, pytest.raises(FlashError, match=message) as error:
            if short:
                patch.setattr(flash_uf2, short, 1.0)
            flash_it(chip, image)
        assert time.monotonic() - start < 30
        assert "\n" not in str(error.value)
        chip.fault = ""
        if "hold BOOTSEL" in str(error.value):
            chip.replug_with_bootsel()
        assert flash_it(chip, image).verified
        assert in_flash(chip)


def test_an_image_of_as_many_blocks_is_not_mixed_with_one_that_was_cut_off(tmp_path: Path) -> None:
    with FakeRP2(PICO, tmp_path / "chip", fault=fake.IO_ERROR) as chip:
        with pytest.raises(FlashError, match="the firmware is incomplete"):
            flash_it(chip, image_file(tmp_path, OTHER))
        flash_it(chip, image_file(tmp_path, CONTENTS))
        assert in_flash(chip)


def test_a_board_that_does_not_reach_its_boot_loader(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flash_uf2, "APPEAR_TIME", 1.0)
    with FakeRP2(PICO, tmp_path / "chip", running=True, fault=fake.NO_BOOT_LOADER) as chip:
        with pytest.raises(FlashError, match=r"no volume RPI-RP2 appeared in 1 s; nothing was written\."):
            flash(PICO, ROOT, image=image, port=chip.port)
        chip.fault = ""
        chip.replug_with_bootsel()
        flash_it(chip, image)
        assert in_flash(chip)


def test_flash_that_the_board_cannot_see_is_not_verified_and_an_error_if_it_has_to_be(
    chip: FakeRP2, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "_UCTYPES", "")
    assert flash_it(chip, image).verified == ""
    with pytest.raises(FlashError, match="cannot compute a SHA-256 of its flash, so this is not verified"):
        flash(PICO, ROOT, image=image, port=chip.port, verify=True)


# Before anything is written: the board


def test_a_running_board_with_another_chip_is_refused(tmp_path: Path, image: Path) -> None:
    with FakeRP2(PICO_2, tmp_path / "chip", running=True) as chip:
        with pytest.raises(FlashError, match=r"RP2350' answers, but RPI_PICO has an RP2040; nothing was "):
            flash(PICO, ROOT, image=image, port=chip.port)
        with Board.open(chip.port) as board:
            assert board.eval("1 + 1") == 2  # it was left alone


def test_the_volume_of_another_chip_is_refused(tmp_path: Path, image: Path) -> None:
    with FakeRP2(PICO_2, tmp_path / "chip") as chip:
        with pytest.raises(FlashError) as error:
            flash_it(chip, image)
        assert str(error.value) == (
            f"{chip.folder} is the volume of a board RP2350, but RPI_PICO's is RPI-RP2; nothing was written"
        )
        with pytest.raises(
            FlashError, match=r"no volume RPI-RP2 is mounted, and there is no port .*; hold BOOT"
        ):
            flash(PICO, ROOT, image=image, port=chip.port)
        assert list(chip.folder.iterdir()) == [chip.folder / "INFO_UF2.TXT"]


def test_two_boards_in_their_boot_loaders_are_told_apart_by_volume(tmp_path: Path, image: Path) -> None:
    with FakeRP2(PICO, tmp_path / "one") as one, FakeRP2(PICO, tmp_path / "other") as other:
        with pytest.raises(FlashError, match="several boards are in their boot loaders") as error:
            flash(PICO, ROOT, image=image)
        assert str(one.folder) in str(error.value) and str(other.folder) in str(error.value)
        flash_it(other, image)
        assert in_flash(one, b"") and in_flash(other)


def test_a_port_in_use_is_no_reason_to_write_to_another_board(tmp_path: Path, image: Path) -> None:
    with (
        FakeRP2(PICO, tmp_path / "one", running=True) as one,
        FakeRP2(PICO, tmp_path / "other") as other,
        Board.open(one.port),
    ):
        with pytest.raises(PortError, match=f"port {one.port}: in use by another program"):
            flash(PICO, ROOT, image=image, port=one.port)
        assert list(other.folder.iterdir()) == [other.folder / "INFO_UF2.TXT"]


def test_a_folder_that_is_no_volume_is_refused(tmp_path: Path, image: Path) -> None:
    with pytest.raises(FlashError, match=r"is no boot loader's volume: it has no INFO_UF2\.TXT"):
        flash(PICO, ROOT, image=image, volume=tmp_path)
    assert list(tmp_path.iterdir()) == [image]


def test_no_board_is_an_error_that_says_how_to_get_to_the_boot_loader(image: Path) -> None:
    with pytest.raises(FlashError, match="no volume RPI-RP2 is mounted; hold BOOTSEL while plugging it in"):
        flash(PICO, ROOT, image=image)


# Before anything is written: the image


def with_word(data: bytes, block: int, offset: int, value: int) -> bytes:
    at = block * uf2.BLOCK + offset
    return data[:at] + value.to_bytes(4, "little") + data[at + 4 :]


GOOD = uf2.encode(CONTENTS, ADDRESS, FAMILY)


@pytest.mark.parametrize(
    "contents, message",
    [
        (b"", "no UF2 file: it is empty"),
        (GOOD[:-100], "block 191: 412 bytes instead of 512; the file is cut short"),
        (GOOD[:-512], "block 0: count is 192, but the file has 191 blocks; is it cut short?"),
        (with_word(GOOD, 7, 508, 0), "block 7: last magic word is 0x00000000 instead of 0x0ab16f30"),
        (uf2.encode(CONTENTS, ADDRESS, 0xE48BFF59), "block 0 is of family 0xe48bff59, but the board's is"),
        (with_word(GOOD, 7, 8, 0), "block 7 is of no family"),
        (with_word(GOOD, 7, 8, 0x2001), "block 7 has the flags 0x00002001, which the boot loader would not"),
        (with_word(GOOD, 7, 12, ADDRESS + 1), "block 7 is 256 bytes at 0x10000001, no page of 256 bytes"),
        (with_word(GOOD, 7, 12, ADDRESS + SIZE), "block 7 goes to 0x10200000, outside the flash of 2097152"),
        (with_word(GOOD, 7, 12, ADDRESS), "block 7: 0x10000000 is written by two blocks"),
        (CONTENTS, "block 0: first magic word is"),
    ],
)
def test_a_wrong_image_is_refused(tmp_path: Path, contents: bytes, message: str) -> None:
    path, volume = tmp_path / "wrong.uf2", tmp_path / "volume"
    path.write_bytes(contents)
    volume.mkdir()
    (volume / "INFO_UF2.TXT").write_text("Board-ID: RPI-RP2\n")
    with pytest.raises(ImageError) as error:
        flash(PICO, ROOT, image=path, volume=volume)
    assert str(error.value).startswith(f"{path}: {message}"), error.value
    assert str(error.value).endswith("; nothing was written")
    assert list(volume.iterdir()) == [volume / "INFO_UF2.TXT"]


# The fake


def test_what_is_mounted_goes_with_the_process_that_did_it(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from rp2_volume_fake import FakeRP2\n"
        "from sesstab_tools.boards import find_board; from sesstab_tools.deploy import find_root\n"
        "with FakeRP2(find_board('RPI_PICO', find_root()), Path(sys.argv[1])) as chip:\n"
        "    assert chip.folder.is_mount()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    folder = tmp_path / "chip"
    done = subprocess.run([sys.executable, "-c", code, folder], cwd=Path(__file__).parent, check=False)
    assert done.returncode == -signal.SIGKILL
    assert wait_until(lambda: not (folder / "volume").is_mount())
