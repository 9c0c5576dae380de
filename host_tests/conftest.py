"""Fixtures for tests that need a board."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sesstab_tools.repl import Board
from sesstab_tools.virtual import VirtualBoard, unix_board


@pytest.fixture
def virtual_board() -> Iterator[VirtualBoard]:
    """A fresh board: stock MicroPython for unix behind a pty, with an empty file system."""
    with unix_board() as board:
        yield board


@pytest.fixture
def board(virtual_board: VirtualBoard) -> Iterator[Board]:
    """A client connected to a fresh virtual board."""
    with Board.open(virtual_board.port, press_reset=virtual_board.reset) as client:
        yield client
