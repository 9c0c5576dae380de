"""Instructions per operation of the C core on boards without an operating system, in QEMU.

    python -m sesstab_tools.mcu_bench [table ...]

compiles tools/bench/mcu with one table (peer_*.c) for each chip, as boards' firmware is compiled, and prints
JSON. BearSSL and Mbed TLS are for the Cortex-M0+ only. QEMU counts instructions (-icount), so figures are the
same on every computer, and a run takes a second. What calls the table is in them, the same for all tables: 12
instructions on Cortex-M0+, of a hit.
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

SIZES = (16, 64, 256)

OPTIONS = (
    *("-icount", "shift=0", "-display", "none", "-monitor", "none", "-serial", "none"),
    *("-chardev", "stdio,id=out", "-semihosting-config", "enable=on,target=native,chardev=out"),
)

Counts = dict[str, dict[int, float]]  # operation: sessions: instructions


@dataclass(frozen=True)
class Table:
    """What is compiled with its peer_*.c of tools/bench/mcu. A foreign one needs a C library's headers, which
    only the Arm compiler here comes with."""

    name: str
    folder: str = ""  # of all below
    include: Sequence[str] = ()
    sources: Sequence[str] = ()
    flags: Sequence[str] = ()
    foreign: bool = False


OURS = Table("sesstab", "firmware/core", ["."], ["sesstab.c"])
FLOOR = Table("floor")
BEARSSL = Table(
    "bearssl",
    "build/peers/bearssl-source",
    ["inc", "src"],
    [
        f"src/{name}.c"
        for name in (
            "ssl/ssl_lru",
            "rand/hmac_drbg",
            "mac/hmac",
            "hash/sha2small",
            "codec/enc32be",
            "codec/dec32be",
        )
    ],
    foreign=True,
)
MBEDTLS = Table(
    "mbedtls",
    "build/src/micropython",
    [".", "lib/mbedtls/include"],
    [f"lib/mbedtls/library/{name}.c" for name in ("ssl_cache", "ssl_tls", "platform_util", "md")],
    ["-DMBEDTLS_CONFIG_FILE=<peer_mbedtls_config.h>"],
    foreign=True,
)
TABLES = {table.name: table for table in (OURS, FLOOR, BEARSSL, MBEDTLS)}


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


def measure(root: Path, machine: Machine, table: Table = OURS) -> Counts:
    if not shutil.which(machine.emulator[0]):
        raise BoardError(f"no {machine.emulator[0]}: tools/setup/emulators.sh gets it")
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder, "bench.elf")
        build(root, machine, table, image)
        try:
            said = run([*machine.emulator, *OPTIONS, "-kernel", str(image)], timeout=60)
        except subprocess.TimeoutExpired:
            raise BoardError(f"{machine.toolchain.chip}: the benchmark of {table.name} did not end") from None
    counts: Counts = {}
    for line in said.splitlines():
        size, operation, tenths = line.split("\t")
        counts.setdefault(operation, {})[int(size)] = int(tenths) / 10
    if any(set(by_size) != set(SIZES) for by_size in counts.values()) or not counts:
        raise BoardError(f"{machine.toolchain.chip}: the benchmark of {table.name} said {said!r}")
    return counts


def build(root: Path, machine: Machine, table: Table, image: Path) -> None:
    bench, theirs = root / "tools" / "bench" / "mcu", root / table.folder
    if not theirs.exists():
        raise BoardError(f"no {table.folder}: tools/setup/peers.sh gets it")
    sources = [machine.start, "begin.c", "bench.c", "libc.c", f"peer_{table.name}.c"]
    addresses = {"flash_start": machine.flash, "ram_start": machine.ram, "ram_end": machine.ram_end}
    machine.toolchain.compile(
        root,
        *(["-w"] if table.foreign else ["-Wall", "-Wextra", "-Werror"]),
        *("-ffunction-sections", "-nostdlib", "-Wl,--gc-sections", "-fno-tree-loop-distribute-patterns"),
        *(f"-I{bench}", *(f"-I{theirs / folder}" for folder in table.include), *table.flags),
        *("-T", bench / "board.ld"),
        *(f"-Wl,--defsym,{name}={address}" for name, address in addresses.items()),
        *(bench / source for source in sources),
        *(theirs / source for source in table.sources),
        *("-lgcc", "-o", image),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Counts the C core's instructions on bare boards, in QEMU.")
    parser.add_argument("tables", nargs="*", default=[*TABLES], metavar="table", help=", ".join(TABLES))
    names = parser.parse_args().tables
    if unknown := sorted({*names} - {*TABLES}):
        parser.error(f"no table {', '.join(unknown)}; there are {', '.join(TABLES)}")
    root = find_root()
    try:
        results = {
            machine.toolchain.chip: {
                name: measure(root, machine, TABLES[name])
                for name in names
                if machine.toolchain is CORTEX_M0 or not TABLES[name].foreign
            }
            for machine in MACHINES
        }
    except (OSError, BoardError) as error:
        print(f"sesstab: {error}", file=sys.stderr)
        return 1
    print(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
