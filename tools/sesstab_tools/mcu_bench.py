"""Instructions per operation of the C core on boards without an operating system, in QEMU.

    python -m sesstab_tools.mcu_bench [table ...]

compiles tools/bench/mcu with one table (peer_*.c) for each chip, as boards' firmware is compiled, and prints
JSON. QEMU counts instructions (-icount), so figures are the same on every computer, and a run takes a second.
What calls the table is in them, the same for all tables: 12 instructions on Cortex-M0+, of a hit.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .deploy import find_root
from .errors import BoardError
from .toolchains import CORTEX_M0, CORTEX_M3, RV32, Toolchain, run

OURS, FLOOR = "sesstab", "floor"
TABLES = (OURS, FLOOR)
SIZES = (16, 64, 256)

OPTIONS = (
    *("-icount", "shift=0", "-display", "none", "-monitor", "none", "-serial", "none"),
    *("-chardev", "stdio,id=out", "-semihosting-config", "enable=on,target=native,chardev=out"),
)

Counts = dict[str, dict[int, float]]  # operation: sessions: instructions


@dataclass(frozen=True)
class Machine:
    """QEMU's, and where its memory is."""

    toolchain: Toolchain
    start: str  # of tools/bench/mcu: the board's own part
    flash: int
    ram: int
    ram_end: int
    emulator: Sequence[str]


_FLASH, _RAM, _RAM_END = 0, 0x2000_0000, 0x2004_0000
_MICROBIT_SIZES = ("-global", "nrf51-soc.flash-size=1048576", "-global", "nrf51-soc.sram-size=262144")
_MICROBIT = ("qemu-system-arm", "-M", "microbit", *_MICROBIT_SIZES)
_MPS2 = ("qemu-system-arm", "-M", "mps2-an385")
_VIRT = ("qemu-system-riscv32", "-M", "virt", "-bios", "none")
MACHINES = (
    Machine(CORTEX_M0, "board_arm.c", _FLASH, _RAM, _RAM_END, _MICROBIT),
    Machine(CORTEX_M3, "board_arm.c", _FLASH, _RAM, _RAM_END, _MPS2),
    Machine(RV32, "board_riscv.c", 0x8000_0000, 0x8008_0000, 0x8010_0000, _VIRT),
)


def measure(root: Path, machine: Machine, table: str = OURS) -> Counts:
    if not shutil.which(machine.emulator[0]):
        raise BoardError(f"no {machine.emulator[0]}: tools/setup/emulators.sh gets it")
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder, "bench.elf")
        build(root, machine, table, image)
        try:
            said = run([*machine.emulator, *OPTIONS, "-kernel", str(image)], timeout=60)
        except subprocess.TimeoutExpired:
            raise BoardError(f"{machine.toolchain.chip}: the benchmark of {table} did not end") from None
    counts: Counts = {}
    for line in said.splitlines():
        size, operation, tenths = line.split("\t")
        counts.setdefault(operation, {})[int(size)] = int(tenths) / 10
    if any(set(by_size) != set(SIZES) for by_size in counts.values()) or not counts:
        raise BoardError(f"{machine.toolchain.chip}: the benchmark of {table} said {said!r}")
    return counts


def build(root: Path, machine: Machine, table: str, image: Path) -> None:
    bench, core = root / "tools" / "bench" / "mcu", root / "firmware" / "core"
    sources = [machine.start, "begin.c", "bench.c", "libc.c", f"peer_{table}.c"]
    addresses = {"flash_start": machine.flash, "ram_start": machine.ram, "ram_end": machine.ram_end}
    machine.toolchain.compile(
        root,
        *("-Wall", "-Wextra", "-Werror", "-ffunction-sections", "-nostdlib", "-Wl,--gc-sections"),
        *("-fno-tree-loop-distribute-patterns", f"-I{bench}", f"-I{core}", "-T", bench / "board.ld"),
        *(f"-Wl,--defsym,{name}={address}" for name, address in addresses.items()),
        *(bench / source for source in sources),
        *([core / "sesstab.c"] if table == OURS else []),
        *("-lgcc", "-o", image),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Counts the C core's instructions on bare boards, in QEMU.")
    parser.add_argument("tables", nargs="*", default=TABLES, metavar="table", help="sesstab, floor")
    arguments = parser.parse_args()
    root = find_root()
    try:
        results = {
            machine.toolchain.chip: {table: measure(root, machine, table) for table in arguments.tables}
            for machine in MACHINES
        }
    except (OSError, BoardError) as error:
        print(f"sesstab: {error}", file=sys.stderr)
        return 1
    print(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
