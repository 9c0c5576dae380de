"""`make bench-check`: no operation of the C core takes more instructions than it did.

    python -m sesstab_tools.host_bench_check [--baseline]

Compares with tools/bench/baseline.json, which --baseline rewrites. The same compiler makes the same code, so
5 % more is a change of ours. Another compiler's counts cannot be compared; then their ratio to those of the
floor is, which is compiled beside it, and is allowed 25 %.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

from .deploy import find_root
from .errors import BoardError
from .host_bench import COUNT_SIZES, FLOOR, OURS, BenchError, build, compiler, measure_counts

BY_COUNT, BY_RATIO = 1.05, 1.25

# The floor does not stand ids that are alike, and has no timeouts: nothing to compare with there.
RATIOS = ("insert when full", "hit", "miss")


def measure_now(root: Path) -> dict[str, Any]:
    """Our instructions per operation and the floor's, in the form of the baseline."""
    with tempfile.TemporaryDirectory() as folder:
        program, _ = build(root, Path(folder), peers=False)
        counts = measure_counts(program, COUNT_SIZES)
    tree: dict[str, Any] = {}
    for (size, workload, table), count in counts.items():
        if table == OURS or (table == FLOOR and workload in RATIOS):
            tree.setdefault(str(size), {}).setdefault(workload, {})[table] = count
    return {"compiler": compiler(), "machine": platform.machine(), "instructions": tree}


def compare(baseline: dict[str, Any], now: dict[str, Any]) -> tuple[str, list[str]]:
    """How they were compared, and a line for each operation that got worse."""
    same = all(baseline[key] == now[key] for key in ("compiler", "machine"))
    worse = []
    for size, workloads in baseline["instructions"].items():
        for workload, before in workloads.items():
            after = now["instructions"].get(size, {}).get(workload)
            what = f"{workload}, {size} sessions"
            if after is None:
                worse.append(f"{what}: not measured")
            elif same:
                worse += grown(f"{what}: instructions", before[OURS], after[OURS], BY_COUNT)
            elif FLOOR in before:
                ratios = (before[OURS] / before[FLOOR], after[OURS] / after[FLOOR])
                worse += grown(f"{what}: times the floor", *ratios, BY_RATIO)
    if same:
        return "instructions per operation, at most 5 % more than the baseline's", worse
    return (
        f"instructions were not compared: the baseline is for {baseline['compiler']} on "
        f"{baseline['machine']}, here is {now['compiler']} on {now['machine']}; "
        "only their ratio to the floor's, at most 25 % more"
    ), worse


def grown(what: str, before: float, after: float, limit: float) -> list[str]:
    if after <= before * limit:
        return []
    return [f"{what} {after:.4g}, were {before:.4g}: {100 * after / before - 100:+.1f} %"]


def main() -> int:
    parser = argparse.ArgumentParser(description="Compares the C core's instructions with the baseline.")
    parser.add_argument("--baseline", action="store_true", help="make what is measured the baseline")
    arguments = parser.parse_args()
    root = find_root()
    kept = root / "tools" / "bench" / "baseline.json"
    try:
        now = measure_now(root)
        if arguments.baseline:
            kept.write_text(json.dumps(now, indent=1) + "\n")
            print(f"bench-check: wrote {kept.relative_to(root)}")
            return 0
        if not kept.exists():
            raise BenchError(f"no {kept.relative_to(root)}: --baseline makes it")
        how, worse = compare(json.loads(kept.read_text()), now)
    except (OSError, BoardError) as error:
        print(f"bench-check: {error}", file=sys.stderr)
        return 1
    for line in (how, *worse, "worse" if worse else "good"):
        print(f"bench-check: {line}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
