"""mpremote, a client that knows nothing of ours, on every emulated board: alone, and with our own tools."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulated_boards import BOARDS, ROOT
from sesstab_tools.deploy import deploy
from sesstab_tools.emulators import UNIX, UNIX_C, RunningBoard, start
from sesstab_tools.errors import NoAnswer
from sesstab_tools.files import Files
from sesstab_tools.repl import Board

TIMEOUT = 30


@pytest.fixture(scope="module", params=[UNIX, UNIX_C, *BOARDS])
def running(request: pytest.FixtureRequest) -> Iterator[RunningBoard]:
    with start(request.param, ROOT) as board:
        yield board


def mpremote(running: RunningBoard, *arguments: object, status: int = 0) -> str:
    """What it prints. It may wait for ever, so it gets some seconds only."""
    command = [sys.executable, "-m", "mpremote", "connect", running.port, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout.replace("\r\n", "\n")


def test_exec_eval_and_an_error(running: RunningBoard) -> None:
    assert mpremote(running, "exec", "print(6 * 7)", "eval", "2 ** 70") == f"42\n{2**70}\n"
    assert "ZeroDivisionError" in mpremote(running, "exec", "1 / 0", status=1)


def test_cp_there_and_back(running: RunningBoard, tmp_path: Path) -> None:
    contents = bytes(range(256)) * 20
    (tmp_path / "there").write_bytes(contents)
    mpremote(running, "cp", tmp_path / "there", ":kept")
    assert " kept\n" in mpremote(running, "ls")
    mpremote(running, "cp", ":kept", tmp_path / "back", "+", "rm", ":kept")
    assert (tmp_path / "back").read_bytes() == contents
    assert " kept\n" not in mpremote(running, "ls")


def test_mount(running: RunningBoard, tmp_path: Path) -> None:
    (tmp_path / "from_the_host.py").write_text("WORDS = 'words'\n")
    code = (
        "import from_the_host\n"
        "with open('of_the_board', 'w') as file: print(file.write(from_the_host.WORDS * 1000))\n"
    )
    assert mpremote(running, "mount", tmp_path, "exec", code).endswith("\n5000\n")
    assert (tmp_path / "of_the_board").read_text() == "words" * 1000


def test_after_our_tools_and_our_tools_after_it(running: RunningBoard, tmp_path: Path) -> None:
    with Board.open(running.port, press_reset=running.reset) as board:
        Files(board).put("ours", b"words")
        board.exec("name = 1")
    # Ours leave a board at its prompt; mpremote resets it softly, unless told to resume.
    assert mpremote(running, "resume", "eval", "name") == "1\n"
    assert mpremote(running, "cat", ":ours", "+", "rm", ":ours").startswith("words")
    (tmp_path / "theirs").write_bytes(b"theirs")
    mpremote(running, "cp", tmp_path / "theirs", ":theirs")
    with Board.open(running.port, press_reset=running.reset) as board:
        assert board.eval("open('theirs').read()") == "theirs"
        assert Files(board).remove("theirs")
        with pytest.raises(NoAnswer):
            board.exec("while True: pass", timeout=0.3)
    assert mpremote(running, "exec", "print(1)") == "1\n"  # it interrupts what runs


def test_a_library_that_we_deployed(running: RunningBoard, tmp_path: Path) -> None:
    """A small one: the whole takes its time on some boards."""
    package = tmp_path / "lib" / "sesstab"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = '1'\nfrom .other import WORDS\n")
    (package / "other.py").write_text("WORDS = 'words'\n")
    first = "import sys; sys.path.remove('.frozen'); sys.path.append('.frozen')\n"
    with Board.open(running.port, press_reset=running.reset) as board:
        board.exec(first)
        assert deploy(board, tmp_path).sent
    assert mpremote(running, "exec", first + "import sesstab; print(sesstab.WORDS)") == "words\n"
