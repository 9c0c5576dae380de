"""Random numbers of emulated boards come from this computer; images of real boards have none of that.

An image is of a real board where its board.toml says how to flash it.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from emulated_boards import ROOT
from sesstab_tools.boards import BoardSpec, all_boards, find_board

GENERATOR = "emulation_only_random"
SEMIHOSTING = "bkpt\t0x00ab"  # how an ARM calls the computer that emulates it
IN_AN_EMULATOR_ALONE = ["QEMU_MICROBIT", "QEMU_MPS2_AN385", "QEMU_VIRT_RV32", "QEMU_XTENSA_DC233C"]
NEEDED = ("RPI_PICO", "RPI_PICO_STOCK")
REAL = [
    spec.name
    for spec in all_boards(ROOT)
    if spec.flash and (spec.name in NEEDED or (spec.images(ROOT) / "firmware.elf").exists())
]
SOURCES = [
    ROOT / "firmware" / "qemu" / "entropy_emulation_only.c",
    ROOT / "firmware" / "qemu_xtensa" / "entropy_emulation_only.c",
]


def image_of(spec: BoardSpec) -> Path:
    path = spec.images(ROOT) / "firmware.elf"
    assert path.is_file(), f"no {path.relative_to(ROOT)}; build it: make firmware BOARD={spec.name}"
    return path


def symbols(image: Path) -> set[str]:
    with image.open("rb") as file:
        tables = [s for s in ELFFile(file).iter_sections() if isinstance(s, SymbolTableSection)]
        return {symbol.name for table in tables for symbol in table.iter_symbols()}


def arm(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    beside = ROOT / "build" / "arm-gcc" / "usr" / "bin" / f"arm-none-eabi-{program}"
    command = [str(beside) if beside.exists() else beside.name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def functions(image: Path) -> dict[str, str]:
    """The instructions of each function, by its name."""
    done = arm("objdump", "--disassemble", image)
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r"^[0-9a-f]+ <(.+)>:\n((?:.+\n)*)", done.stdout, re.MULTILINE))


@pytest.mark.parametrize("name", IN_AN_EMULATOR_ALONE)
def test_the_generator_of_an_emulator_has_a_name_that_says_so(name: str) -> None:
    spec = find_board(name, ROOT)
    assert spec.flash is None
    assert GENERATOR in symbols(image_of(spec))


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_a_real_board_s_image_has_the_chip_s_generator_and_no_other(name: str) -> None:
    spec = find_board(name, ROOT)
    image = image_of(spec)
    code = functions(image)
    users = [code["mbedtls_hardware_poll"], code["mp_os_urandom"]]
    assert GENERATOR not in symbols(image)
    assert not [function for function, text in code.items() if SEMIHOSTING in text]
    if spec.chip == "rp2040":
        assert all("<rosc_random_u8>" in text for text in users)  # of the ring oscillator


@pytest.mark.slow
def test_what_no_real_image_has_is_in_an_emulated_one() -> None:
    code = functions(image_of(find_board("QEMU_MICROBIT", ROOT)))
    assert [function for function, text in code.items() if SEMIHOSTING in text]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.parent.name)
def test_the_emulators_generator_compiles_for_no_real_board(source: Path) -> None:
    own = {"qemu": "-DQEMU_SOC_NRF51", "qemu_xtensa": "-DQEMU_XTENSA_USER"}[source.parent.name]
    options = ("-fsyntax-only", "-mcpu=cortex-m0plus", "-mthumb", "-DPICO_RP2040=1")
    refused = arm("gcc", *options, source)
    assert refused.returncode != 0
    assert "exists in an emulator only" in refused.stderr
    accepted = arm("gcc", *options, own, source)
    assert accepted.returncode == 0, accepted.stderr  # that is all that was wrong
