"""boards/*/board.toml and their loader: what is there is right, and what is wrong is said."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sesstab_tools.boards import (
    BoardFileError,
    EsptoolFlash,
    Uf2Flash,
    all_boards,
    find_board,
    load_board,
)
from sesstab_tools.deploy import ARCHITECTURES, find_root, module_names

ROOT = find_root()

GOOD = """
title = "A board"
chip = "rp2040"
arch = "armv6m"
capacity = 64
heap = 200_000

[micropython]
port = "rp2"
board = "RPI_PICO"
user_module = true

[flash]
method = "uf2"
family = 0xE48BFF56
volume = "RPI-RP2"
address = 0x10000000
size = 0x200000

[serial]
baudrate = 115200
burst = 32

[emulator]
kind = "qemu"
program = "qemu-system-arm"
arguments = ["-machine", "microbit"]
"""


def board(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "board.toml").write_text(text)
    return folder


def test_the_boards_of_the_project() -> None:
    specs = {spec.name: spec for spec in all_boards(ROOT)}
    assert set(specs) >= {
        "RPI_PICO", "RPI_PICO_W", "RPI_PICO2", "RPI_PICO2_W", "ESP32_GENERIC", "ESP32_GENERIC_S3",
        "ESP32_GENERIC_C3", "UNIX", "QEMU_MPS2_AN385", "QEMU_MICROBIT", "QEMU_VIRT_RV32",
        "QEMU_XTENSA_DC233C",
    }  # fmt: skip
    for spec in specs.values():
        assert spec.chip and spec.title, spec.name
        assert (ROOT / "tools" / "setup" / "firmware" / f"{spec.firmware.port}.sh").is_file(), spec.name
    families = {name: spec.flash.family for name, spec in specs.items() if isinstance(spec.flash, Uf2Flash)}
    assert families["RPI_PICO"] == 0xE48BFF56
    assert families["RPI_PICO2"] == 0xE48BFF59
    offsets = {
        name: spec.flash.offset for name, spec in specs.items() if isinstance(spec.flash, EsptoolFlash)
    }
    assert offsets == {"ESP32_GENERIC": 0x1000, "ESP32_GENERIC_S3": 0, "ESP32_GENERIC_C3": 0}


def test_every_board_loads_modules_of_its_architecture() -> None:
    # sys.implementation._mpy of such a board, as MicroPython puts it together.
    for spec in all_boards(ROOT):
        mpy = 6 | 3 << 8 | ARCHITECTURES.index(spec.arch) << 10
        assert module_names(mpy)[0] == f"{spec.arch}_6.3", spec.name


def test_a_file_with_everything(tmp_path: Path) -> None:
    spec = load_board(board(tmp_path / "MINE", GOOD))
    assert (spec.name, spec.chip, spec.arch, spec.capacity, spec.heap) == (
        "MINE", "rp2040", "armv6m", 64, 200_000,
    )  # fmt: skip
    assert spec.firmware.user_module is True
    assert spec.flash == Uf2Flash(0xE48BFF56, "RPI-RP2", 0x10000000, 0x200000)
    assert spec.serial.burst == 32
    assert spec.emulator is not None
    assert spec.emulator.arguments == ("-machine", "microbit")
    assert spec.images(tmp_path) == tmp_path / "dist" / "firmware" / "MINE"


WRONG = {
    'chip = "rp2040"\n': ("", "chip is missing: a text"),
    'title = "A board"': ('title = ""', "title is empty"),
    'arch = "armv6m"': ('arch = "z80"', r"arch is 'z80', not one of x86, x64"),
    "capacity = 64": ("capacity = 65536", "capacity is 65536, not from 1 to 65535"),
    "heap = 200_000": ('heap = "big"', "heap must be a whole number"),
    "[micropython]": ("colour = 3\n[micropython]", "colour is not known here; there are arch, capacity"),
    "user_module = true": ("user_module = 1", "micropython.user_module must be true or false"),
    'method = "uf2"': ('method = "jtag"', "flash.method is 'jtag', not one of uf2, esptool"),
    "family = 0xE48BFF56": ("family = true", "flash.family is True, not from 1"),
    "size = 0x200000": ("", "flash.size is missing: a whole number"),
    "baudrate = 115200": ("baudrate = 0", "serial.baudrate is 0, not from 1"),
    "burst = 32": ("parity = 1", "serial.parity is not known here; there are baudrate"),
    'kind = "qemu"': ('kind = "bochs"', "emulator.kind is 'bochs', not one of unix, rp2040js"),
    '["-machine", "microbit"]': ("[1]", "emulator.arguments must be a list of texts"),
    "[serial]\nbaudrate = 115200\nburst = 32": ("", "serial is missing: a table"),
    "[flash]": ("[flash", "at line"),
}


@pytest.mark.parametrize("good", WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, good: str) -> None:
    assert good in GOOD
    bad, message = WRONG[good]
    folder = board(tmp_path / "MINE", GOOD.replace(good, bad, 1))
    with pytest.raises(BoardFileError, match=message) as error:
        load_board(folder)
    assert str(folder / "board.toml") in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_board_names_those_there_are() -> None:
    for name in ("NONE", "", "../boards/UNIX"):
        with pytest.raises(BoardFileError, match=r"there are .*RPI_PICO, .*SESSTAB_BOARDS"):
            find_board(name, ROOT)


def test_boards_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board(tmp_path / "a" / "MINE", GOOD)
    board(tmp_path / "b" / "RPI_PICO", GOOD.replace("A board", "My Pico"))
    monkeypatch.setenv("SESSTAB_BOARDS", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    assert find_board("MINE", ROOT).title == "A board"
    assert find_board("RPI_PICO", ROOT).title == "My Pico"
    assert find_board("UNIX", ROOT).folder == ROOT / "boards" / "UNIX"
    names = [spec.name for spec in all_boards(ROOT)]
    assert names.count("RPI_PICO") == 1
    assert "MINE" in names


def test_for_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names with blanks and quotes survive, and a failure is one line."""
    folder = board(tmp_path / "it's mine" / "MINE", GOOD)
    monkeypatch.setenv("SESSTAB_BOARDS", str(folder.parent))
    command = [sys.executable, "-m", "sesstab_tools.boards"]
    text = subprocess.run([*command, "MINE"], capture_output=True, text=True, check=True).stdout
    shown = subprocess.run(
        ["sh", "-c", f'{text}printf "%s|%s|%s" "$folder" "$port" "$user_module"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == f"{folder}|rp2|1"
    failed = subprocess.run([*command, "NONE"], capture_output=True, text=True)
    assert failed.returncode == 1
    assert re.fullmatch(r"sesstab: no board 'NONE'.*\n", failed.stderr)
