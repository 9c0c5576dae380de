"""The benchmark: its tables are tables, its figures are what it says, and its check finds a regression."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sesstab_tools import host_bench
from sesstab_tools.host_bench import FLOOR, OURS, WOLFSSL_PLACES, summary
from sesstab_tools.host_bench_check import compare
from sesstab_tools.host_bench_page import HOSTILE, SLOW, TABLES, USUAL, markdown, why_not
from sesstab_tools.page import number

ROOT = Path(__file__).resolve().parents[2]
SIZE = 64
OWN = ("floor", "linear scan", OURS)
# Which library a table needs, in build/peers.
LIBRARIES = {
    "BearSSL": "bearssl",
    "Mbed TLS 2.28": "mbedtls-2.28",
    "Mbed TLS 3.6": "mbedtls-3.6",
    "OpenSSL": "openssl",
    "wolfSSL": "wolfssl",
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    yield host_bench.build(ROOT, tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def verified(programs: tuple[Path, Path]) -> dict[tuple[str, int], dict[str, int]]:
    """What `host_bench verify` says, by table and size."""
    names = ["all", "wrong", "strangers", "oldest", "newest", "rest", "removed", "expired"]
    facts = {}
    for line in host_bench.run([str(programs[0]), "verify", "16", "64", "1024"]).splitlines():
        table, size, *values = line.split("\t")
        facts[table, int(size)] = dict(zip(names, map(int, values), strict=True))
    return facts


def facts_of(verified: dict[tuple[str, int], dict[str, int]], table: str, size: int = SIZE) -> dict[str, int]:
    library = LIBRARIES.get(table)
    if library and library in host_bench.missing(ROOT):
        pytest.fail(f"no build/peers/{library}: tools/setup/peers.sh")
    return verified[table, size]


# ---- The tables ----


@pytest.mark.parametrize("size", [16, 64, 1024])
@pytest.mark.parametrize("table", [t for t in TABLES if t != "wolfSSL"])
def test_a_table_keeps_as_many_sessions_as_were_asked_for(verified: Any, table: str, size: int) -> None:
    facts = facts_of(verified, table, size)
    assert facts["all"] == size
    assert facts["wrong"] == 0, "secrets that are not those stored"
    assert facts["strangers"] == 0, "sessions that were never added, or differ in the last byte"


@pytest.mark.parametrize("size", [16, 64, 1024])
@pytest.mark.parametrize("table", [t for t in TABLES if t != "wolfSSL"])
def test_one_more_session_takes_the_place_of_the_oldest(verified: Any, table: str, size: int) -> None:
    """Or of the least recently used, which is the same one there."""
    facts = facts_of(verified, table, size)
    assert (facts["oldest"], facts["newest"], facts["rest"]) == (0, 1, size - 1)


def test_wolfssl_loses_some_sessions_of_a_full_table_and_mixes_none_up(verified: Any) -> None:
    facts = facts_of(verified, "wolfSSL", 1024)
    assert 1024 * 3 // 4 < facts["all"] < 1024
    assert (facts["wrong"], facts["strangers"], facts["newest"]) == (0, 0, 1)


def test_wolfssl_has_the_sizes_that_were_compiled(verified: Any) -> None:
    facts_of(verified, "wolfSSL", 1024)
    assert {size for table, size in verified if table == "wolfSSL"} == {1024}
    assert set(WOLFSSL_PLACES) == {"medium", "big", "huge"}


@pytest.mark.parametrize("table", [OURS, "BearSSL", "Mbed TLS 3.6", "OpenSSL"])
def test_a_removed_session_is_gone(verified: Any, table: str) -> None:
    assert facts_of(verified, table)["removed"] == 1  # it said so, and was not found again


@pytest.mark.parametrize("table", [OURS, "Mbed TLS 2.28", "Mbed TLS 3.6"])
def test_an_expired_session_is_not_found(verified: Any, table: str) -> None:
    assert facts_of(verified, table)["expired"] == 0


@pytest.mark.parametrize("table", ["floor", "linear scan", "BearSSL", "OpenSSL"])
def test_a_table_that_looks_at_no_timeout_is_not_credited_with_it(verified: Any, table: str) -> None:
    assert facts_of(verified, table)["expired"] > 0


# ---- The figures ----


def test_every_table_takes_part_in_every_workload_that_it_can_do(programs: tuple[Path, Path]) -> None:
    times = host_bench.measure_times(programs[0], [SIZE], 3)
    there = {table for table in TABLES if table in OWN or LIBRARIES[table] not in host_bench.missing(ROOT)}
    for workload in USUAL + HOSTILE:
        for table in there:
            # 64 sessions are filled in no time, so a dash must have another reason.
            reason = why_not(SIZE, workload, table)
            can = reason == SLOW
            assert ((SIZE, workload, table) in times) == can, (workload, table, reason)
    assert all(ns > 0 for values in times.values() for ns in values)
    assert {len(values) for values in times.values()} == {3}


def test_the_memory_is_what_the_core_says(programs: tuple[Path, Path]) -> None:
    results = host_bench.measure_memory(programs[1], [SIZE])
    ours = next(result for result in results if result["table"] == OURS)
    assert 95 < ours["bytes"] < 115
    assert set(ours["allocations"].values()) == {0}


def test_openssl_allocates_and_that_is_counted(programs: tuple[Path, Path]) -> None:
    if "openssl" in host_bench.missing(ROOT):
        pytest.fail("no build/peers/openssl: tools/setup/peers.sh")
    results = host_bench.measure_memory(programs[1], [SIZE])
    theirs = next(result for result in results if result["table"] == "OpenSSL")
    assert theirs["allocations"]["insert when full"] >= 2
    assert theirs["bytes"] > 500


def test_ratios_are_of_the_same_round() -> None:
    samples = {(16, "hit", OURS): [10.0, 20.0, 10.0], (16, "hit", "OpenSSL"): [20.0, 40.0, 30.0]}
    theirs = next(result for result in summary(samples) if result["table"] == "OpenSSL")
    assert theirs["ratio"] == {"of_min": 2.0, "q1": 2.0, "median": 2.0, "q3": 2.5}
    assert theirs["ns"]["min"] == 20.0


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4, "0.40"), (5.16, "5.2"), (9.96, "10"), (999.4, "999"), (21234.0, "21.2k"), (1.5e5, "150k")],
)
def test_a_figure_has_as_many_digits_as_mean_something(value: float, text: str) -> None:
    assert number(value) == text


def test_the_page_gives_a_reason_for_every_dash(programs: tuple[Path, Path]) -> None:
    times = summary(host_bench.measure_times(programs[0], [16], 3))
    rest: dict[str, Any] = {"instructions": [], "memory": [], "machine": "m", "compiler": "c", "versions": {}}
    page = markdown({"times": times, **rest})
    used = {page[i + 3 : i + 4] for i in range(len(page)) if page.startswith("- (", i)}
    assert used and all(f"({note}) " in page.splitlines()[-1] for note in used)


# ---- The check ----


def baseline_of(counts: dict[str, tuple[float, float]], **changes: str) -> dict[str, Any]:
    tree = {workload: {OURS: ours, FLOOR: floor} for workload, (ours, floor) in counts.items()}
    return {"compiler": "gcc 1", "machine": "x", **changes, "instructions": {"64": tree}}


def test_a_regression_beyond_5_percent_is_named() -> None:
    before = baseline_of({"hit": (100, 50), "miss": (100, 50)})
    how, worse = compare(before, baseline_of({"hit": (106, 50), "miss": (105, 50)}))
    assert how.startswith("instructions per operation")
    assert worse == ["hit, 64 sessions: instructions 106, were 100: +6.0 %"]


def test_what_is_no_longer_measured_is_a_regression() -> None:
    _, worse = compare(baseline_of({"hit": (100, 50), "miss": (1, 1)}), baseline_of({"hit": (90, 50)}))
    assert worse == ["miss, 64 sessions: not measured"]


def test_another_compiler_is_compared_by_the_floor() -> None:
    before = baseline_of({"hit": (100, 50), "miss": (100, 50)})
    after = baseline_of({"hit": (240, 100), "miss": (260, 100)}, compiler="gcc 2")
    how, worse = compare(before, after)
    assert how.startswith(
        "instructions were not compared: the baseline is for gcc 1 on x, here is gcc 2 on x"
    )
    assert worse == ["miss, 64 sessions: times the floor 2.6, were 2: +30.0 %"]


@pytest.mark.slow
def test_the_core_takes_no_more_instructions_than_the_baseline() -> None:
    command = [sys.executable, "-m", "sesstab_tools.host_bench_check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_a_slower_core_is_found(tmp_path: Path) -> None:
    """A core that hashes an id twice: everything that looks an id up must be named."""
    program, _ = host_bench.build(ROOT, tmp_path / "good", peers=False)
    slow = tmp_path / "root"
    for folder in ("tools/bench", "firmware/core"):
        shutil.copytree(ROOT / folder, slow / folder)
    adapter = slow / "tools/bench/table_sesstab.c"
    call = "    return sesstab_free(table, sesstab_get_session(table, id, TABLE_ID_SIZE, 0));"
    text = adapter.read_text()
    assert text.count(call) == 1
    adapter.write_text(text.replace(call, f"    sesstab_has_session(table, id, TABLE_ID_SIZE);\n{call}"))
    worse_program, _ = host_bench.build(slow, tmp_path / "slow", peers=False)

    def tree(which: Path) -> dict[str, Any]:
        counts = host_bench.measure_counts(which, [SIZE])
        values = {w: (c, counts.get((n, w, FLOOR), 1.0)) for (n, w, t), c in counts.items() if t == OURS}
        return json.loads(json.dumps(baseline_of(values)))  # type: ignore[no-any-return]

    good = tree(program)
    assert compare(good, good)[1] == []
    named = {line.split(", 64")[0] for line in compare(good, tree(worse_program))[1]}
    assert {"hit", "miss", "hit, 16 bytes alike"} <= named
    assert not any(name.startswith("insert") for name in named)
