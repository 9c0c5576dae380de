"""The interactive REPL: this terminal becomes the board's."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
from collections.abc import Iterator

from .line import Deadline, Line, PolledLine

LEAVE_KEYS = b"\x1d\x18"  # Ctrl-] and Ctrl-X
_WRITE_TIME = 10.0
_POLL_INTERVAL = 0.02  # for lines that cannot be polled
_LAST_WORDS = 0.3  # seconds of silence that end the output, after the end of a piped input
_PIECE = 32  # bytes of a paste on the way at once: a board without flow control may lose more
_TYPED = 8  # bytes that a key or some give at once; their echo is not waited for
_ECHO_TIME = 0.05  # seconds of silence after which no echo is waited for: some programs give none


def interact(line: Line) -> None:
    """Carries bytes between this process's terminal and the board until a leave key or the end of input."""
    keyboard, screen = sys.stdin.fileno(), sys.stdout.fileno()
    with _raw_terminal(keyboard):
        while True:
            _show_until_key(line, keyboard, screen)
            keys = os.read(keyboard, 1024)
            if not keys:
                _show_last_words(line, screen)
                return
            end = min((keys.index(key) for key in LEAVE_KEYS if key in keys), default=len(keys))
            _send(line, keys[:end], screen)
            if end < len(keys):
                return


def _show_until_key(line: Line, keyboard: int, screen: int) -> None:
    """Shows what the board says until a key is pressed."""
    poll = select.poll()
    poll.register(keyboard, select.POLLIN)
    if isinstance(line, PolledLine):
        poll.register(line.fileno(), select.POLLIN)
    while True:
        ready = dict(poll.poll(None if isinstance(line, PolledLine) else _POLL_INTERVAL * 1000))
        _show(line.receive(0), screen)
        if keyboard in ready:
            return


def _send(line: Line, keys: bytes, screen: int) -> None:
    """What is typed goes at once; a paste in pieces, each when the board has echoed the one before."""
    for start in range(0, len(keys), _PIECE):
        piece = keys[start : start + _PIECE]
        line.send(piece, Deadline(_WRITE_TIME))
        while len(piece) > _TYPED and (echo := line.receive(_ECHO_TIME)):
            _show(echo, screen)
            piece = _not_echoed(piece, echo)


def _not_echoed(piece: bytes, echo: bytes) -> bytes:
    """What is left of `piece` after what `echo` has of it, in order; a board adds prompts and indents."""
    place = 0
    for byte in echo:
        if place < len(piece) and piece[place] == byte:
            place += 1
    return piece[place:]


def _show_last_words(line: Line, screen: int) -> None:
    while data := line.receive(_LAST_WORDS):
        _show(data, screen)


def _show(data: bytes, screen: int) -> None:
    while data:
        data = data[os.write(screen, data) :]


@contextlib.contextmanager
def _raw_terminal(keyboard: int) -> Iterator[None]:
    """Every key goes to the board, Ctrl-C too. Output is still processed: boards may send bare line feeds."""
    if not os.isatty(keyboard):
        yield
        return
    before = termios.tcgetattr(keyboard)
    raw = termios.tcgetattr(keyboard)
    raw[0] &= ~(termios.IXON | termios.ICRNL | termios.INLCR | termios.IGNCR | termios.ISTRIP)
    raw[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
    try:
        termios.tcsetattr(keyboard, termios.TCSANOW, raw)
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSANOW, before)
