"""Measured figures as Markdown, and their place in a page: what they replace is between two marks there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .errors import BoardError


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; all columns but the first are numbers."""
    rule = ["---" if column == 0 else "--:" for column in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def number(value: float) -> str:
    """As many digits as mean something; k for thousands."""
    if value >= 99950:
        return f"{value / 1000:.0f}k"
    if value >= 9999.5:
        return f"{value / 1000:.1f}k"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.995 else f"{value:.2f}"


def write(page: Path, report: str, name: str = "") -> None:
    """Puts a report between the marks of that name: `<!-- make bench: NAME begin -->`, and so with `end`."""
    begin, end = (f"<!-- make bench: {f'{name} {which}'.strip()} -->" for which in ("begin", "end"))
    text = page.read_text()
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise BoardError(f"{page}: there must be one {begin}, and one {end} after it")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    page.write_text(f"{before}{begin}\n\n{report}\n\n{end}{after}")
