"""The board unix-c talks as a board does: test_harness_repl.py, once more; and what is frozen in it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sesstab_tools.errors import PortError
from sesstab_tools.virtual import VirtualBoard, unix_c_board
from test_harness_repl import *  # noqa: F403
from user_module import FIRMWARE, ROOT

# Minutes of the inner loop, so `make test` only.
pytestmark = pytest.mark.slow


@pytest.fixture
def virtual_board() -> Iterator[VirtualBoard]:
    with unix_c_board(ROOT) as board:
        yield board


def test_without_firmware_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="make firmware BOARD=UNIX"):
        unix_c_board(tmp_path)


def test_firmware_has_what_it_needs_on_its_own(tmp_path: Path) -> None:
    code = "import asyncio, ssl, sesstab; print(sesstab.ENGINE, ssl.SSLContext(0).verify_mode)"
    done = subprocess.run(
        [str(FIRMWARE), "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("native 0\n", "")
