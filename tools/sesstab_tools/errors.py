"""What can go wrong with a board, as types. Every message names the port, the fact, and what to do."""

from __future__ import annotations


class BoardError(Exception):
    """Base of all errors of the harness. `output` is what the board's program printed before."""

    output: bytes = b""


class PortError(BoardError):
    """The port cannot be opened or there is none to choose."""


class NoSuchPort(PortError):
    """There is no such device."""


class NoAnswer(BoardError):
    """The deadline passed."""


class ProtocolError(BoardError):
    """The board answered, but not as a MicroPython REPL does."""


class Disconnected(BoardError):
    """The connection ended: unplugged, a reset of a USB board, the other end closed."""


class BoardReset(BoardError):
    """The board reset itself while a program ran: a crash, a watchdog, machine.reset(), SystemExit."""


class DeployError(BoardError):
    """What arrived on the board is not what was sent, or there is nothing to send."""


class ImageError(BoardError):
    """The firmware image is damaged, or not for the board. Nothing was written."""


class FlashError(BoardError):
    """The firmware was not written, or not all of it; the message says how the board can be flashed again."""


class BadCode(BoardError, ValueError):
    """Code that the REPL's protocol cannot carry."""


class DeviceException(BoardError):
    """The program on the board raised. `traceback` is the board's own text."""

    def __init__(self, port: str, traceback: str, output: bytes = b"") -> None:
        self.port = port
        self.traceback = traceback
        self.output = output
        super().__init__(f"port {port}: {self.last_line}")

    @property
    def last_line(self) -> str:
        """The exception itself: "ValueError: capacity"."""
        lines = self.traceback.strip().splitlines()
        return lines[-1].rstrip(": ") if lines else "an exception without text"

    @property
    def type_name(self) -> str:
        return self.last_line.partition(":")[0]
