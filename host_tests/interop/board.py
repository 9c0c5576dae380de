"""A board as a process: MicroPython for unix, stock with the native module, or with sesstab compiled in."""

from __future__ import annotations

import json
import select
from pathlib import Path

from sesstab_tools.certificates import Certificate
from sesstab_tools.virtual import find_micropython

from interop.process import TIMEOUT, Process, free_port

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "dist" / "natmod" / "x64_6.3"
FIRMWARE = ROOT / "dist" / "firmware" / "UNIX" / "micropython"
STOCK, BUILT_IN = "unix", "unix-c"
TARGETS = (STOCK, BUILT_IN)


class InteropBoard(Process):
    """run() executes code on the board, or returns an expression's value."""

    def __init__(
        self, target: str, folder: Path, certificates: dict[str, Certificate], heap: str = "2M"
    ) -> None:
        for kind, certificate in certificates.items():
            (folder / f"{kind}.der").write_bytes(certificate.certificate_der)
            (folder / f"{kind}-key.der").write_bytes(certificate.key_der)
        self.port = free_port()
        firmware, module = (find_micropython(), NATIVE) if target == STOCK else (FIRMWARE, ROOT / "lib")
        assert Path(firmware).exists(), f"{firmware} is missing: make firmware"
        script = Path(__file__).with_name("on_board.py")
        path = [module, ROOT / "lib", ROOT / "examples", folder]
        command = [firmware, "-X", f"heapsize={heap}", script, self.port, *path]
        super().__init__(command, folder, stdin=True, log="board-log")
        assert self._line() == "ready\n", self.log

    def send(self, code: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(code).encode() + b"\n")
        self.process.stdin.flush()

    def receive(self, timeout: float = TIMEOUT) -> object:
        good, value = json.loads(self._line(timeout))
        assert good, f"{value}\n{self.log}"
        return value

    def run(self, code: str) -> object:
        self.send(code)
        return self.receive()

    def number(self, code: str) -> int:
        value = self.run(code)
        assert isinstance(value, int), f"{code}: {value}"
        return value

    def stop_serving(self) -> None:
        """Ends serve_page() or serve_async()."""
        assert self.process.stdin
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        self.receive()

    def refused(self, call: str) -> tuple[str, str]:
        """The exception that `function, *arguments` raises: its type and text."""
        answer = self.run(f"refused({call})")
        assert isinstance(answer, list), f"{call} raised nothing"
        return answer[0], answer[1]

    def stats(self, table: str = "table") -> dict[str, int]:
        value = self.run(f"{table}.session_stats()")
        assert isinstance(value, dict)
        return {**value, "stored": self.number(f"{table}.sess_stored()")}

    def rss(self) -> int:
        """Bytes of the process in memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))

    def _line(self, timeout: float = TIMEOUT) -> str:
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        assert ready, f"the board did not answer in {timeout} s\n{self.log}"
        line = self.process.stdout.readline().decode()
        assert line, f"the board has ended\n{self.log}"
        return line
