"""The command `sesstab` as a whole: help, examples, wrong usage, errors. Each command has a test_cli_*.py."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import typer.main
from cli_user import only_line, sesstab
from sesstab_tools.cli import app
from sesstab_tools.cli.app import examples

ROOT_COMMAND = typer.main.get_command(app)
COMMANDS = ROOT_COMMAND.commands  # type: ignore[attr-defined]


def examples_of(command: object) -> list[list[str]]:
    """The words after `sesstab` of each example in the command's help."""
    lines = map(str.strip, str(getattr(command, "epilog", None) or "").splitlines())
    found = [shlex.split(line.partition(" > ")[0]) for line in lines if line.startswith("sesstab ")]
    return [words[1:] for words in found]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["exec", "--port", "/dev/nothing", "1"], "port /dev/nothing: no such device"),
        (["exec", "--port", "/dev/clock", "1"], "port /dev/clock: no such device"),
        (["exec", "--port", "socket://localhost", "1"], "port socket://localhost: cannot be opened"),
        (["run", "--port", "unix", "/no/such/file"], "No such file or directory: '/no/such/file'"),
        (["deploy", "--port", "unix", "--root", "/etc"], "/etc has no lib/sesstab; name the repository"),
        (["emulate", "--files", __file__], "is no folder that could keep files"),
        (["emulate", "vax"], "no board 'vax' to emulate; there are unix, unix-c, "),
        (["repl", "--port", "RPI_PICO2"], "nothing emulates RPI_PICO2 (rp2350); there are unix, "),
        (["flash", "vax"], "no board 'vax'; there are ESP32_GENERIC, "),
        (["exec", "--port", "unix", "a = '\x04'"], "code contains byte 4"),
    ],
)
def test_failure_is_one_line_and_a_status(arguments: list[str], text: str) -> None:
    done = sesstab(*arguments)
    assert done.returncode == 1
    line = only_line(done.stderr)
    assert line.startswith("sesstab: ")
    assert text in line


def test_no_micropython_says_how_to_get_one() -> None:
    done = sesstab("exec", "--port", "unix", "1", SESSTAB_MICROPYTHON="/no/such/binary")
    assert done.returncode == 1
    assert "/no/such/binary" in only_line(done.stderr)


def test_wrong_usage_is_status_2() -> None:
    for arguments in (
        ["bogus"],
        ["exec"],
        ["exec", "--port", "unix", "--timeout", "nan", "1"],
        ["monitor", "--port", "unix", "--interval", "inf"],
    ):
        done = sesstab(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "Usage: sesstab" in done.stderr


def test_closed_streams_are_as_empty_ones() -> None:
    command = [sys.executable, "-c", "from sesstab_tools.cli import main; main()"]
    for arguments, closed in (
        (["repl", "--port", "unix"], "<&-"),
        (["exec", "--port", "unix", "print(1)"], ">&-"),
    ):
        line = f"exec {shlex.join([*command, *arguments])} {closed}"
        done = subprocess.run(
            ["/bin/sh", "-c", line], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0
        assert "Traceback" not in done.stderr


def test_version() -> None:
    expected = (0, f"sesstab {version('sesstab-tools')}\n", "")
    assert sesstab("--version") == expected
    # The one that is installed, in a process of its own.
    command = Path(sys.executable).with_name("sesstab")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == expected


def test_help_lists_every_command() -> None:
    done = sesstab("--help")
    assert done.returncode == 0
    listed = re.findall(r"^│ (\w+) ", done.stdout, re.MULTILINE)
    assert sorted(COMMANDS) == sorted(listed) != []


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_examples_are_right_usage(name: str) -> None:
    found = examples_of(COMMANDS[name])
    assert any(words[0] == name for words in found)
    for words in found:
        command = COMMANDS[words[0]]
        # Raises when an option or an argument is wrong; does not run it.
        with command.make_context(words[0], words[1:]) as context:
            assert context.params


def test_an_example_with_a_wrong_option_would_be_noticed() -> None:
    with pytest.raises(Exception, match="No such option"):
        COMMANDS["exec"].make_context("exec", ["--bogus", "1"])
    assert examples_of(type("", (), {"epilog": examples('sesstab exec "a b" > file')})) == [["exec", "a b"]]


EVERYWHERE = [words for words in examples_of(COMMANDS["exec"]) if "unix" in words]


@pytest.mark.parametrize("words", EVERYWHERE, ids=lambda words: words[-1])
def test_an_example_for_a_board_that_everybody_has(words: list[str]) -> None:
    done = sesstab(*words)
    assert done.returncode == ("1 / 0" in words)
    assert done.stdout.strip()
