"""The emulated boards that run real firmware, for tests of what each must do and of what is left of them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sesstab_tools.boards import find_board
from sesstab_tools.deploy import find_root
from sesstab_tools.emulators import UNIX, UNIX_C, emulated_names

ROOT = find_root()
# RPI_PICO_STOCK is RPI_PICO but for sesstab, which only tests about that tell apart.
_STOCK = "RPI_PICO_STOCK"
_NAMES = [name for name in emulated_names(ROOT) if name not in (UNIX, UNIX_C)]
BOARDS = [pytest.param(name, marks=pytest.mark.slow) for name in _NAMES if name != _STOCK]
WITHOUT_SESSTAB = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in _NAMES
    if not find_board(name, ROOT).firmware.user_module
]
# For each architecture one whose modules it must not load. (A Cortex-M3 runs a Cortex-M0's.)
WRONG = {"armv6m": "armv7m", "armv7m": "rv32imc", "rv32imc": "xtensawin", "xtensawin": "armv6m"}


def arch_of(name: str) -> str:
    arch = find_board(name, ROOT).arch
    assert arch
    return arch


def native_module(arch: str) -> Path:
    """The module for an architecture, as tools/setup/natmod.sh builds it."""
    found = next((ROOT / "dist" / "natmod").glob(f"{arch}_*/_sesstab.mpy"), None)
    assert found, f"no dist/natmod/{arch}_*/_sesstab.mpy; build it: make natmod ARCH={arch}"
    return found


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def wait_until(condition: Callable[[], object], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """After the block this process has the children and the open files that it had before."""
    before = _children(), set(os.listdir("/proc/self/fd"))
    yield
    assert (_children(), set(os.listdir("/proc/self/fd"))) == before


def _children() -> set[str]:
    tasks = Path("/proc/self/task").iterdir()
    return {child for task in tasks for child in (task / "children").read_text().split()}
