"""What host_bench measured, as plots: time against size, a panel for each workload, both axes logarithmic.

matplotlib draws them: tools/setup/plots.sh gets it (pip's extra `bench`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import BoardError
from .host_bench import FLOOR, OURS
from .host_bench_page import HOSTILE, TABLES, USUAL

# Okabe and Ito's colours, which colour-blind people can tell apart, and a marker for each beside.
LOOKS = {
    OURS: ("#000000", "o"),
    "OpenSSL": ("#D55E00", "s"),
    "wolfSSL": ("#0072B2", "^"),
    "BearSSL": ("#009E73", "D"),
    "Mbed TLS 2.28": ("#CC79A7", "v"),
    "Mbed TLS 3.6": ("#E69F00", "P"),
    "linear scan": ("#56B4E9", "X"),
    FLOOR: ("#999999", "."),
}
ALIKE = tuple(workload for workload in HOSTILE if workload.endswith("alike"))
TIMES = tuple(workload for workload in HOSTILE if workload not in ALIKE)
FIGURES = {"host-usual": USUAL, "host-alike": ALIKE, "host-time": TIMES}  # name: panels, four each


def plot(results: dict[str, Any], folder: Path, kinds: Sequence[str]) -> list[Path]:
    """Draws all figures into `folder`, each in all kinds of files."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise BoardError("no matplotlib for the plots: tools/setup/plots.sh gets it") from None
    # Text stays text, and the same figures make the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "sesstab", "font.size": 9})
    made = []
    for name, workloads in FIGURES.items():
        figure = draw(pyplot, results, workloads)
        for kind in kinds:
            target = folder / f"{name}.{kind}"
            figure.savefig(target, dpi=120, metadata={"Date": None} if kind == "svg" else None)
            if kind == "svg":
                target.write_text(smaller(target.read_text()))
            made.append(target)
        pyplot.close(figure)
    return made


def draw(pyplot: Any, results: dict[str, Any], workloads: Sequence[str]) -> Any:
    times = {(r["size"], r["workload"], r["table"]): r["ns"] for r in results["times"]}
    sizes = sorted({size for size, _, _ in times})
    figure, panels = pyplot.subplots(2, 2, figsize=(9, 6.7), sharex=True, sharey=True, layout="constrained")
    lines: dict[str, Any] = {}
    for panel, workload in zip(panels.flat, workloads, strict=True):
        for table in TABLES:
            there = [size for size in sizes if (size, workload, table) in times]
            if there:
                lines[table] = line(panel, table, there, [times[s, workload, table] for s in there])
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xticks(sizes, [str(size) for size in sizes])
        panel.yaxis.set_major_formatter(lambda value, _: duration(value))
        panel.minorticks_off()
        panel.grid(True, color="#dddddd", linewidth=0.6)
        panel.set_title(workload, loc="left")
    for panel in panels[:, 0]:
        panel.set_ylabel("time per operation")
    for panel in panels[-1]:
        panel.set_xlabel("sessions")
    order = [table for table in TABLES if table in lines]
    figure.legend([lines[t] for t in order], order, loc="outside upper center", ncols=len(order), fontsize=8)
    return figure


def duration(ns: float) -> str:
    for unit, name in ((1e6, "ms"), (1e3, "µs")):
        if ns >= unit:
            return f"{ns / unit:g} {name}"
    return f"{ns:g} ns"


def smaller(svg: str) -> str:
    """Half the size: no six digits after the point, no indentation."""
    svg = re.sub(r"(\.\d)\d+", r"\1", svg)
    return re.sub(r"\n\s*", "\n", svg)


def line(panel: Any, table: str, sizes: Sequence[int], times: Sequence[dict[str, float]]) -> Any:
    """The minimum of the rounds, and a bar up to their third quartile."""
    colour, marker = LOOKS[table]
    least = [ns["min"] for ns in times]
    above = [ns["q3"] - ns["min"] for ns in times]
    return panel.errorbar(
        sizes,
        least,
        yerr=[[0] * len(sizes), above],
        color=colour,
        marker=marker,
        markersize=4.5,
        linewidth=2 if table == OURS else 1.2,
        elinewidth=0.8,
        zorder=3 if table == OURS else 2,
    )
