"""Boards in QEMU: what they do beyond what every emulated board must do (test_emulated_boards.py)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulated_boards import nothing_left
from sesstab_tools.boards import BoardSpec, find_board
from sesstab_tools.errors import BoardError, DeviceException, PortError
from sesstab_tools.qemu import QemuBoard, qemu_board
from sesstab_tools.repl import Board

ROOT = Path(__file__).resolve().parents[2]
M3 = find_board("QEMU_MPS2_AN385", ROOT)
M0 = find_board("QEMU_MICROBIT", ROOT)
RISCV = find_board("QEMU_VIRT_RV32", ROOT)
SPECS = [M3, M0, RISCV]

slow = pytest.mark.slow


@pytest.fixture(scope="module", params=SPECS, ids=lambda spec: spec.name)
def spec(request: pytest.FixtureRequest) -> BoardSpec:
    chosen: BoardSpec = request.param
    return chosen


@pytest.fixture(scope="module")
def qemu(spec: BoardSpec) -> Iterator[QemuBoard]:
    with qemu_board(spec, ROOT) as running:
        yield running


@pytest.fixture
def board(qemu: QemuBoard) -> Iterator[Board]:
    with Board.open(qemu.port, press_reset=qemu.reset) as client:
        yield client


# What is missing


def test_a_missing_image_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(PortError) as raised:
        qemu_board(RISCV, tmp_path)
    missing = "no dist/firmware/QEMU_VIRT_RV32/firmware.elf; build it: make firmware BOARD=QEMU_VIRT_RV32"
    assert str(raised.value) == missing


def test_a_missing_emulator_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "firmware.elf"
    image.write_bytes(b"")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PortError) as raised:
        qemu_board(RISCV, ROOT, image=image)
    message = "no qemu-system-riscv32; get it: tools/setup/emulators.sh, or install qemu-system-misc"
    assert str(raised.value) == message


def test_a_board_of_another_kind_is_refused() -> None:
    with pytest.raises(PortError, match="QEMU does not emulate UNIX"):
        qemu_board(find_board("UNIX", ROOT), ROOT)


@slow
def test_a_file_that_is_no_image_is_an_error(tmp_path: Path) -> None:
    image = tmp_path / "firmware.elf"
    image.write_bytes(b"")
    with nothing_left(), pytest.raises(PortError, match=r"QEMU ended, status -6: qemu: fatal: Lockup"):
        qemu_board(M3, ROOT, image=image)


@slow
def test_firmware_without_a_prompt_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sesstab_tools.qemu._START_TIME", 1.0)
    image = tmp_path / "firmware.elf"
    image.write_bytes(b"\x6f\x00\x00\x00" * 16)  # jumps to itself
    with nothing_left(), pytest.raises(PortError, match=r"no prompt in 1 s; does main"):
        qemu_board(RISCV, ROOT, image=image)


# The board


@slow
def test_it_says_what_it_is(spec: BoardSpec, board: Board) -> None:
    machine = {"QEMU_MPS2_AN385": "Cortex-M3", "QEMU_MICROBIT": "nRF51", "QEMU_VIRT_RV32": "rv32imac"}
    assert machine[spec.name] in str(board.eval("__import__('os').uname().machine"))


@slow
def test_it_has_what_boards_have(spec: BoardSpec, board: Board) -> None:
    board.exec(
        "import asyncio, binascii, gc, hashlib, io, json, machine, os, select, ssl, sys, time, tls, vfs"
    )
    assert board.eval("sys.path") == ["", ".frozen", "/lib"]
    assert board.eval("os.getcwd()") == "/"
    assert str(board.eval("tls.MBEDTLS_VERSION")).startswith("Mbed TLS 3.")
    assert spec.heap
    free = board.eval("gc.collect() or gc.mem_free() + gc.mem_alloc()")
    assert isinstance(free, int) and abs(free - spec.heap) < 4096


@slow
def test_sesstab_is_not_in_the_firmware(board: Board) -> None:
    board.exec("import sys; path = sys.path[:]; sys.path[:] = ['.frozen']")
    try:
        for name in ("sesstab", "_sesstab"):
            with pytest.raises(DeviceException, match="ImportError"):
                board.exec(f"import {name}")
    finally:
        board.exec("sys.path[:] = path")


# Resets and files


@slow
def test_a_main_that_runs_for_ever_is_an_error_of_the_reset(
    spec: BoardSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    with qemu_board(spec, ROOT) as qemu:
        with Board.open(qemu.port) as board:
            board.exec("with open('main.py', 'w') as f: f.write('while True: pass')")
        monkeypatch.setattr("sesstab_tools.qemu._START_TIME", 1.0)
        with pytest.raises(BoardError, match=r"no prompt in 1 s; does main\.py run for ever\?"):
            qemu.reset()
        with Board.open(qemu.port) as board:  # which sends Ctrl-C
            assert board.eval("1 + 1") == 2


@slow
def test_the_file_system_holds_its_size(board: Board) -> None:
    board.exec("with open('big', 'w') as f:\n    for i in range(100): f.write('%04d' % i * 1000)")
    assert board.eval("len(open('big').read(8))") == 8
    assert board.eval("__import__('os').stat('big')[6]") == 400000
    with pytest.raises(DeviceException, match="OSError: 28"):
        board.exec("with open('big', 'w') as f:\n    for i in range(300): f.write('%04d' % i * 1000)", 60)
    board.exec("import os; os.remove('big')")


# Time and chance


@slow
def test_equal_work_takes_equal_time(spec: BoardSpec) -> None:
    work = (
        "import time\ndef work():\n    s = 0\n    for i in range(20000): s = s + i & 0xffff\n    return s\n"
    )
    measured = []
    for _ in range(2):
        with qemu_board(spec, ROOT) as qemu, Board.open(qemu.port) as client:
            client.exec(work)
            took = client.exec("t = time.ticks_us(); work(); print(time.ticks_diff(time.ticks_us(), t))")
            measured.append(int(took))
    assert abs(measured[0] - measured[1]) < 50
    assert 1000 < measured[0] < 100000


@slow
def test_the_clock_starts_with_the_host_s_and_ticks_with_the_board(spec: BoardSpec) -> None:
    with qemu_board(spec, ROOT) as qemu, Board.open(qemu.port) as client:
        assert client.eval("__import__('time').ticks_ms() < 60000") is True
        now = client.eval("__import__('time').time()")
        assert isinstance(now, int) and abs(now - time.time()) < 10
        assert client.eval("__import__('time').gmtime()[0]") == time.gmtime().tm_year


# Ends


@slow
def test_an_emulator_that_dies_is_an_error_and_says_so(spec: BoardSpec) -> None:
    with nothing_left(), qemu_board(spec, ROOT) as qemu:
        os.kill(qemu.pid, signal.SIGKILL)
        with pytest.raises(BoardError, match="QEMU ended, status -9"):
            qemu.reset()
