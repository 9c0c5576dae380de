"""CBMC shows what prove.c claims, of the smallest table; and each claim can fail.

Each bug is a change of one place in a copy of the core, and the proof named beside it must fail, for the
reason given. A bug that no longer fits its source fails the test: then write it anew.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DRIVER = ROOT / "host_tests" / "prove" / "run.py"

specification = importlib.util.spec_from_file_location("prove_run", DRIVER)
assert specification and specification.loader
run = importlib.util.module_from_spec(specification)
sys.modules["prove_run"] = run  # dataclasses look their module up
specification.loader.exec_module(run)

pytestmark = pytest.mark.slow

# The proofs that take seconds; `make prove` does the others, and all of a larger table.
QUICK = [
    "reset", "clear", "up_ref", "free", "eviction", "flush_sessions", "update_cache", "set_times",
    "settings", "next",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cbmc() -> None:
    setup = subprocess.run([ROOT / run.SETUP], capture_output=True, text=True)
    if setup.returncode != 0:
        pytest.fail(f"nothing was proved: no CBMC, and {run.SETUP} says: {setup.stderr.strip()}")


def size_for(name: str) -> Any:
    """The smallest that shows it: one session is in no order."""
    return run.FULL if name == "eviction" else run.QUICK


@pytest.mark.parametrize("name", QUICK)
def test_proof_goes_through(name: str, tmp_path: Path) -> None:
    proof = run.PROOFS[name]
    size = size_for(name)
    report = run.prove(proof, size, run.compile_proofs(proof.program, size, tmp_path))
    assert report.properties > 50 and report.reached >= 1


# Bugs: the proof that has to see it, what is replaced, by what, and what then does not hold.
BUGS = {
    "secrets stay": (
        "free", "    zero(&slot_at(t, i)->lengths, t->stride - 2u);", "", "slots_are_right(v)"
    ),
    "the next slot's generation goes": (
        "free", "t->stride - 2u);", "t->stride + 2u);", "pointer outside object bounds"
    ),
    "references wrap": (
        "up_ref", "    if (!s || s->refs == SESSTAB_REFS_MAX)", "    if (!s)", "done == (i != NONE"
    ),
    "references go below zero": (
        "free", " || !s->refs)\n        return 0;\n    uint32_t i", ")\n        return 0;\n    uint32_t i",
        "done == (i != NONE",
    ),
    "stale handles are good": (
        "up_ref", "h >> t->slot_bits == s->generation", "1", "done == (i != NONE"
    ),
    "the ring does not close": (
        "flush_sessions", "    put_as(prev, after, before, wide);\n", "", "ring_is_right(v)"
    ),
    "the chain keeps who left": (
        "flush_sessions", "    bucket_delete(t, i, bucket, wide);\n", "", "chains_are_right(v)"
    ),
    "expires a second early": (
        "flush_sessions", "> s->timeout;", ">= s->timeout;", "!has_expired(WAS(i), at)"
    ),
    "the most recently used goes": (
        "eviction", "evict(t, get(t, t->end, PREV));", "evict(t, get(t, t->end, NEXT));", "!IS_IN(after, k)"
    ),
    "it is never time to clear": (
        "update_cache", "(t->stored & 0xff) == 0xff", "(t->stored & 0xff) == 0x100",
        "asked.flushes == flushes",
    ),
    "contexts are mixed up": (
        "get_session", "if (s->context == context)", "if (1)", "s->context == context"
    ),
    "the bounds miss a session": ("set_times", "        t->newest = s->time;", ";", "slots_are_right(v)"),
    "a cleared slot is lost": (
        "reset", "(uint32_t i = t->end; i-- > 0;)", "(uint32_t i = t->end; i-- > 1;)", "slots_are_right(v)"
    ),
    "a generation comes twice": (
        "new_session", "s->generation + 1u", "s->generation + 0u", "s->generation != WAS(i)->generation"
    ),
    "a callback unsets itself": (
        "add_session_with_callbacks", "if (tells &&", "if (t->config.on_remove &&",
        "IMPLIES(done, live_slot(h) != NONE",
    ),
}  # fmt: skip


def plant(bug: str, folder: Path) -> Path:
    """A copy of the core with the bug."""
    _, old, new, _ = BUGS[bug]
    core = folder / "core"
    shutil.copytree(ROOT / "firmware" / "core", core)
    text = (core / "sesstab.c").read_text()
    assert text.count(old) == 1, f"{bug}: {old!r} is {text.count(old)} times in sesstab.c"
    (core / "sesstab.c").write_text(text.replace(old, new))
    return core


@pytest.mark.parametrize("bug", BUGS)
def test_bug_is_found(bug: str, tmp_path: Path) -> None:
    name, _, _, reason = BUGS[bug]
    proof, size = run.PROOFS[name], size_for(name)
    compiled = run.compile_proofs(proof.program, size, tmp_path, plant(bug, tmp_path))
    with pytest.raises(run.Failure) as failure:
        run.prove(proof, size, compiled)
    assert reason in str(failure.value)
