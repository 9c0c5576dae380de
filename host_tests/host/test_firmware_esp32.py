"""make firmware for the ESP32 family: what is told without ESP-IDF, and how a port's board is extended."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from sesstab_tools.deploy import find_root

ROOT = find_root()
SCRIPT = ROOT / "tools" / "setup" / "firmware.sh"


def build(board: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("IDF_", "MICROPYTHON_"))
    }
    clean["SESSTAB_LOCK"] = "held"  # it stops early, so it need not wait for another setup
    return subprocess.run([SCRIPT, board], env={**clean, **environment}, capture_output=True, text=True)


@pytest.mark.parametrize("board", ["ESP32_GENERIC", "ESP32_GENERIC_S3", "ESP32_GENERIC_C3"])
def test_without_esp_idf(board: str) -> None:
    result = build(board)
    assert result.returncode == 1
    assert result.stderr == (
        f"sesstab: {board} needs Espressif's ESP-IDF, 5.2 to 5.4: install it, run '. <esp-idf>/export.sh', "
        "then this again\n"
    )


def test_a_wrong_esp_idf(tmp_path: Path) -> None:
    result = build("ESP32_GENERIC", IDF_PATH=str(tmp_path))
    assert result.returncode == 1
    assert result.stderr == (f"sesstab: IDF_PATH={tmp_path} holds no ESP-IDF; run '. <esp-idf>/export.sh'\n")


def test_an_unknown_board() -> None:
    result = build("ESP8266_GENERIC")
    assert result.returncode == 1
    assert result.stderr.startswith("sesstab: no board 'ESP8266_GENERIC'; there are ESP32_GENERIC,")


@pytest.mark.parametrize("board", ["ESP32_GENERIC", "ESP32_GENERIC_S3", "ESP32_GENERIC_C3"])
def test_the_ports_board_plus_tickets(board: str, tmp_path: Path) -> None:
    """What CMake makes of our board folder, in the place where the port includes it."""
    port = ROOT / "build" / "src" / "micropython" / "ports" / "esp32"
    ours = ROOT / "firmware" / "esp32"
    (tmp_path / "boards").symlink_to(port / "boards")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.12)\n"
        f"set(MICROPY_BOARD {board})\nset(MICROPY_BOARD_DIR {ours})\n"
        "include(${MICROPY_BOARD_DIR}/mpconfigboard.cmake)\n"
        "project(micropython NONE)\n"
        "get_directory_property(folders INCLUDE_DIRECTORIES)\n"
        'file(WRITE result "${SDKCONFIG_DEFAULTS}\\n${folders}")\n'
    )
    subprocess.run(["cmake", "-B", tmp_path / "o", tmp_path], check=True, capture_output=True, cwd=tmp_path)
    sdkconfigs, folders = (tmp_path / "result").read_text().split("\n")
    *ports_own, last = sdkconfigs.split(";")
    assert ports_own[0] == "boards/sdkconfig.base"
    assert last == str(ours / "sdkconfig.sesstab")
    assert Path(folders).resolve() == port.resolve() / "boards" / board
