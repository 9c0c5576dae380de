"""sesstab monitor"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..monitor import Look, Sample, Session, watch
from .app import app, examples
from .options import Port, Root, open_board

_COUNTERS = ("number", "capacity", "stored", "hits", "misses", "timeouts", "evictions", "cb_hits")
_BAR_WIDTH = 40
_WRAP = 1 << 30  # of the counters


@app.command(
    epilog=examples(
        "sesstab monitor",
        "sesstab monitor --table server.table --interval 5",
        "sesstab monitor --csv --count 60 > table.csv",
    )
)
def monitor(
    port: Port = None,
    table: Annotated[
        str | None,
        typer.Option("--table", help="Expression for the table. Default: the only one in __main__."),
    ] = None,
    interval: Annotated[float, typer.Option("--interval", min=0.05, help="Seconds between looks.")] = 1.0,
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="How many looks. Default: until Ctrl-C.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="A line a look, after a header.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="An object a line a look, sessions too.")] = False,
    root: Root = None,
) -> None:
    """Shows the session table of a running board: how full, hits, misses, ages. No session's id or secret.

    Never interrupts a program. At the prompt (the program works in a thread, on timers, or has ended) it runs
    a line of code at each look. A program without a prompt, such as an asyncio server, has to answer when
    Enter comes in: asyncio.create_task(table_status.answer(table)), with table_status.py of docs/harness.md.
    """
    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json: one at a time")
    with open_board(port, root) as board, watch(board, table) as (name, look):
        samples = _samples(look, interval, count)
        try:
            if as_csv:
                _write_csv(samples)
            elif as_json:
                _write_json(samples)
            else:
                _show(samples, f"{board.port}, {name}")
        except KeyboardInterrupt:
            return


def _samples(look: Look, interval: float, count: int | None) -> Iterator[Sample]:
    """One now, and one at the end of each interval."""
    start = time.monotonic()
    for number in itertools.count() if count is None else range(count):
        time.sleep(max(0.0, start + number * interval - time.monotonic()))
        yield look()


def _write_csv(samples: Iterator[Sample]) -> None:
    lines = csv.writer(sys.stdout, lineterminator="\n")
    lines.writerow(["time", *_COUNTERS, "oldest"])
    for sample in samples:
        counters = [getattr(sample, name) for name in _COUNTERS]
        oldest = max((session.age for session in sample.sessions), default=0)
        lines.writerow([f"{sample.time:.3f}", *counters, oldest])
        sys.stdout.flush()


def _write_json(samples: Iterator[Sample]) -> None:
    for sample in samples:
        values = dataclasses.asdict(sample) | {"sessions": [session._asdict() for session in sample.sessions]}
        print(json.dumps(values), flush=True)


# The screen


def _show(samples: Iterator[Sample], title: str) -> None:
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False) as live:
        first = before = None
        for sample in samples:
            first = first or sample
            live.update(_screen(sample, before or sample, first, title, console.height), refresh=True)
            before = sample


def _screen(now: Sample, before: Sample, first: Sample, title: str, height: int) -> RenderableType:
    used = Table.grid(padding=(0, 2))
    used.add_row(
        ProgressBar(total=now.capacity, completed=min(now.number, now.capacity), width=_BAR_WIDTH),
        f"{now.number} of {now.capacity} sessions",
    )
    above = Table.grid(padding=(0, 4))
    above.add_row(_counters(now, before, first), _contexts(now.sessions))
    rows = max(1, height - 16 - max(0, len({session.context for session in now.sessions}) - 6))
    return Group(
        Text(title, style="bold"),
        used,
        "",
        above,
        "",
        *_sessions(now.sessions, rows),
    )


def _counters(now: Sample, before: Sample, first: Sample) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("", "total", "per second", "since the start"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for name in ("hits", "misses", "timeouts", "evictions", "stored", "cb_hits"):
        total = getattr(now, name)
        since = (total - getattr(first, name)) % _WRAP
        seconds = now.time - before.time
        rate = (total - getattr(before, name)) % _WRAP / seconds if seconds > 0 else 0.0
        table.add_row(name, str(total), f"{rate:.1f}", f"+{since}")
    looked = now.hits + now.misses + now.timeouts
    table.add_row("hit rate", f"{100 * now.hits / looked:.0f} %" if looked else "-", "", "")
    return table


def _contexts(sessions: tuple[Session, ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("context", "sessions", "youngest", "oldest", "next expiry"):
        table.add_column(name, justify="right", no_wrap=True)
    for context in sorted({session.context for session in sessions}):
        own = [session for session in sessions if session.context == context]
        ages = [session.age for session in own]
        left = min(session.timeout - session.age for session in own)
        table.add_row(str(context), str(len(own)), _span(min(ages)), _span(max(ages)), _left(left))
    return table


def _sessions(sessions: tuple[Session, ...], rows: int) -> list[RenderableType]:
    """The list, cut to what the screen holds."""
    if not sessions:
        return [Text("no session in the table", style="dim")]
    table = Table(box=None, pad_edge=False)
    for name in ("last used", "age", "timeout", "expires in", "context"):
        table.add_column(name, justify="right", no_wrap=True)
    for place, session in enumerate(sessions[:rows], 1):
        left = session.timeout - session.age
        style = "dim" if left < 0 or session.age < 0 else ""
        times = (_span(session.age), _span(session.timeout), _left(left))
        table.add_row(str(place), *times, str(session.context), style=style)
    hidden = len(sessions) - rows
    return [table, Text(f"and {hidden} more, used longer ago", style="dim")] if hidden > 0 else [table]


def _left(seconds: int) -> str:
    return "expired" if seconds < 0 else _span(seconds)


def _span(seconds: int) -> str:
    if seconds < 0:
        return "in the future"
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02} min"
    if seconds < 2 * 86400:
        return f"{seconds // 3600}:{seconds // 60 % 60:02} h"
    return f"{seconds // 86400} d"
