"""sesstab repl, at a terminal as a user has it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
import tty
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cli_user import COMMAND, ENVIRONMENT, Terminal, all_gone, descendants, sesstab
from sesstab_tools.virtual import VirtualBoard

UP, PASTE, END, LEAVE = b"\x1b[A", b"\x05", b"\x04", b"\x1d"


@contextmanager
def at_the_prompt(port: str) -> Iterator[Terminal]:
    with Terminal("repl", "--port", port) as terminal:
        terminal.expect(b">>> ")
        yield terminal


@pytest.mark.parametrize("key", [b"\x1d", b"\x18"])
def test_keys_reach_the_board_and_a_key_leaves(virtual_board: VirtualBoard, key: bytes) -> None:
    with at_the_prompt(virtual_board.port) as terminal:
        assert terminal.settings_changed()
        terminal.type(b"print(6 * 7)\r")
        terminal.expect(b"42\r\n>>> ")
        terminal.type(b"while True: pass\r\r")
        time.sleep(0.3)
        terminal.type(b"\x03")
        terminal.expect(b"KeyboardInterrupt")
        terminal.type(key)
        assert terminal.wait() == 0
        assert not terminal.settings_changed()


def test_up_brings_back_what_was_typed(virtual_board: VirtualBoard) -> None:
    with at_the_prompt(virtual_board.port) as terminal:
        terminal.type(b"number = 20\r")
        terminal.expect(b">>> ")
        terminal.type(b"number += 1; print('is', number)\r")
        terminal.expect(b"is 21\r\n>>> ")
        terminal.type(UP + b"\r")
        terminal.expect(b"is 22\r\n>>> ")


def test_paste_mode(virtual_board: VirtualBoard) -> None:
    with at_the_prompt(virtual_board.port) as terminal:
        terminal.type(PASTE)
        terminal.expect(b"paste mode")
        terminal.type(b"def double(n):\r    if n:\r        return 2 * n\rprint('is', double(21))\r" + END)
        terminal.expect(b"is 42\r\n>>> ")


def test_ctrl_d_is_a_soft_reset(virtual_board: VirtualBoard) -> None:
    with at_the_prompt(virtual_board.port) as terminal:
        terminal.type(b"kept = 1\r\x04")
        terminal.expect(b"soft reboot")
        terminal.expect(b">>> ")
        terminal.type(b"print('kept' in globals())\r")
        terminal.expect(b"False\r\n>>> ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_restored_when_told_to_end(
    virtual_board: VirtualBoard, number: signal.Signals
) -> None:
    with at_the_prompt(virtual_board.port) as terminal:
        assert terminal.settings_changed()
        terminal.process.send_signal(number)
        assert terminal.wait() == 128 + number
        assert not terminal.settings_changed()


def test_the_terminal_is_restored_when_the_board_dies(virtual_board: VirtualBoard) -> None:
    with at_the_prompt(virtual_board.port) as terminal:
        virtual_board.close()
        assert b"connection lost" in terminal.expect(b"plugged in?")
        assert terminal.wait() == 1
        assert not terminal.settings_changed()


def test_piped_input(virtual_board: VirtualBoard) -> None:
    done = subprocess.run(
        [*COMMAND, "repl", "--port", virtual_board.port],
        input=b"print(6 * 7)\r",
        capture_output=True,
        timeout=20,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0
    assert b"42" in done.stdout


# A board on a UART: what comes faster than it reads is lost


class Uart:
    """A line to a board whose receiver holds 64 bytes, from which the board takes 8 each millisecond."""

    SIZE, TAKEN, EVERY = 64, 8, 0.001

    def __init__(self, board: str) -> None:
        self.lost = 0
        self._board = os.open(board, os.O_RDWR | os.O_NOCTTY)
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Uart:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        for descriptor in (self._board, self._master, self._slave):
            os.close(descriptor)

    def _run(self) -> None:
        received: deque[int] = deque()
        due = time.monotonic()
        while not self._ended.is_set():
            ready = select.select([self._board, self._master], [], [], self.EVERY)[0]
            if self._board in ready:
                os.write(self._master, os.read(self._board, 4096))
            if self._master in ready:
                data = os.read(self._master, 4096)
                room = self.SIZE - len(received)
                received.extend(data[:room])
                self.lost += max(0, len(data) - room)
            if received and time.monotonic() >= due:
                due = time.monotonic() + self.EVERY
                os.write(
                    self._board, bytes(received.popleft() for _ in range(min(self.TAKEN, len(received))))
                )


SUM = b"".join(b"total += %d\r" % number for number in range(1, 301))
TOTAL = b"is %d\r" % sum(range(1, 301))


def test_a_big_paste_on_a_line_without_flow_control_loses_nothing(virtual_board: VirtualBoard) -> None:
    with Uart(virtual_board.port) as uart, at_the_prompt(uart.port) as terminal:
        terminal.type(PASTE)
        terminal.expect(b"paste mode")
        terminal.type(b"total = 0\r" + SUM + b"print('is', total)\r" + END)
        terminal.expect(TOTAL)
        assert uart.lost == 0


def test_that_line_does_lose_bytes(virtual_board: VirtualBoard) -> None:
    with Uart(virtual_board.port) as uart:
        port = os.open(uart.port, os.O_RDWR | os.O_NOCTTY)
        os.write(port, SUM[:1000])
        time.sleep(0.1)
        os.close(port)
        assert uart.lost > 0


@pytest.mark.slow
def test_an_emulated_board_for_this_terminal_only() -> None:
    with at_the_prompt("RPI_PICO") as terminal:
        terminal.type(b"import sesstab; sesstab.ENGINE\r")
        terminal.expect(b"'native'\r\r\n>>> ")
        started = descendants(terminal.process.pid)
        assert started
        terminal.type(LEAVE)
        assert terminal.wait() == 0
        assert all_gone(started)
        assert not terminal.settings_changed()


def test_no_board_is_one_line_and_the_terminal_as_it_was() -> None:
    assert sesstab("repl", "--port", "/dev/nothing").stderr.startswith("sesstab: port /dev/nothing: no such")
    with Terminal("repl", "--port", "/dev/nothing") as terminal:
        assert terminal.wait() == 1
        assert not terminal.settings_changed()
