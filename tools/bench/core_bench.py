"""The C core beside OpenSSL's session cache, in one process: ns per operation, and ratios.

    .venv/bin/python tools/bench/core_bench.py [--rounds 40] [--json results.json] [size ...]

A hit is ours with all that a server needs (reference taken and given back, order of use renewed, expiry
checked, counted), and OpenSSL's lookup alone (SSL_has_matching_session_id). An insertion makes a session,
puts it into a full table, which evicts one, and gives the reference back. The first number is the minimum
of the rounds, the second their median: the minimum compares, the median tells how quiet the machine was.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [ROOT / "tools" / "bench" / "core_bench.c", ROOT / "firmware" / "core" / "sesstab.c"]
PROGRAM = ROOT / "build" / "bench" / "core_bench"
FLAGS = ["-std=gnu99", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'firmware' / 'core'}"]

Result = dict[str, float | int | str]


def build() -> Path:
    """Compiles the benchmark with the host's compiler."""
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", *FLAGS, *map(str, SOURCES), "-o", str(PROGRAM), "-ldl"], check=True)
    return PROGRAM


def measure(rounds: int, sizes: Sequence[int]) -> list[Result]:
    """One result per size and operation, OpenSSL's times beside ours."""
    run = subprocess.run([str(build()), str(rounds), *map(str, sizes)], capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(run.stderr.strip())
    results: dict[tuple[int, str], Result] = {}
    for line in run.stdout.splitlines():
        size, who, operation, least, median = line.split("\t")
        result = results.setdefault((int(size), operation), {"size": int(size), "operation": operation})
        result[who] = float(least)
        result[f"{who}_median"] = float(median)
    for result in results.values():
        result["ratio"] = round(float(result["sesstab"]) / float(result["openssl"]), 2)
    return list(results.values())


def table(results: list[Result]) -> str:
    """The results as a Markdown table."""
    lines = ["| slots | operation | sesstab, ns | OpenSSL, ns | ratio |", "|--:|---|--:|--:|--:|"]
    for r in results:
        ours, theirs = (f"{r[who]:.0f} / {r[who + '_median']:.0f}" for who in ("sesstab", "openssl"))
        lines.append(f"| {r['size']} | {r['operation']} | {ours} | {theirs} | {r['ratio']:.2f} |")
    return "\n".join(lines)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Times the C core and OpenSSL's session cache.")
    parser.add_argument("sizes", nargs="*", type=int, metavar="size", help="slots, 2 to 65535")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", type=Path, help="write the results there, too")
    arguments = parser.parse_args()
    try:
        results = measure(arguments.rounds, arguments.sizes)
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"core_bench: {error}", file=sys.stderr)
        return 1
    print(table(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
