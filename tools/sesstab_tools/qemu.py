"""Boards that QEMU emulates as a whole: the images of `make firmware`, with the REPL on a pty.

    with qemu_board(find_board("QEMU_MICROBIT", root), root) as microbit:
        with Board.open(microbit.port, press_reset=microbit.reset) as board:
            board.exec("print(1)")

QEMU has the pty's other end itself, so no byte takes a detour through this process. Beside it there are two
sockets: QEMU's own control (QMP), for the reset button, and the firmware's semihosting console, on which it
says that it waits for input (firmware/qemu/hal.c). Time is virtual: with -icount an instruction takes a
nanosecond of it, on whatever host. A board that waits sleeps as long as the host's clock says, and takes no
processor time.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import shutil
import socket
import subprocess
import tempfile
import termios
import threading
import time
import tty
from pathlib import Path
from types import TracebackType
from typing import Any

from .boards import BoardSpec
from .errors import BoardError, PortError

_START_TIME = 20.0  # seconds until the prompt, on a busy machine
_ANSWER_TIME = 10.0
_END_TIME = 5.0
_DEBIAN_PACKAGES = {"qemu-system-arm": "qemu-system-arm", "qemu-system-riscv32": "qemu-system-misc"}
# A shell makes the terminal "$0" the controlling one, so QEMU ends by SIGHUP when this process is killed.
_LAUNCH = 'exec "$@" <"$0"'


def qemu_board(spec: BoardSpec, root: Path, *, image: Path | None = None) -> QemuBoard:
    """Starts the board with its firmware, or `image`."""
    if spec.emulator is None or spec.emulator.kind != "qemu":
        raise PortError(f"QEMU does not emulate {spec.name}; its board.toml has no [emulator] of kind qemu")
    path = image or spec.images(root) / "firmware.elf"
    if not path.is_file():
        name = path.relative_to(root) if path.is_relative_to(root) else path
        raise PortError(f"no {name}; build it: make firmware BOARD={spec.name}")
    program = spec.emulator.program
    if not shutil.which(program):
        package = _DEBIAN_PACKAGES.get(program, program)
        raise PortError(f"no {program}; get it: tools/setup/emulators.sh, or install {package}")
    return QemuBoard([program, *spec.emulator.arguments, "-kernel", str(path.resolve())])


class QemuBoard:
    """A running board. Use it in a with statement, or close() it."""

    def __init__(self, command: list[str]) -> None:
        self._closed = False
        self._lock = threading.Lock()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        master, self._slave = os.openpty()
        # Holding the slave open keeps the port alive between clients.
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._leash, leash_end = os.openpty()
        self._control, control_end = socket.socketpair()
        self._console, console_end = socket.socketpair()
        try:
            self._process = self._start(command, master, leash_end, control_end, console_end)
        finally:
            os.close(master)
            os.close(leash_end)
            control_end.close()
            console_end.close()
        self._answers = self._control.makefile("rb")
        atexit.register(self.close)
        try:
            self._read_answer()  # QMP's greeting
            self._ask("qmp_capabilities")
            self._wait_until_ready()
        except BoardError as error:
            self.close()
            raise PortError(f"{command[0]}: {error}") from error

    def __enter__(self) -> QemuBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """QEMU's process."""
        return self._process.pid

    def reset(self) -> None:
        """The reset button: whatever runs is gone, and MicroPython starts anew with the files as they are.

        What was on the way, in either direction, is gone too.
        """
        with self._lock:
            if self._closed:
                raise BoardError(f"port {self.port}: the emulator is closed")
            self._ask("stop")
            termios.tcflush(self._slave, termios.TCIOFLUSH)
            self._forget_console()
            self._ask("system_reset")
            self._ask("cont")
            self._wait_until_ready()

    def check(self) -> None:
        """BoardError: QEMU has ended by itself, and why."""
        if self._process.poll() is not None:
            raise self._ended()

    def close(self) -> None:
        """Ends the emulator and its port; nothing is left behind."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._process.kill()
        self._process.wait()
        self._answers.close()
        self._control.close()
        self._console.close()
        self._errors.close()
        os.close(self._leash)
        os.close(self._slave)

    def _start(
        self,
        command: list[str],
        master: int,
        leash: int,
        control: socket.socket,
        console: socket.socket,
    ) -> subprocess.Popen[bytes]:
        options = [
            *("-display", "none", "-monitor", "none", "-icount", "shift=0"),
            *("-add-fd", f"fd={master},set=1"),
            *("-chardev", "serial,id=port,path=/dev/fdset/1", "-serial", "chardev:port"),
            *("-chardev", f"socket,id=control,fd={control.fileno()}", "-mon", "chardev=control,mode=control"),
            *("-chardev", f"socket,id=console,fd={console.fileno()}"),
            *("-semihosting-config", "enable=on,target=native,chardev=console"),
        ]
        return subprocess.Popen(
            ["/bin/sh", "-c", _LAUNCH, os.ttyname(leash), *command, *options],
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            pass_fds=(master, control.fileno(), console.fileno()),
            start_new_session=True,
        )

    def _ask(self, command: str) -> None:
        """Has QEMU do something."""
        try:
            self._control.sendall(json.dumps({"execute": command}).encode() + b"\n")
        except OSError as error:
            raise self._ended() from error
        while True:
            answer = self._read_answer()
            if "error" in answer:
                raise BoardError(f"port {self.port}: QEMU does not {command}: {answer['error']['desc']}")
            if "return" in answer:  # else it is an event
                return

    def _read_answer(self) -> dict[str, Any]:
        self._control.settimeout(_ANSWER_TIME)
        try:
            line = self._answers.readline()
        except TimeoutError as error:
            raise BoardError(f"port {self.port}: no answer from QEMU in {_ANSWER_TIME:g} s") from error
        except OSError as error:
            raise self._ended() from error
        if not line:
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _wait_until_ready(self) -> None:
        """Until the firmware says that it waits for input."""
        end = time.monotonic() + _START_TIME
        while select.select([self._console], [], [], max(0, end - time.monotonic()))[0]:
            said = self._console.recv(4096)
            if not said:
                raise self._ended()
            if b"ready\n" in said:
                return
        raise BoardError(f"port {self.port}: no prompt in {_START_TIME:g} s; does main.py run for ever?")

    def _forget_console(self) -> None:
        """What the firmware said after resets of its own."""
        while select.select([self._console], [], [], 0)[0] and self._console.recv(4096):
            pass

    def _ended(self) -> BoardError:
        try:
            status: object = self._process.wait(_END_TIME)
        except subprocess.TimeoutExpired:
            status = "none"
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        words = next((line for line in lines if "qemu" in line), lines[-1] if lines else "without a word")
        return BoardError(f"port {self.port}: QEMU ended, status {status}: {words}")
