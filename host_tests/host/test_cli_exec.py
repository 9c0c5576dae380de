"""sesstab exec and sesstab run."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from cli_user import all_gone, descendants, only_line, running, sesstab
from sesstab_tools.virtual import VirtualBoard

FOREVER = "print('on')\nwhile True: pass"


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


def test_json_of_code_that_raises(virtual_board: VirtualBoard) -> None:
    done = sesstab("exec", "--json", "--port", virtual_board.port, "print(1)\n1/0")
    assert (done.returncode, done.stderr) == (1, "")
    result = json.loads(only_line(done.stdout))
    assert (result["output"], result["error"]) == ("1\n", "ZeroDivisionError: divide by zero")
    assert result["traceback"].startswith("Traceback (most recent call last):\n")


def test_json_of_code_that_does_not(virtual_board: VirtualBoard, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("print('\\xe4')")
    done = sesstab("run", "--json", "--port", virtual_board.port, str(script))
    assert done.returncode == 0
    assert json.loads(only_line(done.stdout)) == {"output": "ä\n", "error": None, "traceback": None}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["exec", "--port", "unix", 'print("\x03")'], "code contains byte 3"),
        (["exec", "--port", "/dev/nothing", "1"], "port /dev/nothing: no such device"),
        (["run", "--port", "unix", "/no/such/file"], "No such file or directory"),
    ],
)
def test_json_of_what_never_ran(arguments: list[str], error: str) -> None:
    done = sesstab(*arguments, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    result = json.loads(only_line(done.stdout))
    assert error in result["error"]
    assert (result["output"], result["traceback"]) == ("", None)


def test_code_that_is_no_utf_8_is_the_boards_to_refuse(virtual_board: VirtualBoard) -> None:
    done = sesstab("exec", "--port", virtual_board.port, os.fsdecode(b"print(len(b'\xff'))"))
    assert (done.returncode, done.stdout) == (0, "1\n")


def test_exec_with_a_timeout() -> None:
    done = sesstab("exec", "--port", "unix", "--timeout", "0.3", "while True: pass")
    assert done.returncode == 1
    assert "the program did not end in 0.3 s" in only_line(done.stderr)


def test_json_keeps_the_output_of_code_that_took_too_long(virtual_board: VirtualBoard) -> None:
    done = sesstab("exec", "--json", "--port", virtual_board.port, "--timeout", "0.3", FOREVER)
    assert done.returncode == 1
    result = json.loads(only_line(done.stdout))
    assert (result["output"], result["traceback"]) == ("on\n", None)
    assert "the program did not end in 0.3 s" in result["error"]


def test_ctrl_c_interrupts_the_program_on_the_board(virtual_board: VirtualBoard) -> None:
    with running("exec", "--port", virtual_board.port, FOREVER) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline() == "on\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 1
        assert process.stderr.read().rstrip().endswith("KeyboardInterrupt:")
    assert sesstab("exec", "--port", virtual_board.port, "print('there')").stdout == "there\n"


def test_ctrl_c_that_the_program_ignores_once_and_then_ends(virtual_board: VirtualBoard) -> None:
    code = "try:\n  print('on')\n  while True: pass\nexcept KeyboardInterrupt: print('tidied up')"
    with running("exec", "--port", virtual_board.port, code) as process:
        assert process.stdout
        assert process.stdout.readline() == "on\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "tidied up\n"
        assert process.wait(10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_leaves_no_board(number: signal.Signals) -> None:
    code = "import os\nprint(os.getcwd())\nwhile True: pass"
    with running("exec", "--port", "unix", code) as process:
        assert process.stdout
        folder = process.stdout.readline().strip()
        started = descendants(process.pid)
        assert started and os.path.isdir(folder)
        process.send_signal(number)
        assert process.wait(10) == 128 + number
        assert all_gone(started)
    assert not os.path.exists(folder)


def test_run_runs_a_local_file(virtual_board: VirtualBoard, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("for number in range(3):\n    print(number)\n")
    done = sesstab("run", str(script), SESSTAB_PORT=virtual_board.port)
    assert (done.returncode, done.stdout) == (0, "0\n1\n2\n")


@pytest.mark.slow
def test_an_emulated_board_by_its_name() -> None:
    code = "import sys, sesstab; print(sys.implementation._machine, sesstab.ENGINE)"
    done = sesstab("exec", "--json", "--port", "RPI_PICO", code)
    assert json.loads(done.stdout)["output"] == "Raspberry Pi Pico with RP2040 native\n"
