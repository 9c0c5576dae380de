"""The soak, its short form; and that it finds bugs: changes of one place in the engine while a turn runs."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "host_tests" / "soak" / "run.py"
sys.path[:0] = [str(ROOT / "host_tests" / folder) for folder in ("soak", "device")]

soak = importlib.import_module("soak")
pure = importlib.import_module("sesstab.pure")


@pytest.mark.slow
def test_a_hundredth_of_an_hour() -> None:
    done = subprocess.run(
        [sys.executable, RUN, "--hours", "0.01"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    host, board = done.stdout.splitlines()[-2:]
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


def churn_pure() -> object:
    return soak.Churn(pure.SessionTable).turn(20)


def lockstep() -> object:
    return [soak.lockstep_turn(seed, seed, 2000) for seed in range(6)]


def reuse_pure() -> object:
    return soak.reuse((pure.SessionTable, soak.TableModel), (1, 1), 65535)


def generations_are_few(self: object, *args: object, **options: object) -> None:
    INIT(self, *args, **options)
    self._generation_max -= 1  # type: ignore[attr-defined]


INIT = pure.SessionTable.__init__
BUGS: dict[str, tuple[str, object, Callable[[], object]]] = {
    "the future is good": (
        "_is_expired",
        lambda self, slot, now: not now or now - self._created[slot] > self._lifetimes[slot],
        churn_pure,
    ),
    "the time need not be known": (
        "_is_expired",
        lambda self, slot, now: (
            self._created[slot] > now > 0 or now - self._created[slot] > self._lifetimes[slot]
        ),
        churn_pure,
    ),
    "bounds are not kept": ("_note_times", lambda self, slot: None, lockstep),
    "references are not counted": ("up_ref", lambda self, h: 1, lockstep),
    "a free slot is lost": ("_free_slot", lambda self, slot: None, lockstep),
    "a generation comes round early": ("__init__", generations_are_few, reuse_pure),
}


@pytest.mark.parametrize("bug", BUGS)
def test_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, wrong, turn = BUGS[bug]
    monkeypatch.setattr(pure.SessionTable, name, wrong)
    with pytest.raises(AssertionError):
        turn()
