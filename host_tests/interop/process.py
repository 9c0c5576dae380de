"""Processes that end with the test, whatever becomes of it."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

TIMEOUT = 30
_UNTIL_WE_END = ["setpriv", "--pdeathsig", "KILL"]


class Process:
    """A program in a session of its own, which is killed with all that it started."""

    def __init__(
        self,
        command: Sequence[object],
        folder: Path,
        stdin: bool = False,
        log: str = "log",
        descriptors: Sequence[int] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.log_path = folder / log
        with self.log_path.open("wb") as errors:
            self.process = subprocess.Popen(
                [*_UNTIL_WE_END, *(str(word) for word in command)],
                cwd=folder,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE if stdin else errors,
                stderr=errors,
                pass_fds=descriptors,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        # Not waited for yet, so its number is still its own, and its group's.
        if self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def ended(self) -> bool:
        """Whether it has ended; without taking its number back, which close() needs."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def run(command: Sequence[object], folder: Path, text: str = "", timeout: float = TIMEOUT) -> str:
    """Runs a program to its end. What it printed, errors included."""
    with Process(command, folder, stdin=True, log="run-log") as program:
        assert program.process.stdin
        out, _ = program.process.communicate(text.encode(), timeout)
    return out.decode(errors="replace") + program.log


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(program: Process, port: int) -> None:
    """Until something listens there, as the kernel tells: a connection would be one that the server sees."""
    end = time.monotonic() + TIMEOUT
    while not _is_listening(port):
        assert not program.ended() and time.monotonic() < end, program.log
        select.select([], [], [], 0.01)


def _is_listening(port: int) -> bool:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                return True
    return False
