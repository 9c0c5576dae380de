"""The soak, its short form; and that it finds bugs: changes of one place in the model while a turn runs."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "host_tests" / "soak" / "run.py"
sys.path[:0] = [str(ROOT / "host_tests" / folder) for folder in ("soak", "device")]

soak = importlib.import_module("soak")
model = importlib.import_module("table_model")


@pytest.mark.slow
def test_a_hundredth_of_an_hour() -> None:
    done = subprocess.run(
        [sys.executable, RUN, "--hours", "0.01"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    host = [line for line in done.stdout.splitlines() if line.startswith("host: ")][-1]
    board = done.stdout.splitlines()[-1]
    assert int(host.split()[1].replace(",", "")) >= 200_000
    assert board.startswith("QEMU_MPS2_AN385: 0.01 hours")
    assert "262,140 of reuse" in board


def test_some_calls_on_this_computer() -> None:
    """With the C core, the pure engine and the model."""
    assert soak.Churn(soak.sesstab.SessionTable).turn(20) == 20 * 416
    for shape in range(len(soak.SHAPES)):
        assert soak.lockstep_turn(shape, shape, 500) == 1500
    assert soak.reuse(soak.ENGINES, (1, 1), 65535) == 4 * 3 * 65535
    assert soak.reuse(soak.ENGINES, (20000, 1), 32767) == 4 * 3 * 32767


def churn() -> object:
    return soak.Churn(soak.TableModel).turn(20)


def lockstep() -> object:
    return [soak.lockstep_turn(seed, seed, 2000) for seed in range(6)]


def reuse() -> object:
    return soak.reuse((soak.TableModel, soak.sesstab.pure.SessionTable), (1, 1), 65535)


TURNS = {turn.__name__: turn for turn in (churn, lockstep, reuse)}


def generations_are_few(self: Any, *args: object, **options: object) -> None:
    INIT(self, *args, **options)
    self.uses_max -= 1


INIT = soak.TableModel.__init__
# Of the model, which the tests own: what differs is as wrong there as in an engine.
BUGS: dict[str, tuple[type, str, object, Callable[[], object]]] = {
    "the future is good": (
        model.Session, "is_expired", lambda s, now: now == 0 or now - s.time > s.timeout, churn
    ),
    "the time need not be known": (
        model.Session, "is_expired", lambda s, now: s.time > now > 0 or now - s.time > s.timeout, churn
    ),
    "a slot is lost": (soak.TableModel, "release", lambda self, s: None, churn),
    "references are not counted": (soak.TableModel, "up_ref", lambda self, h: 1, lockstep),
    "a counter does not come round": (soak.TableModel, "sess_misses", lambda self: self.misses, lockstep),
    "what is removed stays for a while": (soak.TableModel, "remove_expired", lambda self, now: 0, lockstep),
    "a generation comes round early": (soak.TableModel, "__init__", generations_are_few, reuse),
}  # fmt: skip


@pytest.mark.parametrize("turn", TURNS)
def test_without_a_bug_nothing_is_found(turn: str) -> None:
    assert TURNS[turn]()


@pytest.mark.parametrize("bug", BUGS)
def test_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, wrong, turn = BUGS[bug]
    monkeypatch.setattr(owner, name, wrong)
    with pytest.raises(AssertionError):
        turn()
