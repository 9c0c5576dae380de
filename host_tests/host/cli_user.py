"""Users of the command `sesstab`: one who reads what it says, one who can interrupt it, one at a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from emulated_boards import is_running, wait_until
from sesstab_tools.cli import main
from sesstab_tools.deploy import find_root

ROOT = find_root()
COMMAND = [sys.executable, "-c", "from sesstab_tools.cli import main; main()"]
ENDINGS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SESSTAB_")}


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def sesstab(*arguments: str, **variables: str) -> Done:
    """Runs the command to its end, within this process: starting another takes longer than most commands."""
    handlers = {number: signal.getsignal(number) for number in ENDINGS}
    with (
        mock.patch.object(sys, "argv", ["sesstab", *arguments]),
        mock.patch.object(sys, "stdout", TextIOWrapper(BytesIO(), "utf-8")) as stdout,
        mock.patch.object(sys, "stderr", TextIOWrapper(BytesIO(), "utf-8")) as stderr,
        mock.patch.dict(os.environ, {**ENVIRONMENT, **variables}, clear=True),
    ):
        try:
            main()
            status: object = "it returned"
        except SystemExit as end:
            status = end.code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return Done(status or 0, _written(stdout), _written(stderr))  # type: ignore[arg-type]


def _written(stream: TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, BytesIO)
    return buffer.getvalue().decode()


def only_line(text: str) -> str:
    assert text.count("\n") == 1, text
    return text.rstrip("\n")


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, still running; its stdout and stderr are pipes."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class Terminal:
    """A person at a terminal who runs the command."""

    def __init__(self, *arguments: str, rows: int = 24, columns: int = 80) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        """All that the screen has shown."""
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env={**ENVIRONMENT, "TERM": "xterm", "COLUMNS": str(columns), "LINES": str(rows)},
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def expect(self, text: bytes, seconds: float = 20) -> bytes:
        seen = b""
        end = time.monotonic() + seconds
        while text not in seen:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            assert ready, seen
            seen += os.read(self.master, 4096)
        self.seen += seen
        return seen

    def type(self, keys: bytes) -> None:
        """As fast as the command takes them."""
        while keys:
            ready, writable, _ = select.select([self.master], [self.master], [], 10)
            assert ready or writable
            if ready:
                self.seen += os.read(self.master, 4096)
            if writable:
                keys = keys[os.write(self.master, keys[:256]) :]

    def wait(self, seconds: float = 20) -> int:
        """For its end, reading what it still says; the status."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 4096)
        return self.process.wait(0.1)

    def settings_changed(self) -> bool:
        return termios.tcgetattr(self.slave) != self.before


def descendants(pid: int) -> list[int]:
    """The processes that `pid` has started, and theirs."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[int(folder.name)] = int(fields[1])
    found = [pid]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found[1:]


def all_gone(pids: list[int]) -> bool:
    """Whether none of the processes runs any more, soon."""
    return wait_until(lambda: not any(map(is_running, pids)))
