"""The matrix of docs/interop.md: what is expected of every cell. test_interop.py runs them all.

.venv/bin/python host_tests/interop/matrix.py     # writes the tables into docs/interop.md
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]
from interop.board import BUILT_IN, ROOT, STOCK  # noqa: E402
from interop.clients import CLIENTS  # noqa: E402
from interop.servers import SERVERS  # noqa: E402
from interop.wire import BROKEN, ID, TICKET_12, TLS13  # noqa: E402

DOCUMENT = ROOT / "docs" / "interop.md"
BEGIN, END = "<!-- matrix: begin -->\n", "<!-- matrix: end -->\n"
WAYS = (ID, TICKET_12, TLS13)
KINDS = {"ec": "ECDSA P-256", "rsa": "RSA-2048"}


@dataclass(frozen=True)
class Difference:
    """A cell where something else happens than the column says: what, as the wire shows it."""

    what: str
    shown: str
    note: str


NO_TICKETS = Difference(ID, "by id", "stock firmware has no tickets: the client's session id resumes instead")
NO_TLS13 = Difference(BROKEN, "refused", "stock firmware has no TLS 1.3: who insists on it is refused")
CURL = Difference(ID, "by id", "curl asks for no ticket in TLS 1.2: its session id resumes instead")
CHROMIUM = Difference(TICKET_12, "by ticket", "Chromium always takes the ticket that it is given in TLS 1.2")


def difference(target: str, client: str, way: str) -> Difference | None:
    if target == STOCK and way != ID:
        return NO_TICKETS if way == TICKET_12 else NO_TLS13
    if client == "curl" and way == TICKET_12:
        return CURL
    if client == "Chromium" and way == ID and target == BUILT_IN:
        return CHROMIUM
    return None


def expected(target: str, client: str, way: str) -> str:
    other = difference(target, client, way)
    return other.what if other else way


def render() -> str:
    notes: list[str] = []
    text = "### Server on the board: firmware with sesstab in it\n\n" + _server_rows(BUILT_IN, notes)
    text += "\n### Server on the board: stock firmware and the native module\n\n" + _server_rows(STOCK, notes)
    text += "\n### Client on the board: firmware with sesstab in it\n\n" + _head("server")
    for name in SERVERS:
        text += _row(name, [None] * 3, notes)
    return text + "\n" + "".join(f"{i}. {note}.\n" for i, note in enumerate(notes, 1))


def _server_rows(target: str, notes: list[str]) -> str:
    rows = [_row(name, [difference(target, name, way) for way in WAYS], notes) for name in CLIENTS]
    return _head("client") + "".join(rows)


def _head(peer: str) -> str:
    columns = [f"TLS {way}, {kind}" for way in WAYS for kind in KINDS.values()]
    return f"| {peer} | {' | '.join(columns)} |\n|---|" + "---|" * len(columns) + "\n"


def _row(name: str, cells: list[Difference | None], notes: list[str]) -> str:
    shown = [_cell(cell, notes) for cell in cells for _ in KINDS]
    return f"| {name} | {' | '.join(shown)} |\n"


def _cell(cell: Difference | None, notes: list[str]) -> str:
    if cell is None:
        return "resumed"
    if cell.note not in notes:
        notes.append(cell.note)
    return f"{cell.shown} ({notes.index(cell.note) + 1})"


def written() -> str:
    """The tables as the document has them."""
    text = DOCUMENT.read_text()
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)]


def write() -> None:
    text = DOCUMENT.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    DOCUMENT.write_text(before + BEGIN + render() + END + after)


if __name__ == "__main__":
    write()
