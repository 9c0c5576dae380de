"""The boards' compilers: those on PATH, or what tools/setup unpacked under build/. They compile for size."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import BoardError


@dataclass(frozen=True)
class Toolchain:
    chip: str
    prefix: str  # of the tools' names
    folder: str  # under build/
    setup: str
    flags: Sequence[str]

    def tool(self, root: Path, name: str) -> str:
        program = f"{self.prefix}-{name}"
        local = root / "build" / self.folder / program
        found = str(local) if local.exists() else shutil.which(program)
        if not found:
            raise BoardError(f"no {program}, neither in {local.parent} nor on PATH: {self.setup} gets it")
        return found

    def compile(self, root: Path, *arguments: str | Path) -> None:
        run(
            [self.tool(root, "gcc"), *self.flags, "-Os", "-std=gnu99", "-ffreestanding", *map(str, arguments)]
        )


_ARM = ("arm-none-eabi", "arm-gcc/usr/bin", "tools/setup/arm_gcc.sh")
_RISCV = ("riscv64-unknown-elf", "riscv-gcc/usr/bin", "tools/setup/riscv_gcc.sh")
_XTENSA = ("xtensa-esp32-elf", "xtensa-gcc/bin", "tools/setup/xtensa_gcc.sh dc233c")

CORTEX_M0 = Toolchain("Cortex-M0+", *_ARM, ("-mcpu=cortex-m0plus", "-mthumb"))
CORTEX_M3 = Toolchain("Cortex-M3", *_ARM, ("-mcpu=cortex-m3", "-mthumb"))
RV32 = Toolchain("RV32IMC", *_RISCV, ("-march=rv32imc", "-mabi=ilp32", "-misa-spec=2.2"))
XTENSA = Toolchain("Xtensa", *_XTENSA, ())
TOOLCHAINS = (CORTEX_M0, CORTEX_M3, RV32, XTENSA)


def run(
    command: Sequence[str], timeout: float | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """What the program printed."""
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env={**os.environ, **(environment or {})}
    )
    if result.returncode:
        name = Path(command[0]).name
        words = (result.stderr or result.stdout).strip()
        raise BoardError(words or f"{name} failed with status {result.returncode}")
    return result.stdout
