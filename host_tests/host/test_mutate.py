"""A sample of mutants is noticed by the tests; and what makes, judges and reports mutants does so rightly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MUTATE = ROOT / "host_tests" / "mutate"
sys.path.insert(0, str(MUTATE))

import argued  # noqa: E402
from mutants import Mutant, c_changes, mutants_of, python_changes  # noqa: E402

SAMPLE = 12  # of each file
NOTICED, SURVIVED = "a test", "survived"


def changed(text: str, changes: object, name: str) -> list[str]:
    """The one line with this in it, as each mutant has it."""
    lines = []
    for start, end, new in sorted(set(changes(text))):  # type: ignore[operator]
        found = Mutant(ROOT / name, text, start, end, new).change()
        lines.append(found.partition(" -> ")[2])
    return lines


@pytest.mark.parametrize(
    ("line", "mutated"),
    [
        ("while a < 3 and b:", ["while a <= 3 and b:", "while a >= 3 and b:", "while a < 4 and b:",
                                "while a < 2 and b:", "while a < 3 or b:", "while not (a < 3 and b):"]),
        ("if not a in b:", ["if a in b:", "if not a not in b:"]),
        ("if a is not None:", ["if a is None:"]),
        ("if a(0):", ["if a(1):", "if not (a(0)):"]),
        ("for i in (True,):", ["for i in (False,):"]),
    ],
)  # fmt: skip
def test_conditions_in_python(line: str, mutated: list[str]) -> None:
    assert sorted(changed(f"{line}\n    f()\n", python_changes, "lib/a.py")) == sorted(mutated)


@pytest.mark.parametrize(
    ("line", "mutated"),
    [
        ("a = b << c", ["pass", "a = b >> c"]),
        ("a += b", ["pass", "a -= b"]),
        ("a(b)", ["pass"]),
        ("raise a('%d' % b)", ["pass"]),
        ("return a", ["return None"]),
        ("return 0", ["return 1"]),
        ('"""Text, which is no mutant\'s business: 1 + 1."""', []),
    ],
)
def test_statements_in_python(line: str, mutated: list[str]) -> None:
    assert sorted(changed(f"def f():\n    {line}\n", python_changes, "lib/a.py")) == sorted(mutated)


@pytest.mark.parametrize(
    ("line", "mutated"),
    [
        ("if (a == 0x10u || !b)", ["if (a != 0x10u || !b)", "if (a == 17u || !b)", "if (a == 15u || !b)",
                                   "if (a == 0x10u && !b)", "if (a == 0x10u || b)",
                                   "if (!(a == 0x10u || !b))"]),
        ("if (a->b)", ["if (!(a->b))"]),
        ("if (!a)", ["if (a)"]),
        ("if (a->b < c)", ["if (a->b <= c)", "if (a->b >= c)"]),
        ("while (a--)", ["while (!(a--))", "while (a++)"]),
        ("return a ? b : -1;", ["return a && 0 ? b : -1;", "return a || 1 ? b : -1;", "return a ? b : -2;",
                                "return a ? b : -0;"]),
        ("*a++ = b;", [";", "*a-- = b;"]),
        ("int *a = &b; /* 1 + 1 */", []),
        ("f(*a, (char *)b, a[i] + b);", [";", "f(*a, (char *)b, a[i] - b);"]),
    ],
)  # fmt: skip
def test_lines_of_c(line: str, mutated: list[str]) -> None:
    text = f"#define A 1\n\nint f(int a)\n{{\n    {line}\n}}\n"
    assert sorted(changed(text, c_changes, "firmware/core/a.c")) == sorted(mutated)


def test_names_say_where_and_are_unique(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mutants.ROOT", tmp_path)
    path = tmp_path / "a.py"
    path.write_text("class A:\n    def f(self):\n        a()\n        a()\n")
    assert [(mutant.name, mutant.line) for mutant in mutants_of(path)] == [
        ("a.py A.f: a() -> pass", 3),
        ("a.py A.f: a() -> pass (2)", 4),
    ]


def test_all_files_have_mutants_with_names_of_their_own() -> None:
    for path in (ROOT / "firmware" / "core" / "sesstab.c", ROOT / "lib" / "sesstab" / "pure.py"):
        mutants = mutants_of(path)
        assert len(mutants) > 500
        assert len({mutant.name for mutant in mutants}) == len(mutants)
        assert all(mutant.mutated != mutant.text for mutant in mutants)


# ---- What is argued ----


def mutant(name: str) -> Mutant:
    return Mutant(ROOT / "lib" / "a.py", "a = 1\n", 4, 5, "2", name)


def test_complaints() -> None:
    because = {"b": "equal", "c": "equal", "d": "equal"}
    verdicts = {mutant("a"): SURVIVED, mutant("b"): SURVIVED, mutant("c"): NOTICED, mutant("e"): NOTICED}
    assert argued.complaints(verdicts, because, {"a", "b", "c", "e"}) == [
        "lib/a.py:1: no test notices\n    a",
        "lib/a.py:1: argued, but a test notices\n    c",
        "argued, but there is no such mutant\n    d",
    ]


def test_table_counts_each_mutant_once() -> None:
    verdicts = {mutant("a"): SURVIVED, mutant("b"): SURVIVED, mutant("c"): NOTICED}
    assert argued.table(verdicts, {"b": "equal"}).splitlines()[1].split() == [
        "lib/a.py", "3", "1", "0", "1", "1"
    ]  # fmt: skip


def test_every_argument_has_words_and_mutants() -> None:
    for name, because in argued.read().items():
        assert " -> " in name
        assert len(because.split()) > 4, name


# ---- Judging ----


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, MUTATE / "run.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_a_sample_of_mutants_is_noticed() -> None:
    done = run("--sample", SAMPLE, "--jobs", 1)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = done.stdout.splitlines()[1:-1]
    assert len(rows) == 9
    assert all(int(row.split()[1]) in (1, SAMPLE) for row in rows)
