"""The Xtensa board: what it does beyond what every emulated board must do (test_emulated_boards.py)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulated_boards import ROOT, nothing_left
from sesstab_tools.boards import find_board
from sesstab_tools.errors import DeviceException, PortError
from sesstab_tools.repl import Board
from sesstab_tools.virtual import VirtualBoard, lock_flash
from sesstab_tools.xtensa import xtensa_board

XTENSA = find_board("QEMU_XTENSA_DC233C", ROOT)

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def xtensa() -> Iterator[VirtualBoard]:
    with xtensa_board(XTENSA, ROOT) as board:
        yield board


@pytest.fixture
def board(xtensa: VirtualBoard) -> Iterator[Board]:
    with Board.open(xtensa.port, press_reset=xtensa.reset) as client:
        yield client


def test_a_missing_image_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(PortError) as raised:
        xtensa_board(XTENSA, tmp_path)
    assert str(raised.value) == (
        "no dist/firmware/QEMU_XTENSA_DC233C/firmware.elf; build it: make firmware BOARD=QEMU_XTENSA_DC233C"
    )


def test_a_missing_emulator_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "firmware.elf"
    image.write_bytes(b"")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PortError) as raised:
        xtensa_board(XTENSA, tmp_path, image=image)
    assert str(raised.value) == (
        "no qemu-xtensa-static; get it: tools/setup/qemu_xtensa.sh, or install qemu-user-static"
    )


def test_a_flash_file_has_one_user(tmp_path: Path) -> None:
    image = tmp_path / "firmware.elf"
    image.write_bytes(b"")
    flash = tmp_path / "flash.bin"
    with nothing_left(), lock_flash(flash), pytest.raises(PortError) as raised:
        xtensa_board(XTENSA, ROOT, image=image, files=tmp_path)
    assert str(raised.value) == f"{flash} is in use by another emulated board"
    assert not flash.exists()


@slow
def test_a_file_that_is_no_image_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    image = tmp_path / "firmware.elf"
    image.write_bytes(b"no program")
    image.chmod(0o755)
    with (
        nothing_left(),
        pytest.raises(PortError, match=r"ended before its prompt, status \d+: Error"),
    ):
        xtensa_board(XTENSA, ROOT, image=image)


@slow
def test_it_has_what_boards_have(board: Board) -> None:
    assert "Xtensa" in str(board.eval("__import__('os').uname().machine"))
    board.exec(
        "import asyncio, binascii, gc, hashlib, io, json, machine, os, select, ssl, sys, time, tls, vfs"
    )
    assert board.eval("sys.path") == ["", ".frozen", "/lib"]
    assert board.eval("os.getcwd()") == "/"
    assert str(board.eval("tls.MBEDTLS_VERSION")).startswith("Mbed TLS 3.")


@slow
def test_its_modules_are_those_of_the_esp32(board: Board) -> None:
    """MicroPython's number for xtensawin, and calls that turn the register windows."""
    assert board.eval("__import__('sys').implementation._mpy >> 10") == 10
    board.exec("def deep(n): return n and deep(n - 1) + 1")
    assert board.eval("deep(100)") == 100
    with pytest.raises(DeviceException, match="RuntimeError: maximum recursion depth exceeded"):
        board.exec("deep(10 ** 6)")
    assert board.eval("deep(100)") == 100


@slow
def test_a_folder_keeps_files(tmp_path: Path) -> None:
    for _ in range(2):
        with xtensa_board(XTENSA, ROOT, files=tmp_path) as xtensa, Board.open(xtensa.port) as board:
            board.exec("with open('kept', 'a') as f: f.write('words')")
    with xtensa_board(XTENSA, ROOT, files=tmp_path) as xtensa, Board.open(xtensa.port) as board:
        assert board.eval("open('kept').read()") == "wordswords"


@slow
def test_an_emulator_that_dies_is_as_a_reset(xtensa: VirtualBoard, board: Board) -> None:
    board.exec("name = 1")
    os.kill(xtensa.pid, signal.SIGKILL)
    board.recover()
    assert board.eval("'name' in globals()") is False
