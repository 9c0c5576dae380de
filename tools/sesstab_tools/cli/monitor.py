"""sesstab monitor"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
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
_BAR_WIDTH = 36
_COLUMN_WIDTH = 9
_MOST_CONTEXTS = 6
_OTHER_LINES = 14  # on the screen, beside the rows of contexts and sessions
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
        typer.Option("--table", help="Expression for the table. Default: the only one in `__main__`."),
    ] = None,
    interval: Annotated[
        float, typer.Option("--interval", min=0.05, max=86400, help="Seconds between looks.")
    ] = 1.0,
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
    Enter comes in: `asyncio.create_task(table_status.answer(table))`; docs/harness.md says how.
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
    contexts = _contexts(now.sessions)
    contexts_shown = min(len(contexts), _MOST_CONTEXTS)
    rows = max(1, height - _OTHER_LINES - contexts_shown)
    return Group(
        Text(title, style="bold", no_wrap=True),
        _occupancy(now),
        "",
        _counters(now, before, first),
        "",
        _table(("context", "sessions", "youngest", "oldest", "next expiry"), contexts, contexts_shown),
        "",
        _table(("last used", "age", "timeout", "expires in", "context"), _order(now.sessions), rows),
    )


def _occupancy(now: Sample) -> Table:
    looked = now.hits + now.misses + now.timeouts
    rate = f", hit rate {100 * now.hits / looked:.0f} %" if looked else ""
    bar = ProgressBar(total=now.capacity, completed=min(now.number, now.capacity), width=_BAR_WIDTH)
    grid = Table.grid(padding=(0, 2))
    grid.add_row(bar, f"{now.number} of {now.capacity} sessions{rate}")
    return grid


def _counters(now: Sample, before: Sample, first: Sample) -> Table:
    names = ("hits", "misses", "timeouts", "evictions", "stored", "cb_hits")
    seconds = now.time - before.time

    def since(then: Sample, name: str) -> int:
        return int(getattr(now, name) - getattr(then, name)) % _WRAP

    rates = [f"{since(before, name) / seconds:.1f}" if seconds > 0 else "" for name in names]
    rows = [
        ("total", *(str(getattr(now, name)) for name in names)),
        ("per second", *rates),
        ("seen here", *(str(since(first, name)) for name in names)),
    ]
    return _table(("", *names), rows, len(rows))


def _contexts(sessions: tuple[Session, ...]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for context in sorted({session.context for session in sessions}):
        own = [session for session in sessions if session.context == context]
        ages = [session.age for session in own]
        left = min(session.timeout - session.age for session in own)
        rows.append((str(context), str(len(own)), _span(min(ages)), _span(max(ages)), _left(left)))
    return rows


def _order(sessions: tuple[Session, ...]) -> list[tuple[str, ...]]:
    """Most recently used first."""
    return [
        (
            str(place),
            _span(session.age),
            _span(session.timeout),
            _left(session.timeout - session.age),
            str(session.context),
        )
        for place, session in enumerate(sessions, 1)
    ]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], most: int) -> Table:
    """The table, cut after `most` rows; with how many are left out."""
    table = Table(box=None, pad_edge=False)
    for name in head:
        table.add_column(name, justify="right", no_wrap=True, min_width=_COLUMN_WIDTH)
    for row in rows[:most]:
        table.add_row(*row)
    if rows[most:]:
        table.caption = f"and {len(rows) - most} more"
        table.caption_justify = "left"
    return table


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
