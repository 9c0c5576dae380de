"""Watches the session table of a running board, without stopping what runs there.

    with watch(board, table=None) as look:
        print(look().hits)

A serial line has one reader on the board. While that is the prompt, as with a program that works in a thread
or on timers or has ended, each look is a line of code run there. While it is a program, that has to answer by
itself whenever Enter comes in (on_board/table_status.py). Enter and Ctrl-A also show which it is: the answer
is the raw prompt, or a line about the table. If none comes, this gives up: Ctrl-C would get to the prompt,
but end the program.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .errors import BoardError, DeviceException, NoAnswer, ProtocolError
from .line import Deadline
from .repl import CTRL_A, RAW_PROMPT, Board

_PROBE_TIME = 2.0
_ANSWER_TIME = 5.0
_TRIES = 3  # a program's own output may come in between
_STATUS = re.compile(rb'\{"number": [^{}]*\}')
_SOURCE = Path(__file__).with_name("on_board") / "table_status.py"
_NAME = "_sesstab_table_status"
_TABLES = (
    "[name for name in globals() if hasattr(globals()[name], 'next_session') and name != 'SessionTable']"
)


class Session(NamedTuple):
    """Seconds, and OpenSSL's session id context."""

    age: int
    timeout: int
    context: int


@dataclass(frozen=True)
class Sample:
    """What was seen at a time."""

    time: float
    """The host's, since 1970."""
    number: int
    """Sessions in the table."""
    capacity: int
    stored: int
    """Handshakes in full."""
    hits: int
    misses: int
    timeouts: int
    evictions: int
    cb_hits: int
    sessions: tuple[Session, ...]
    """Most recently used first."""


Look = Callable[[], Sample]


@contextlib.contextmanager
def watch(board: Board, table: str | None = None) -> Iterator[tuple[str, Look]]:
    """Gives what is watched, in words, and a function that looks at it.

    `table` is an expression on the board; None: the only SessionTable among the names of __main__.
    """
    if not _is_at_prompt(board):
        if table is not None:
            raise BoardError(
                f"port {board.port}: the program there answers with a table of its choice: leave out --table"
            )
        yield "the program answers", lambda: _look(board, lambda: _ask_program(board))
        return
    expression = table or _only_table(board)
    source = _SOURCE.read_text(encoding="utf-8")
    board.exec(f"{_NAME} = {{}}\nexec({source!r}, {_NAME})")
    try:
        yield expression, lambda: _look(board, lambda: _ask_prompt(board, expression))
    finally:
        with contextlib.suppress(BoardError):
            board.exec(f"del {_NAME}")


def _is_at_prompt(board: Board) -> bool:
    """True at the prompt, False when a program answers Enter with a table's status.

    Ctrl-A after it gives the raw prompt, whose text a program does not print by chance.
    """
    deadline = Deadline(_PROBE_TIME)
    board.line.send(b"\r" + CTRL_A, deadline)
    heard = b""
    while not deadline.passed:
        heard += board.line.receive(deadline.remaining)
        if _STATUS.search(heard):
            return False
        if RAW_PROMPT in heard:
            return True
    raise NoAnswer(
        f"port {board.port}: no prompt and no answer in {_PROBE_TIME:g} s; a program that runs there, which "
        "was not interrupted, has to answer: table_status.answer, docs/harness.md"
    )


def _only_table(board: Board) -> str:
    names = board.eval(_TABLES)
    if not isinstance(names, list) or not names:
        raise BoardError(
            f"port {board.port}: no SessionTable among the names of __main__; name one: --table EXPRESSION"
        )
    if len(names) > 1:
        raise BoardError(
            f"port {board.port}: several tables ({', '.join(sorted(names))}); choose one with --table"
        )
    return str(names[0])


def _ask_prompt(board: Board, expression: str) -> bytes:
    try:
        return board.exec(f"{_NAME}['show']({expression})", _ANSWER_TIME)
    except DeviceException as error:
        raise BoardError(
            f"port {board.port}: {expression} is no table to look at: {error.last_line}"
        ) from error


def _ask_program(board: Board) -> bytes:
    deadline = Deadline(_ANSWER_TIME)
    board.line.send(b"\r", deadline)
    heard = b""
    while not _STATUS.search(heard) and not deadline.passed:
        heard += board.line.receive(deadline.remaining)
    return heard


def _look(board: Board, ask: Callable[[], bytes]) -> Sample:
    for _ in range(_TRIES):
        found = _STATUS.search(ask())
        if found:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                values = json.loads(found[0])
                sessions = tuple(Session(*session) for session in values.pop("sessions"))
                if all(isinstance(n, int) for n in itertools.chain(values.values(), *sessions)):
                    return Sample(time=time.time(), sessions=sessions, **values)
    raise ProtocolError(f"port {board.port}: no status of a table, {_TRIES} times; does its program run?")
