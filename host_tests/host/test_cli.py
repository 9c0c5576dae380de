"""The command `sesstab`, run as a user runs it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sesstab_tools.repl import Board
from sesstab_tools.virtual import VirtualBoard

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from sesstab_tools.cli import main; main()"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SESSTAB_")}


def sesstab(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**ENVIRONMENT, **variables},
    )


def only_line(text: str) -> str:
    assert text.count("\n") == 1, text
    return text.rstrip("\n")


def test_exec_shows_the_output(virtual_board: VirtualBoard) -> None:
    done = sesstab("exec", "--port", virtual_board.port, "print(6 * 7)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "42\n", "")


def test_exec_that_raises_shows_the_boards_traceback(virtual_board: VirtualBoard) -> None:
    done = sesstab("exec", "--port", virtual_board.port, "print(1)\n1/0")
    assert (done.returncode, done.stdout) == (1, "1\n")
    assert done.stderr.endswith("ZeroDivisionError: divide by zero\n")
    assert done.stderr.startswith(
        'Traceback (most recent call last):\n  File "<stdin>", line 2, in <module>\n'
    )


def test_exec_on_a_board_for_this_command_only() -> None:
    done = sesstab("exec", "--port", "unix", "import sesstab; print(sesstab.ENGINE)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("pure", "native")


def test_exec_with_a_timeout() -> None:
    done = sesstab("exec", "--port", "unix", "--timeout", "0.3", "while True: pass")
    assert done.returncode == 1
    assert "the program did not end in 0.3 s" in only_line(done.stderr)


def test_ctrl_c_interrupts_the_program_on_the_board(virtual_board: VirtualBoard) -> None:
    command = [*COMMAND, "exec", "--port", virtual_board.port, "print('on')\nwhile True: pass"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline() == b"on\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 1
        assert process.stderr.read().rstrip().endswith(b"KeyboardInterrupt:")


def test_run_runs_a_local_file(virtual_board: VirtualBoard, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("for number in range(3):\n    print(number)\n")
    done = sesstab("run", str(script), SESSTAB_PORT=virtual_board.port)
    assert (done.returncode, done.stdout) == (0, "0\n1\n2\n")


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["exec", "--port", "/dev/nothing", "1"], 1, "port /dev/nothing: no such device"),
        (["run", "--port", "unix", "/no/such/file"], 1, "No such file or directory: '/no/such/file'"),
        (["deploy", "--port", "unix", "--root", "/etc"], 1, "/etc has no lib/sesstab; name the repository"),
        (["emulate", "vax"], 1, "no board 'vax' to emulate; there are unix, unix-c, "),
        (["exec", "--port", "unix", "a = '\x04'"], 1, "code contains byte 4"),
    ],
)
def test_failure_is_one_line_and_a_status(arguments: list[str], status: int, text: str) -> None:
    done = sesstab(*arguments)
    assert done.returncode == status
    line = only_line(done.stderr)
    assert line.startswith("sesstab: ")
    assert text in line


def test_no_micropython_says_how_to_get_one() -> None:
    done = sesstab("exec", "--port", "unix", "1", SESSTAB_MICROPYTHON="/no/such/binary")
    assert done.returncode == 1
    assert "/no/such/binary" in only_line(done.stderr)


def test_wrong_usage_is_status_2() -> None:
    assert sesstab("bogus").returncode == 2
    assert sesstab("exec").returncode == 2


@contextmanager
def emulated(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [*COMMAND, "emulate", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        try:
            assert process.stdout
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_emulate_until_told_to_end(number: signal.Signals, tmp_path: Path) -> None:
    link, files = tmp_path / "board", tmp_path / "files"
    with emulated("--link", str(link), "--files", str(files), "--heap", "300K") as (process, port):
        assert os.readlink(link) == port
        with Board.open(str(link)) as board:
            board.exec("open('here', 'w').close()")
            assert board.eval("__import__('gc').mem_free()") < 400_000  # type: ignore[operator]
        process.send_signal(number)
        assert process.wait(10) == 0
    assert not link.is_symlink()
    assert (files / "here").exists()


def test_emulate_killed_leaves_no_process() -> None:
    with emulated() as (process, port), Board.open(port) as board:
        started = board.start("import os\nprint(os.getcwd())\nwhile True: pass")
        folder = b""
        while not folder.endswith(b"\n"):
            folder += started.read(5)
        assert interpreters_in(folder.decode().strip())
        process.kill()
        end = time.monotonic() + 5
        while interpreters_in(folder.decode().strip()) and time.monotonic() < end:
            time.sleep(0.05)
        assert not interpreters_in(folder.decode().strip())
    os.rmdir(folder.decode().strip())


def interpreters_in(folder: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "cwd") == folder:
                found.append(process.name)
        except OSError:
            # It has just ended, or is somebody else's.
            continue
    return found


class Terminal:
    """A person at a terminal who runs the command."""

    def __init__(self, *arguments: str) -> None:
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], stdin=self.slave, stdout=self.slave, stderr=self.slave, env=ENVIRONMENT
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def expect(self, text: bytes, seconds: float = 10) -> bytes:
        seen = b""
        end = time.monotonic() + seconds
        while text not in seen:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            assert ready, seen
            seen += os.read(self.master, 4096)
        return seen

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def settings_changed(self) -> bool:
        return termios.tcgetattr(self.slave) != self.before


@pytest.mark.parametrize("key", [b"\x1d", b"\x18"])
def test_repl_reaches_the_board_and_restores_the_terminal(virtual_board: VirtualBoard, key: bytes) -> None:
    with Terminal("repl", "--port", virtual_board.port) as terminal:
        terminal.expect(b">>> ")
        assert terminal.settings_changed()
        terminal.type(b"print(6 * 7)\r")
        terminal.expect(b"42\r\n>>> ")
        terminal.type(b"while True: pass\r\r")
        time.sleep(0.3)
        terminal.type(b"\x03")
        terminal.expect(b"KeyboardInterrupt")
        terminal.type(key)
        assert terminal.process.wait(10) == 0
        assert not terminal.settings_changed()


def test_repl_restores_the_terminal_when_killed_politely(virtual_board: VirtualBoard) -> None:
    with Terminal("repl", "--port", virtual_board.port) as terminal:
        terminal.expect(b">>> ")
        terminal.process.terminate()
        assert terminal.process.wait(10) == 128 + signal.SIGTERM
        assert not terminal.settings_changed()


def test_repl_restores_the_terminal_when_the_board_dies(virtual_board: VirtualBoard) -> None:
    with Terminal("repl", "--port", virtual_board.port) as terminal:
        terminal.expect(b">>> ")
        virtual_board.close()
        assert b"connection lost" in terminal.expect(b"plugged in?")
        assert terminal.process.wait(10) == 1
        assert not terminal.settings_changed()


def test_repl_takes_piped_input(virtual_board: VirtualBoard) -> None:
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


def test_test_runs_the_device_tests_and_gives_pytests_status() -> None:
    done = sesstab("test", "--target", "cpython", "--engine", "pure", "--collect-only", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[cpython-pure]" in done.stdout
    assert "[unix" not in done.stdout
    assert sesstab("test", "--target", "vax").returncode == 4
