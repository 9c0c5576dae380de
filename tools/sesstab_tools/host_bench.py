"""The C core's table beside every peer's on this computer: time, instructions, memory.

    python -m sesstab_tools.host_bench [--rounds 40] [--write] [size ...]

measures all, into dist/bench/: host.json, host.md and the plots; with --write into docs/performance.md too.
tools/bench/host_bench.c says how it is measured; tools/setup/peers.sh gets the peers. A table is compiled
with -O2 and linked with its library into one object, of which only the table is visible, so that two versions
of a library do not meet.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import page
from .deploy import find_root
from .errors import BoardError
from .toolchains import run

SIZES = (16, 64, 256, 1024, 16384, 65534)  # of 65535 slots, one is for the session that comes next
COUNT_SIZES = (64, 1024)  # for instructions and memory
ROUNDS = 40
OURS, FLOOR = "sesstab", "floor"

# The C library has variants of its functions for this or that processor: the plainest is used while counting.
PLAIN_LIBC = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-ERMS,-BMI2"}

WOLFSSL_PLACES = {"medium": 1055, "big": 20027, "huge": 65791}

Key = tuple[int, str, str]  # size, workload, table


class BenchError(BoardError):
    """Something that the benchmark needs is missing, or a table went wrong."""


# ---- Building ----


@dataclass(frozen=True)
class Table:
    """tools/bench/table_SOURCE.c, and what it is compiled with; `library` is a folder that must be there."""

    name: str
    source: str
    flags: Sequence[str] = ()
    inputs: Sequence[Path] = ()
    library: Path | None = None


def tables(root: Path) -> list[Table]:
    core = root / "firmware" / "core"
    found = [
        Table("sesstab", "sesstab", [f"-I{core}"], [core / "sesstab.c"]),
        Table("floor", "floor"),
        Table("linear", "linear"),
        Table("nothing", "nothing"),
    ]
    for name, source, version, archives in (
        ("bearssl", "bearssl", "bearssl", ["libbearssl.a"]),
        ("mbedtls2", "mbedtls", "mbedtls-2.28", ["libmbedtls.a", "libmbedx509.a", "libmbedcrypto.a"]),
        ("mbedtls3", "mbedtls", "mbedtls-3.6", ["libmbedtls.a"]),
        ("openssl", "openssl", "openssl", ["libssl.a", "libcrypto.a"]),
    ):
        at = root / "build" / "peers" / version
        include = ["-isystem", str(at / "include")]
        found.append(Table(name, source, include, [at / "lib" / archive for archive in archives], at))
    at = root / "build" / "peers" / "wolfssl"
    settings = root / "tools" / "bench" / "wolfssl"
    include = ["-DWOLFSSL_USER_SETTINGS", f"-I{settings}", "-isystem", str(at / "include")]
    for size, places in WOLFSSL_PLACES.items():
        name, cache = f"wolfssl_{size}", f"{size.upper()}_SESSION_CACHE"
        flags = [*include, f"-D{cache}", f"-DWOLFSSL_SESSIONS={places}", f"-DTABLE=table_{name}"]
        inputs = [at / size.upper() / "ssl.o", at / "lib" / "libwolfssl.a"]
        found.append(Table(name, "wolfssl", flags, inputs, at))
    return found


def missing(root: Path) -> list[str]:
    """The libraries that are not there."""
    wanted = {table.library for table in tables(root) if table.library}
    return sorted(library.name for library in wanted if not library.exists())


def build(root: Path, folder: Path, peers: bool = True) -> tuple[Path, Path]:
    """Compiles the benchmark into `folder`: the program, and the one that counts allocations. A peer whose
    library is missing is left out."""
    bench = root / "tools" / "bench"
    compile_ = ["gcc", "-std=gnu99", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{bench}", "-no-pie"]
    folder.mkdir(parents=True, exist_ok=True)
    objects = []
    for table in tables(root):
        if table.library and not (peers and table.library.exists()):
            continue
        target = str(folder / f"{table.name}.o")
        sources = [str(bench / f"table_{table.source}.c"), *map(str, table.inputs)]
        run([*compile_, *table.flags, *sources, "-r", "-nostdlib", "-o", target])
        run(["objcopy", f"--keep-global-symbol=table_{table.name}", target])
        objects.append(target)
    program, counting = folder / "host_bench", folder / "host_bench_memory"
    rest = [*objects, "-ldl", "-lpthread", "-lm", "-o"]
    run([*compile_, str(bench / "host_bench.c"), *rest, str(program)])
    wrap = "-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free"
    run([*compile_, str(bench / "host_bench.c"), str(bench / "allocations.c"), wrap, *rest, str(counting)])
    return program, counting


# ---- Measuring ----


def measure_times(program: Path, sizes: Iterable[int], rounds: int) -> dict[Key, list[float]]:
    """Nanoseconds per operation, of each round."""
    samples = {}
    for line in run([str(program), "times", str(rounds), *map(str, sizes)]).splitlines():
        size, workload, table, values = line.split("\t")
        samples[int(size), workload, table] = [float(value) for value in values.split()]
    return samples


def measure_counts(program: Path, sizes: Iterable[int]) -> dict[Key, float]:
    """Instructions per operation, under callgrind; what the loop around them takes is off."""
    if not shutil.which("valgrind"):
        raise BenchError("no valgrind, which counts instructions: tools/setup/peers.sh gets it")
    counts = {}
    with tempfile.TemporaryDirectory() as folder:
        callgrind = ["--tool=callgrind", "--collect-atstart=no", f"--callgrind-out-file={folder}/out"]
        run(["valgrind", *callgrind, str(program), "counts", *map(str, sizes)], environment=PLAIN_LIBC)
        for dump in Path(folder).glob("out.*"):
            text = dump.read_text()
            trigger = re.search(r"Client Request: (\d+)\t(.*)\t(.*)\t(\d+)$", text, re.M)
            total = re.search(r"^totals: (\d+)", text, re.M)
            if trigger and total:
                size, workload, table, operations = trigger.groups()
                counts[int(size), workload, table] = int(total[1]) / int(operations)
    if not counts:
        raise BenchError("built without valgrind/callgrind.h: tools/setup/peers.sh gets it")
    return {
        (size, workload, table): round(count - counts[size, workload, "nothing"], 1)
        for (size, workload, table), count in sorted(counts.items())
        if table != "nothing"
    }


def measure_memory(program: Path, sizes: Iterable[int]) -> list[dict[str, Any]]:
    """Bytes a session when the table is full, and calls of malloc and the like per operation."""
    places = {1024: WOLFSSL_PLACES["medium"]}
    results = []
    for line in run([str(program), "memory", *map(str, sizes)]).splitlines():
        size, table, taken, insert, miss, hit = line.split("\t")
        sessions = places.get(int(size), int(size)) if table == "wolfSSL" else int(size)
        calls = {"insert when full": float(insert), "hit": float(hit), "miss": float(miss)}
        per_session = round(float(taken) / sessions, 1)
        results.append({"size": int(size), "table": table, "bytes": per_session, "allocations": calls})
    return results


# ---- Results ----


def quartiles(values: Sequence[float]) -> dict[str, float]:
    first, median, third = statistics.quantiles(values, n=4, method="inclusive")
    return {"q1": round(first, 2), "median": round(median, 2), "q3": round(third, 2)}


def summary(samples: dict[Key, list[float]]) -> list[dict[str, Any]]:
    """The minimum and the quartiles of the rounds, and of the ratios to our time in the same round."""
    results = []
    for (size, workload, table), values in samples.items():
        ours = samples[size, workload, OURS]
        ratios = [theirs / mine for theirs, mine in zip(values, ours, strict=False)]
        result: dict[str, Any] = {"size": size, "workload": workload, "table": table, "rounds": len(values)}
        result["ns"] = {"min": min(values), **quartiles(values)}
        result["ratio"] = {"of_min": round(min(values) / min(ours), 2), **quartiles(ratios)}
        results.append(result)
    return results


def versions(root: Path) -> dict[str, str]:
    """Of the peers' libraries."""
    libraries = {table.library for table in tables(root) if table.library}
    return {library.name: (library / "version").read_text().strip() for library in sorted(libraries)}


def compiler() -> str:
    return run(["gcc", "--version"]).splitlines()[0]


def measure(root: Path, sizes: Sequence[int] = SIZES, rounds: int = ROUNDS) -> dict[str, Any]:
    """All there is; two minutes for all sizes."""
    if absent := missing(root):
        raise BenchError(f"not there: {', '.join(absent)}; tools/setup/peers.sh gets them")
    program, counting = build(root, root / "build" / "bench")
    counts = measure_counts(program, COUNT_SIZES)
    return {
        "compiler": compiler(),
        "machine": platform.machine(),
        "versions": versions(root),
        "times": summary(measure_times(program, sizes, rounds)),
        "instructions": [
            {"size": size, "workload": workload, "table": table, "count": count}
            for (size, workload, table), count in counts.items()
        ],
        "memory": measure_memory(counting, COUNT_SIZES),
    }


def report(root: Path, sizes: Sequence[int] = SIZES, rounds: int = ROUNDS, write: bool = False) -> str:
    """Measures, and puts host.json, host.md and the plots into dist/bench/; with `write` also into docs/.
    Returns the tables, in Markdown."""
    from .host_bench_page import markdown, plots
    from .host_bench_plots import plot

    target = root / "dist" / "bench"
    target.mkdir(parents=True, exist_ok=True)
    results = measure(root, sizes, rounds)
    (target / "host.json").write_text(json.dumps(results, indent=1) + "\n")
    (target / "host.md").write_text(markdown(results) + "\n")
    plot(results, target, ("svg", "png"))
    if write:
        drawn = plot(results, root / "docs", ("svg",))
        page.write(root / "docs" / "performance.md", f"{markdown(results)}\n\n{plots(drawn)}", "host")
    return markdown(results)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures the C core's table beside its peers'.")
    parser.add_argument("sizes", nargs="*", type=int, metavar="size", help="sessions, 2 to 65534")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="3 to 200")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/performance.md")
    arguments = parser.parse_args()
    try:
        print(report(find_root(), arguments.sizes or SIZES, arguments.rounds, arguments.write))
    except (OSError, BoardError) as error:
        print(f"sesstab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
