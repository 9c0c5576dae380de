"""What both engines cost on emulated boards stays within the budget, and the check finds what does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sesstab_tools.board_bench import OPERATIONS, STORM, report
from sesstab_tools.board_bench_check import BOARDS, compare
from sesstab_tools.targets import ENGINES

ROOT = Path(__file__).resolve().parents[2]
BUDGET = ROOT / "tools" / "bench" / "boards_budget.json"


def counts(**operations: int) -> dict[str, dict[str, dict[str, int]]]:
    return {"A": {"pure": operations}}


def test_a_regression_beyond_10_percent_is_named() -> None:
    assert compare(counts(hit=1000, miss=1000), counts(hit=1101, miss=1100)) == [
        "A, pure, hit 1101, were 1000: +10.1 %"
    ]


def test_what_is_no_longer_measured_is_a_regression() -> None:
    assert compare(counts(hit=1, miss=1), counts(hit=1)) == ["A, pure, miss: not measured"]
    assert compare(counts(hit=1), {}) == ["A, pure, hit: not measured"]


def test_the_budget_has_every_operation_of_both_engines() -> None:
    budget = json.loads(BUDGET.read_text())
    assert set(budget) == set(BOARDS)
    for engines in budget.values():
        assert set(engines) == set(ENGINES)
        for operations in engines.values():
            assert set(operations) == set(OPERATIONS.values())
            assert all(count > 0 for count in operations.values())


def figures(us: float, **more: Any) -> dict[str, Any]:
    sizes = {"64": {**dict.fromkeys(OPERATIONS, us), STORM: 3 * us, "size_of": 1000, "heap_bytes": 1010}}
    heap = {"from": "somewhere", "heap_before": 5000, "heap_after": 4000}
    return {"sizes": sizes, **heap, **more}


def test_the_page_has_counts_ratios_and_worst_cases() -> None:
    results = {
        "M0": {
            "unit": "cycles",
            "per_us": 125,
            "pure": figures(100.0, alike={"64": dict.fromkeys(OPERATIONS, 250.0)}),
            "native": figures(10.0, alike={"64": dict.fromkeys(OPERATIONS, 10.0)}),
        },
        "M3": {"unit": "instructions", "per_us": 1000, "pure": figures(8.0), "native": figures(2.0)},
        "X": {"pure": figures(1.0), "native": figures(1.0)},
    }
    lines = report(results).splitlines()
    assert "| lookup, found | 64 | 12500 | 1250 | 10.0 | 100.0 | 10.0 |" in lines
    assert "| lookup, found | 64 | 8000 | 2000 | 4.0 |" in lines
    assert "| lookup, found, ids alike | 64 | 250.0 | 2.5 | 10.0 | 1.0 |" in lines
    assert "| one insertion, all others expired | 64 | 300.0 | 3.0 | 30.0 | 3.0 |" in lines
    assert "| 64 | 1000 | 1010 | 1000 | 1010 |" in lines
    assert "| X | native | somewhere | 5000 | 1000 | 4000 |" in lines
    assert [line for line in lines if line.startswith("#")] == [
        "### M0",
        "### M3",
        "### Worst cases on M0",
        "### Heap",
    ]


@pytest.mark.slow
def test_neither_engine_costs_more_than_its_budget() -> None:
    """Renew it with `python -m sesstab_tools.board_bench_check --budget`, where more is worth it."""
    command = [sys.executable, "-m", "sesstab_tools.board_bench_check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
