"""sesstab flash: what it says. That what it says is true, test_flash_*.py show."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import flash_esp32_fake as fake
import pytest
from cli_user import ROOT, Terminal, only_line, running, sesstab
from flash_esp32_fake import FakeESP32
from rp2_volume_fake import FakeRP2
from sesstab_tools import uf2
from sesstab_tools.boards import find_board
from test_flash_esp32 import firmware

ESP32 = "ESP32_GENERIC"
PICO = find_board("RPI_PICO", ROOT)
SHOW_CURSOR = "\x1b[?25h"


@pytest.fixture
def chip() -> Iterator[FakeESP32]:
    with FakeESP32() as chip:
        yield chip


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "firmware.bin"
    path.write_bytes(firmware(size=60_000))
    return str(path)


def test_json_says_what_was_written_and_how_it_was_verified(chip: FakeESP32, image: str) -> None:
    done = sesstab("flash", ESP32, "--port", chip.port, "--image", image, "--json")
    contents = Path(image).read_bytes()
    assert done.returncode == 0, done.stderr
    assert json.loads(only_line(done.stdout)) == {
        "board": ESP32,
        "image": image,
        "size": len(contents),
        "port": chip.port,
        "verified": "MD5 computed by the chip",
    }
    assert chip.flash[0x1000 : 0x1000 + len(contents)] == contents


def test_a_terminal_shows_progress_and_what_was_verified(chip: FakeESP32, image: str) -> None:
    with Terminal("flash", ESP32, "--port", chip.port, "--image", image, "--verify") as terminal:
        assert terminal.wait() == 0
        shown = terminal.seen.decode()
    for text in ("writing", "reading back", "100%", "every byte read back", chip.port):
        assert text in shown


def test_a_uf2_boot_loaders_volume(tmp_path: Path) -> None:
    image = tmp_path / "image.uf2"
    image.write_bytes(uf2.encode(bytes(range(256)) * 64, PICO.flash.address, PICO.flash.family))
    with FakeRP2(PICO, tmp_path / "chip") as chip:
        places = ["--port", chip.port, "--volume", str(chip.folder)]
        with Terminal("flash", "RPI_PICO", *places, "--image", str(image), columns=300) as terminal:
            assert terminal.wait() == 0
            shown = terminal.seen.decode()
    for text in ("writing", "100%", "16384 bytes", "SHA-256 computed by the board", chip.port):
        assert text in shown


def test_a_missing_image_says_how_to_build_it(tmp_path: Path) -> None:
    (tmp_path / "lib" / "sesstab").mkdir(parents=True)
    folder = tmp_path / "boards" / "MINE"
    folder.mkdir(parents=True)
    spec = ROOT / "boards" / ESP32 / "board.toml"
    (folder / "board.toml").write_text(spec.read_text())
    done = sesstab("flash", "MINE", "--port", "/dev/nothing", "--root", str(tmp_path))
    assert done.returncode == 1
    message = "no dist/firmware/MINE/firmware.bin; build it: make firmware BOARD=MINE"
    assert only_line(done.stderr) == f"sesstab: {message}"


def test_a_fault_is_one_line_at_a_terminal_too(chip: FakeESP32, image: str) -> None:
    chip.set_fault(fake.BIT_ROT)
    with Terminal("flash", ESP32, "--port", chip.port, "--image", image, columns=300) as terminal:
        assert terminal.wait() == 1
        last = terminal.seen.decode().rstrip().splitlines()[-1].removeprefix(SHOW_CURSOR)
    assert last.startswith(f"sesstab: port {chip.port}: ")
    assert "what was on the board may be gone" in last


def test_ctrl_c_says_what_state_the_board_is_in(chip: FakeESP32, image: str) -> None:
    chip.set_fault(fake.LOST_REPLY)
    with running("flash", ESP32, "--port", chip.port, "--image", image) as process:
        while chip.blocks < fake.FAULTY_BLOCK and process.poll() is None:
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr
        # Before it esptool may warn that a pty has no RTS and DTR.
        last = process.stderr.read().splitlines()[-1]
        assert last == "sesstab: interrupted; the firmware may be incomplete: run this again"


def test_a_board_without_flash_is_refused() -> None:
    done = sesstab("flash", "QEMU_MICROBIT")
    assert done.returncode == 1
    assert "has no flash to write; sesstab emulate runs it" in only_line(done.stderr)
