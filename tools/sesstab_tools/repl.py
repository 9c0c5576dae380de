"""Raw-REPL client: runs code on a MicroPython board and brings back what it printed or raised.

    with Board.open("/dev/ttyACM0") as board:
        print(board.exec("import os; print(os.uname())"))

The protocol (MicroPython's manual, "raw REPL"): Ctrl-A enters; code is pasted with flow control (raw paste:
Ctrl-E A Ctrl-A) or plainly, ended by Ctrl-D; the board sends the program's output, byte 4, the traceback,
byte 4, ">". So a program's output cannot contain byte 4, and code cannot contain bytes 3 and 4.

Every operation has one deadline for all it does. After any error other than DeviceException the board is in
an unknown state; the next operation then interrupts it and gets back to the prompt first.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable
from types import TracebackType

from .errors import BadCode, BoardError, BoardReset, DeviceException, Disconnected, NoAnswer, ProtocolError
from .line import Deadline, Line, open_line

CTRL_A, CTRL_B, CTRL_C, CTRL_D = b"\x01", b"\x02", b"\x03", b"\x04"
RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
FRIENDLY_PROMPT = b">>> "

_RETRY = 0.5  # seconds until Ctrl-C and Ctrl-A are sent again
_PATIENCE = 1.5  # seconds for Ctrl-C to work before the reset button is pressed
_QUIET = 0.3  # a board that prints its prompt and then nothing for so long has been reset
_PLAIN_BURST = 32  # without raw paste there is no flow control: more than this at once gets lost
_TAIL = 4096  # how much of the stream is kept when looking for a prompt
_RESTARTED = re.compile(rb"(soft reboot|MicroPython v?[^\r\n]*;[^\r\n]*)\r\n[\s\S]*(>>> |raw REPL[^>]*>)$")

OnOutput = Callable[[bytes], object]


class Board:
    """A board at its REPL. `press_reset`, if there is one, resets the hardware when nothing else helps."""

    def __init__(
        self,
        port: str,
        *,
        baudrate: int = 115200,
        timeout: float = 10.0,
        burst: int | None = None,
        press_reset: Callable[[], None] | None = None,
    ) -> None:
        self.port = port
        self.timeout = timeout
        self._baudrate = baudrate
        self._burst = burst
        self._press_reset = press_reset
        self.loaded: object = None
        """For whoever loads code onto the board to note what; a soft reset forgets it."""
        self._at_prompt = False
        self._raw_paste = True
        self._tokens = itertools.count(1)
        self.line: Line = self._open_line()

    @classmethod
    def open(
        cls,
        port: str,
        *,
        baudrate: int = 115200,
        timeout: float = 10.0,
        burst: int | None = None,
        press_reset: Callable[[], None] | None = None,
    ) -> Board:
        """Opens a pyserial URL. `timeout` is for operations that are given none; `burst` paces all writes."""
        return cls(port, baudrate=baudrate, timeout=timeout, burst=burst, press_reset=press_reset)

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the board at its friendly prompt, if it is at the raw one, and closes the port."""
        try:
            if self._at_prompt:
                self.leave(1.0)
        except BoardError:
            # It went away by itself: as good as closed.
            return
        finally:
            self.line.close()

    # Running code

    def exec(
        self, code: str | bytes, timeout: float | None = None, on_output: OnOutput | None = None
    ) -> bytes:
        """Runs `code` and gives its output, byte for byte. Raises DeviceException when it raised."""
        deadline = self._deadline(timeout)
        return self._start(code, deadline)._finish(deadline, on_output)

    def eval(self, expression: str, timeout: float | None = None) -> object:
        """The value of a Python expression whose repr is a literal (numbers, strings, bytes, tuples, ...)."""
        text = self.exec(f"print(repr({expression}))", timeout).decode(errors="replace").strip()
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
            raise ProtocolError(
                f"port {self.port}: {expression!r} gave {text[:200]!r}, no literal"
            ) from error

    def start(self, code: str | bytes, timeout: float | None = None) -> Program:
        """Starts `code` and gives the running program, which then has the line for itself."""
        return self._start(code, self._deadline(timeout))

    # The board's state

    def enter(self, timeout: float | None = None) -> None:
        """Interrupts what runs and gets to the raw prompt, from whatever state, past whatever garbage."""
        self._enter(self._deadline(timeout))

    def leave(self, timeout: float | None = None) -> None:
        """From the raw prompt to the friendly one, for a person."""
        self._at_prompt = False
        self.line.send(b"\r" + CTRL_B, self._deadline(timeout))

    def soft_reset(self, timeout: float | None = None) -> None:
        """Starts the interpreter anew (Ctrl-D at the raw prompt): modules and variables are gone."""
        deadline = self._deadline(timeout)
        self._ready(deadline)
        self._at_prompt = False
        self.loaded = None
        self.line.send(CTRL_D, deadline)
        prompt = re.compile(re.escape(RAW_PROMPT) + rb"|\n>>> $")
        if not self._listen(prompt, deadline, deadline.seconds)[0]:
            raise NoAnswer(f"port {self.port}: no prompt {deadline.seconds:g} s after a soft reset; reset it")
        self._enter(deadline)

    def interrupt(self, timeout: float | None = None) -> None:
        """Sends Ctrl-C: the running program gets KeyboardInterrupt."""
        self.line.send(CTRL_C, self._deadline(timeout))

    def recover(self, timeout: float | None = None) -> None:
        """Gets to the prompt by all means: Ctrl-C, opening the port again, the reset button."""
        deadline = self._deadline(timeout)
        try:
            self.enter(min(_PATIENCE, deadline.seconds / 2) if self._press_reset else deadline.seconds)
        except Disconnected:
            self._reconnect(deadline)
        except BoardError:
            if self._press_reset is None:
                raise
            self._press_reset()
            self._reconnect(deadline)

    # Inside

    def _open_line(self) -> Line:
        return open_line(self.port, self._baudrate, self._burst)

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline(self.timeout if timeout is None else timeout)

    def _ready(self, deadline: Deadline) -> None:
        if not self._at_prompt:
            self._enter(deadline)

    def _enter(self, deadline: Deadline) -> None:
        self._at_prompt = False
        self._raw_paste = True  # that it was refused may have been a fault on the line
        heard = False
        while not deadline.passed:
            self.line.send(b"\r" + CTRL_C, deadline)
            self.line.send(b"\r" + CTRL_A, deadline)
            found, heard_now = self._listen(re.compile(re.escape(RAW_PROMPT)), deadline, _RETRY)
            heard = heard or heard_now
            if found and self._synchronize(deadline):
                self._at_prompt = True
                return
        raise NoAnswer(self._why_no_prompt(deadline, heard))

    def _reconnect(self, deadline: Deadline) -> None:
        """Opens the port again, as soon as it is there again, and enters."""
        while True:
            try:
                self.line.close()
                self.line = self._open_line()
                return self._enter(deadline)
            except BoardError:
                if deadline.remaining < _QUIET:
                    raise
                # The port is not there yet, or went away again: the line is asked, so this is no busy loop.
                deadline.wait(0.05)

    def _synchronize(self, deadline: Deadline) -> bool:
        """True when the board echoed a fresh token: all that it sent before that is out of the way."""
        token = f"sesstab{next(self._tokens)}"
        self.line.send(f"print('{token}')".encode() + CTRL_D, deadline, self._burst or _PLAIN_BURST)
        answer = re.compile(rb"OK" + token.encode() + rb"\r?\n\x04\x04>")
        return self._listen(answer, deadline, 4 * _RETRY)[0]

    def _listen(self, pattern: re.Pattern[bytes], deadline: Deadline, seconds: float) -> tuple[bool, bool]:
        """Reads until `pattern` was found; for `seconds` at most. Gives (found, anything heard)."""
        until = Deadline(min(seconds, deadline.remaining))
        tail = b""
        heard = False
        while True:
            data = self.line.receive(until.remaining)
            heard = heard or bool(data)
            tail = tail[-_TAIL:] + data
            match = pattern.search(tail)
            if match:
                self.line.unread(tail[match.end() :])
                return True, heard
            if until.passed:
                return False, heard

    def _why_no_prompt(self, deadline: Deadline, heard: bool) -> str:
        if heard:
            return (
                f"port {self.port}: no prompt in {deadline.seconds:g} s, but it sends something else; "
                "the program on it may ignore Ctrl-C: reset the board"
            )
        return f"port {self.port}: no answer in {deadline.seconds:g} s; is another program using it?"

    def _start(self, code: str | bytes, deadline: Deadline) -> Program:
        source = code.encode() if isinstance(code, str) else code
        for byte in (CTRL_C, CTRL_D):
            if byte in source:
                raise BadCode(f"code contains byte {byte[0]}, a command to the REPL; write \\x{byte.hex()}")
        self._ready(deadline)
        self._at_prompt = False
        if not (self._raw_paste and self._paste(source, deadline)):
            self._raw_paste = False
            self._type(source, deadline)
        return Program(self)

    def _paste(self, source: bytes, deadline: Deadline) -> bool:
        """Raw paste. False when the board does not have it; it is at the raw prompt then."""
        self.line.send(b"\x05A" + CTRL_A, deadline)
        answer = self._read_exactly(2, deadline)
        if answer == b"R\x01":
            self._paste_windows(source, deadline)
            return True
        if answer in (b"R\x00", b"ra"):
            self._read_until(b">", deadline)
            return False
        raise ProtocolError(f"port {self.port}: {answer!r} answers raw paste; is that MicroPython's REPL?")

    def _paste_windows(self, source: bytes, deadline: Deadline) -> None:
        window = int.from_bytes(self._read_exactly(2, deadline), "little")
        if window == 0:
            raise ProtocolError(f"port {self.port}: the board offers a raw paste window of 0 bytes; reset it")
        allowed, sent = window, 0
        while sent < len(source):
            for byte in self._flow(deadline, wait=allowed == 0):
                if byte == CTRL_D:
                    # The board gave up early (a syntax error, no memory) and waits for our end.
                    self.line.send(CTRL_D, deadline)
                    return
                allowed += window
            part = source[sent : sent + allowed]
            self.line.send(part, deadline)
            allowed -= len(part)
            sent += len(part)
        self.line.send(CTRL_D, deadline)
        while CTRL_D not in self._flow(deadline, wait=True):
            pass

    def _flow(self, deadline: Deadline, wait: bool) -> list[bytes]:
        """The flow-control bytes that came: 1 opens the window, 4 ends the paste and is the last taken."""
        data = self._read_some(deadline) if wait else self.line.receive(0)
        bytes_taken = []
        for index in range(len(data)):
            byte = data[index : index + 1]
            if byte not in (CTRL_A, CTRL_D):
                rest = data[index:][:40]
                raise ProtocolError(f"port {self.port}: {rest!r} in the middle of raw paste; was it reset?")
            bytes_taken.append(byte)
            if byte == CTRL_D:
                self.line.unread(data[index + 1 :])
                break
        return bytes_taken

    def _type(self, source: bytes, deadline: Deadline) -> None:
        """Plain raw REPL: no flow control, so small bursts."""
        self.line.send(source + CTRL_D, deadline, self._burst or _PLAIN_BURST)
        answer = self._read_exactly(2, deadline)
        if answer != b"OK":
            raise ProtocolError(f"port {self.port}: {answer!r} instead of OK; is that MicroPython's REPL?")

    def _read_some(self, deadline: Deadline) -> bytes:
        while not (data := self.line.receive(deadline.remaining)):
            if deadline.passed:
                raise NoAnswer(f"port {self.port}: no more answer in {deadline.seconds:g} s; reset the board")
        return data

    def _read_exactly(self, size: int, deadline: Deadline) -> bytes:
        data = b""
        while len(data) < size:
            data += self._read_some(deadline)
        self.line.unread(data[size:])
        return data[:size]

    def _read_until(self, end: bytes, deadline: Deadline) -> bytes:
        data = b""
        while end not in data:
            data += self._read_some(deadline)
        before, _, after = data.partition(end)
        self.line.unread(after)
        return before


class Program:
    """Code that runs on a board and has the line for itself.

    read() gives what it prints, write() feeds its stdin. A program that reads binary data calls
    micropython.kbd_intr(-1) first, since Ctrl-C would interrupt it, and says so before the host writes.
    finish() must be the last call.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._output = bytearray()
        self._error = bytearray()
        self._ends = 0  # how many of the two end marks (byte 4) have come
        self._after = b""

    @property
    def ended(self) -> bool:
        """True when the program has ended and its output was read to the end."""
        return self._ends > 0

    def read(self, timeout: float) -> bytes:
        """What it printed; waits at most `timeout` for the first byte. b"": nothing came, or it has ended."""
        return b"" if self.ended else self._feed(self._board.line.receive(timeout))

    def write(self, data: bytes, timeout: float | None = None) -> None:
        """Sends `data` to the program's stdin."""
        self._board.line.send(data, self._board._deadline(timeout))

    def interrupt(self) -> None:
        self._board.interrupt()

    def finish(self, timeout: float | None = None, on_output: OnOutput | None = None) -> bytes:
        """Waits for the end and gives the output that read() has not given."""
        return self._finish(self._board._deadline(timeout), on_output)

    def _finish(self, deadline: Deadline, on_output: OnOutput | None) -> bytes:
        try:
            self._collect(deadline, on_output)
        except BoardError as error:
            error.output = bytes(self._output)
            raise
        if self._after != b">":
            raise self._no_prompt(deadline)
        self._board._at_prompt = True
        if self._error:
            traceback = self._error.decode(errors="replace").replace("\r\n", "\n")
            raise DeviceException(self._board.port, traceback, bytes(self._output))
        return bytes(self._output)

    def _collect(self, deadline: Deadline, on_output: OnOutput | None) -> None:
        while not self._after:
            data = self._board.line.receive(min(_QUIET, deadline.remaining))
            if not data:
                self._check_silence(deadline)
            output = self._feed(data)
            self._output += output
            if output and on_output:
                on_output(output)

    def _feed(self, data: bytes) -> bytes:
        """Takes `data` apart; gives the part of it that is the program's output."""
        output = b""
        if self._ends == 0:
            output, mark, data = data.partition(CTRL_D)
            self._ends += len(mark)
        if self._ends == 1:
            error, mark, data = data.partition(CTRL_D)
            self._error += error
            self._ends += len(mark)
        if self._ends == 2 and data and not self._after:
            self._after = data[:1]
            self._board.line.unread(data[1:])
        return output

    def _check_silence(self, deadline: Deadline) -> None:
        if _RESTARTED.search(self._output[-_TAIL:] + self._error[-_TAIL:]):
            raise self._reset()
        if deadline.passed:
            raise NoAnswer(
                f"port {self._board.port}: the program did not end in {deadline.seconds:g} s; "
                "give it more time (timeout) or look for an endless loop"
            )

    def _no_prompt(self, deadline: Deadline) -> BoardError:
        """Why something else than the prompt followed the program's end."""
        rest = self._after + self._board.line.receive(min(_QUIET, deadline.remaining))
        error: BoardError
        if b"reboot" in rest or b"REPL" in rest or b"MicroPython" in rest or not rest.strip():
            error = self._reset()
        else:
            error = ProtocolError(
                f"port {self._board.port}: {rest[:40]!r} after the program's end instead of the prompt; "
                "does it print byte 4?"
            )
        error.output = bytes(self._output)
        return error

    def _reset(self) -> BoardReset:
        return BoardReset(
            f"port {self._board.port}: the board was reset by the program; did it crash or exit?"
        )
