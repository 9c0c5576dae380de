"""What host_bench measured, as Markdown. What a table cannot do is a dash, with a note that says why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from . import page
from .host_bench import FLOOR, OURS
from .page import number

TABLES = (OURS, "OpenSSL", "wolfSSL", "BearSSL", "Mbed TLS 2.28", "Mbed TLS 3.6", "linear scan", FLOOR)
USUAL = ("fill", "insert when full", "hit", "miss")
HOSTILE = (
    "insert, mixed timeouts",
    "insert, 4 bytes alike",
    "insert, 16 bytes alike",
    "hit, 4 bytes alike",
    "hit, 16 bytes alike",
    "insert, all expired",
    "slowest insert, all expired",
    "lookup, all expired",
)
HOSTILE_SIZES = (64, 1024, 16384)  # the plots have all

NO_TIMEOUT = "its sessions have no timeout of their own"
NO_EXPIRY = "its sessions do not expire"
NO_EXPIRED_LOOKUP = "its lookup does not look at the timeout, its server does so afterwards"
FIXED = "its size is compiled in: 1055 places for 1024 sessions, 20027 for 16384, 65791 for 65534"
SLOW = "it takes more than 3 seconds to be filled"

Row = Callable[[int, str, str], str]  # the cell for a size, a workload and a table


def why_not(size: int, workload: str, table: str) -> str:
    if table == "wolfSSL" and size < 1024:
        return FIXED
    if workload == "insert, mixed timeouts" and table not in (OURS, "OpenSSL", "wolfSSL"):
        return NO_TIMEOUT
    if workload.endswith("all expired") and table in (FLOOR, "linear scan", "BearSSL"):
        return NO_EXPIRY
    if workload == "lookup, all expired" and table in ("OpenSSL", "wolfSSL"):
        return NO_EXPIRED_LOOKUP
    return SLOW


def markdown(results: dict[str, Any]) -> str:
    """All tables, for docs/performance.md."""
    times = {(r["size"], r["workload"], r["table"]): r for r in results["times"]}
    counts = {(r["size"], r["workload"], r["table"]): r["count"] for r in results["instructions"]}
    sizes = sorted({size for size, _, _ in times})
    there = [table for table in TABLES if any(table == t for _, _, t in times)]
    peers = [table for table in there if table != OURS]
    notes: list[str] = []

    def dash(size: int, workload: str, table: str) -> str:
        reason = why_not(size, workload, table)
        if reason not in notes:
            notes.append(reason)
        return f"- ({letter(notes.index(reason))})"

    def time(size: int, workload: str, table: str) -> str:
        result = times.get((size, workload, table))
        return number(result["ns"]["min"]) if result else dash(size, workload, table)

    def ratio(size: int, workload: str, table: str) -> str:
        result = times.get((size, workload, table))
        return spread(result["ratio"]) if result else dash(size, workload, table)

    def time_and_spread(size: int, workload: str, table: str) -> str:
        result = times.get((size, workload, table))
        if result and table == OURS:
            return f"{number(result['ns']['min'])}; {spread(result['ns'])}"
        return time(size, workload, table)

    def count(size: int, workload: str, table: str) -> str:
        value = counts.get((size, workload, table))
        return dash(size, workload, table) if value is None else number(value)

    counted_sizes = sorted({size for size, _, _ in counts})
    counted = [w for w in USUAL + HOSTILE if any(w == workload for _, workload, _ in counts)]
    hostile_sizes = [size for size in HOSTILE_SIZES if size in sizes] or sizes
    rounds = max(r["rounds"] for r in results["times"])
    names = (f"{name.split('-')[0]} {version}" for name, version in results["versions"].items())
    parts = [
        f"The peers are {', '.join(names)}.",
        f"Nanoseconds per operation, the minimum of {rounds} rounds; of ours the median and quartiles, too:",
        grid(time_and_spread, USUAL, sizes, there),
        "How many times our time they take, round by round, the median and quartiles:",
        grid(ratio, USUAL[1:], sizes, peers),
        "Nanoseconds per operation when somebody means ill or the time is unkind, the minimum of the rounds:",
        grid(time, HOSTILE, hostile_sizes, there),
        f"Instructions per operation on {results['machine']}, {results['compiler']}, -O2:",
        grid(count, counted, counted_sizes, there),
        "Memory, and calls of malloc and the like per operation:",
        memory_grid(results["memory"], there, dash),
        "; ".join(f"({letter(i)}) {note}" for i, note in enumerate(notes)) + "." if notes else "",
    ]
    return "\n\n".join(part for part in parts if part)


def memory_grid(results: Sequence[dict[str, Any]], columns: Sequence[str], dash: Row) -> str:
    by_table = {(r["size"], r["table"]): r for r in results}
    sizes = sorted({r["size"] for r in results})
    calls = ("insert when full", "hit", "miss")
    rows = []
    for table in columns:
        cells = [
            number(by_table[size, table]["bytes"])
            if (size, table) in by_table
            else dash(size, "memory", table)
            for size in sizes
        ]
        allocations: dict[str, float] = next((r["allocations"] for r in results if r["table"] == table), {})
        rows.append([table, *cells, *(f"{allocations.get(call, 0):g}" for call in calls)])
    bytes_heads = [f"bytes a session, of {size}" for size in sizes]
    return page.markdown(["table", *bytes_heads, *(f"allocations, {call}" for call in calls)], rows)


def grid(cell: Row, workloads: Sequence[str], sizes: Iterable[int], columns: Sequence[str]) -> str:
    rows = [
        [workload, str(size), *(cell(size, workload, table) for table in columns)]
        for workload in workloads
        for size in sizes
    ]
    return page.markdown(["operation", "sessions", *columns], rows)


def plots(files: Iterable[Path]) -> str:
    """The figures, for a page beside them."""
    return "\n\n".join(f"![Time per operation against sessions]({file.name})" for file in files)


def spread(values: dict[str, float]) -> str:
    return f"{number(values['median'])} ({number(values['q1'])} to {number(values['q3'])})"


def letter(index: int) -> str:
    return "abcdefgh"[index]
