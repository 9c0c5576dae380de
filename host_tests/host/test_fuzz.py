"""The fuzzers find nothing: not their corpus under sanitizers, nor some seconds of each.

Each bug is a change of one place in a copy of the firmware, or in the Python code while a test runs. The
corpus has to find it, so that a harness that sees nothing cannot pass. A bug that no longer fits its source
fails the test: then write it anew.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FUZZ = ROOT / "host_tests" / "fuzz"
sys.path.insert(0, str(FUZZ))

run = importlib.import_module("run")

pytestmark = pytest.mark.slow

SECONDS = 10
NAMES = list(run.TARGETS)


@pytest.mark.parametrize("name", NAMES)
def test_corpus_finds_nothing(name: str) -> None:
    target = run.TARGETS[name]
    assert run.replay(target) == f"{len(list(target.corpus.iterdir()))} inputs"


@pytest.mark.parametrize("name", NAMES)
def test_some_seconds_of_fuzzing_find_nothing(name: str) -> None:
    target = run.TARGETS[name]
    reason = run.why_not(target, "libfuzzer")
    if reason:
        pytest.fail(f"{name} was not fuzzed: {reason}")
    report = run.fuzz(target, SECONDS)
    print(report)
    assert int(report.split()[0]) > 100


def test_corpus_is_small() -> None:
    assert sum(file.stat().st_size for file in run.CORPUS.rglob("*") if file.is_file()) < 200_000


# Bugs in C: the target that has to see it, the file, what is replaced, by what.
CORE, SNAPSHOT, TLS = "core/sesstab.c", "core/sesstab_snapshot.c", "tls/sesstab_mbedtls.c"
BUGS = {
    "a hit does not renew the place": (
        "core", CORE, "            renew(t, i);\n", ""
    ),
    "expires a second early": ("core", CORE, "now - s->time > s->timeout", "now - s->time >= s->timeout"),
    "future sessions are good": ("core", CORE, "s->time > now ||", ""),
    "secrets stay": ("core", CORE, "    zero(&slot_at(t, i)->lengths, t->stride - 2u);", ""),
    "stale handles are good": ("core", CORE, " && h >> t->slot_bits == s->generation", ""),
    "contexts are no walls": ("core", CORE, "if (s->context == context) {", "if (1) {"),
    "the most recent is evicted": ("core", CORE, "evict(t, get(t, t->end, PREV))",
                                   "evict(t, get(t, t->end, NEXT))"),
    "a timeout is not counted": ("core", CORE, "        t->timeouts++;", ""),
    "references wrap": ("core", CORE, "!s || s->refs == SESSTAB_REFS_MAX", "!s"),
    "on_remove may add": ("core", CORE, "    t->busy = 1;", "    t->busy = 0;"),
    "the checksum is ignored": (
        "snapshot", SNAPSHOT, "get(end, CRC_SIZE) != crc_of(snapshot, size - CRC_SIZE)", "0"
    ),
    "a record may end late": ("snapshot", SNAPSHOT, "< fields + r->id_len + r->data_len", "< fields"),
    "bytes may follow": ("snapshot", SNAPSHOT, "    if (at != end)\n        return SESSTAB_DAMAGED;\n", ""),
    "an age may exceed the timeout": ("snapshot", SNAPSHOT, " || r->age > r->timeout", ""),
    "the oldest are loaded": ("snapshot", SNAPSHOT, "wanted-- <= room", "loaded < room"),
    "snapshot is rejuvenated": ("snapshot", SNAPSHOT, "r->age + elapsed;", "r->age;"),
    "tickets of any length": ("tls", TLS, "len != TICKET_SIZE || ", ""),
    "who must authenticate resumes by ticket": (
        "tls", TLS, " && a->config->authmode == MBEDTLS_SSL_VERIFY_NONE\n", "\n"
    ),
    "a ticket is good for ever": ("tls", TLS, "int removed = remove_entry(t, entry);", "int removed = 1;"),
    "a ticket's reference is lost": ("tls", TLS, "    sesstab_free(t, h);\n    return restored ?",
                                     "    return restored ?"),
    "tickets have no context": ("tls", TLS, "ticket, TICKET_SIZE, a->context)",
                                "ticket, TICKET_SIZE, 0)"),
    "an unverified server's session is offered": (
        "tls", TLS, "(!data[VERIFIED] && c->authmode != MBEDTLS_SSL_VERIFY_NONE) || ", ""
    ),
    "another server's session is offered": ("tls", TLS, "memcmp(name, data + NAME, NAME_SIZE) != 0", "0"),
}  # fmt: skip


def plant(bug: str, folder: Path) -> Path:
    """A copy of the firmware with the bug."""
    _, file, old, new = BUGS[bug]
    firmware = folder / "firmware"
    for folder in ("core", "tls"):
        shutil.copytree(ROOT / "firmware" / folder, firmware / folder)
    text = (firmware / file).read_text()
    assert text.count(old) == 1, f"{bug}: {old!r} is {text.count(old)} times in {file}"
    (firmware / file).write_text(text.replace(old, new))
    return firmware


@pytest.mark.parametrize("bug", BUGS)
def test_bug_in_c_is_found_by_the_corpus(bug: str, tmp_path: Path) -> None:
    name, firmware = BUGS[bug][0], plant(bug, tmp_path)
    program = run.compile_target(run.TARGETS[name], "replay", firmware, tmp_path / "program")
    with pytest.raises(run.Finding):
        run.replay(run.TARGETS[name], [program])


def replay_here(name: str) -> None:
    target = importlib.import_module(name)
    for file in sorted(run.TARGETS[name].corpus.iterdir()):
        target.test_one_input(file.read_bytes())


def without_deadline(self: object, deadline: object) -> bytes:
    while not (data := self.line.receive(deadline.remaining)):  # type: ignore[attr-defined]
        pass
    return bytes(data)


def nothing_is_damaged(buf: object, size: int, out: bytearray, at: int) -> None:
    if at == 0:
        out[0:4] = bytes(memoryview(buf)[size : size + 4])  # type: ignore[arg-type]


PYTHON_BUGS: dict[str, tuple[str, str, str, object]] = {
    "waits for ever": ("repl", "sesstab_tools.repl", "Board._read_some", without_deadline),
    "a silent program has not ended": (
        "repl",
        "sesstab_tools.repl",
        "Program._check_silence",
        lambda self, deadline: None,
    ),
    "eval lets errors out": ("repl", "sesstab_tools.repl", "ProtocolError", KeyError),
    "the checksum is ignored": ("snapshot_both", "sesstab.format", "_crc_of", nothing_is_damaged),
    "widths are not canonical": ("snapshot_both", "sesstab.format", "_width_of", lambda timeout: 4),
    "nothing is loaded": ("snapshot_both", "sesstab.format", "_insert", lambda *_: 0),
}


@pytest.mark.parametrize("bug", PYTHON_BUGS)
def test_bug_in_python_is_found_by_the_corpus(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, module, place, wrong = PYTHON_BUGS[bug]
    replay_here(name)
    monkeypatch.setattr(f"{module}.{place}", wrong)
    with pytest.raises((AssertionError, KeyError, ValueError)):
        replay_here(name)


def test_driver_names_input_and_command(tmp_path: Path) -> None:
    """What a finding says runs that input again."""
    target = run.TARGETS["core"]
    script = tmp_path / "program"
    first = next(target.corpus.iterdir())
    script.write_text(f"#!/bin/sh\necho 'input {first}' >&2\necho 'it broke' >&2\nexit 1\n")
    script.chmod(0o755)
    with pytest.raises(run.Finding) as finding:
        run.replay(target, [script])
    assert "it broke" in str(finding.value)
    assert str(finding.value).endswith(f"again: {run.how_to_reproduce(target, first)}")


def test_fuzzing_finds_a_bug_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From nothing: no corpus. And its finding is an input that the command it names runs."""
    target = run.TARGETS["core"]
    reason = run.why_not(target, "libfuzzer")
    if reason:
        pytest.fail(f"core was not fuzzed: {reason}")
    firmware = plant("secrets stay", tmp_path)
    program = run.compile_target(target, "libfuzzer", firmware, tmp_path / "program")
    monkeypatch.setattr(run, "CORPUS", tmp_path / "corpus")
    monkeypatch.setattr(run, "BUILD", tmp_path)
    with pytest.raises(run.Finding) as finding:
        run.fuzz(target, 60, program)
    command, path = str(finding.value).splitlines()[-1].removeprefix("again: ").split()
    assert Path(path).parent == tmp_path / "findings" / "core" and Path(path).exists()
    assert command == str(tmp_path / "bin" / "core-replay")


def test_driver_exits_with_1_when_there_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find(target: object) -> str:
        raise run.Finding("it broke")

    monkeypatch.setattr(sys, "argv", ["run.py", "--replay", "repl"])
    assert run.main() == 0
    monkeypatch.setattr(run, "replay", find)
    assert run.main() == 1
    assert capsys.readouterr().out.splitlines()[-2:] == ["repl: FINDING", "it broke"]
