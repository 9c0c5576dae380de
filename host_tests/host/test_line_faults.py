"""Hundreds of operations over a line with faults; and that wrong files, late answers, other errors are seen.

host_tests/soak/line.py has what must hold, and runs thousands.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sesstab_tools.files import Files
from sesstab_tools.repl import Board

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "host_tests" / "soak"))

faulty_line = importlib.import_module("faulty_line")
soak = importlib.import_module("line")

NEVER = 1e12


@pytest.fixture
def harness() -> Iterator[Any]:
    """On a line without faults."""
    with soak.faulty_board(1, NEVER) as (virtual, line):
        yield soak.Harness(virtual, line, 1)


@pytest.mark.slow
def test_operations_over_a_line_with_faults() -> None:
    results = soak.soak_operations(400, 5, print)
    for operation in ("exec", "eval", "put", "get", "sums"):
        assert results[f"{operation} right"] > 10
    assert sum(count for name, count in results.items() if "raised" in name) > 40


@pytest.mark.slow
def test_deployments_over_a_line_with_faults() -> None:
    assert sum(soak.soak_deployments(4, 5, print).values()) == 4


def test_faults_are_where_the_seed_puts_them_however_bytes_come() -> None:
    data = bytes(range(256)) * 40
    spoiled = []
    for size in (1, 7, 4096):
        direction = faulty_line.Direction("a seed", 300)
        result = b""
        for start in range(0, len(data), size):
            try:
                result += direction.spoil(data[start : start + size])
            except faulty_line.Unplugged:
                break
        spoiled.append((result if size == 1 else spoiled[0][0][: len(result)], direction.faults))
        assert spoiled[0][0].startswith(result)
    assert spoiled[0][1] == spoiled[1][1] == spoiled[2][1]
    assert sum(spoiled[0][1].values()) > 5
    assert spoiled[0][0] != data[: len(spoiled[0][0])]


def test_without_faults_all_is_right(harness: Any) -> None:
    harness.wait_for(soak.CALM_TIMEOUT)
    for _ in range(60):
        harness.operate()
    assert {name.split()[1] for name in harness.results} == {"right"}


def test_a_file_that_put_lost_is_seen(harness: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sesstab_tools.files._RENAME", "import os\nos.rename({old!r}, {new!r} + 'x')")
    monkeypatch.setattr(Files, "_check", lambda *_: None)
    with pytest.raises(soak.Wrong, match="after put right: "):
        for _ in range(60):
            harness.operate()


def test_another_file_that_changed_is_seen(harness: Any) -> None:
    (harness.virtual.files / "b.bin").write_bytes(b"changed")
    with pytest.raises(soak.Wrong, match=r"b\.bin has b'changed'"):
        harness.operate()


def test_an_answer_that_is_late_is_seen(harness: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Board.exec

    def slow(*args: object, **options: object) -> bytes:
        time.sleep(soak.TIMEOUT + soak.LATE + 0.1)
        return run(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Board, "exec", slow)
    with pytest.raises(soak.Wrong, match="exec took"):
        harness.exec()


def test_a_board_that_does_not_recover_is_seen(harness: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Board, "_synchronize", lambda *_: False)
    monkeypatch.setattr(soak, "RECOVERY_TIME", 0.1)
    monkeypatch.setattr(harness.board, "_press_reset", None)
    with pytest.raises(soak.Wrong, match="did not come back"):
        harness.recover()
