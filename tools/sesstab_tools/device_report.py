"""A page about a run of the device tests, from pytest's JUnit file: what to attach to a bug report.

The tests' properties in that file say which target and engine they ran on, and what runs there (facts.py).
"""

from __future__ import annotations

import platform
import shlex
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from .errors import BoardError

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
_SHOWN = 5  # failures with their tracebacks; of the others, the names
_LINES = 30  # of a traceback


@dataclass(frozen=True)
class Result:
    """One test's."""

    name: str
    outcome: str
    seconds: float
    text: str
    """Why it failed."""
    properties: dict[str, str]

    @property
    def target(self) -> tuple[str, str]:
        return self.properties.get("target", "?"), self.properties.get("engine_under_test", "?")


def write_report(junit: Path, command: Sequence[str]) -> str:
    """The page, in Markdown; `command` is how to get it again."""
    try:
        suite = ElementTree.parse(junit).getroot().find("testsuite")
    except (OSError, ElementTree.ParseError) as error:
        raise BoardError(f"{junit} is no JUnit file: {error}") from error
    if suite is None:
        raise BoardError(f"{junit} is no JUnit file: it has no testsuite")
    results = [_result(case) for case in suite.iter("testcase")]
    return (
        "\n\n".join(
            [
                _title(results, suite.get("timestamp", "")),
                f"    {shlex.join(command)}",
                *_targets(results),
                *_failures([result for result in results if result.outcome == FAILED]),
            ]
        )
        + "\n"
    )


def _result(case: ElementTree.Element) -> Result:
    outcome, text = PASSED, ""
    for child in case:
        if child.tag in ("failure", "error"):
            outcome, text = FAILED, child.text or ""
        elif child.tag == "skipped":
            outcome = SKIPPED
    properties = {entry.get("name", ""): entry.get("value", "") for entry in case.iter("property")}
    file = case.get("classname", "").rpartition(".")[2]
    name = f"{file}.py::{case.get('name', '')}"
    return Result(name, outcome, float(case.get("time", 0)), text, properties)


def _title(results: Sequence[Result], timestamp: str) -> str:
    count = Counter(result.outcome for result in results)
    summary = ", ".join(
        f"{count[outcome]} {outcome}" for outcome in (FAILED, PASSED, SKIPPED) if count[outcome]
    )
    host = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return (
        f"# Device tests: {summary or 'none ran'}\n\n"
        f"{timestamp[:19].replace('T', ' ')}, sesstab-tools {version('sesstab-tools')} on {host}"
    )


def _targets(results: Sequence[Result]) -> list[str]:
    """A table of what ran where, and one of what the boards are."""
    targets = {result.target: result for result in results}
    for result in results:
        if "firmware" in result.properties:
            targets[result.target] = result
    counts = [_count(target, [result for result in results if result.target == target]) for target in targets]
    boards = {target: _board(result.properties) for (target, _), result in sorted(targets.items())}
    return (
        [
            _table(["target", "engine", FAILED, PASSED, SKIPPED, "seconds"], sorted(counts)),
            _table(
                ["target", "firmware", "machine", "heap, bytes", "free at the prompt", "sesstab"],
                [[target, *cells] for target, cells in boards.items()],
            ),
        ]
        if targets
        else []
    )


def _count(target: tuple[str, str], results: Sequence[Result]) -> list[str]:
    count = Counter(result.outcome for result in results)
    seconds = sum(result.seconds for result in results)
    return [*target, *(str(count[outcome]) for outcome in (FAILED, PASSED, SKIPPED)), f"{seconds:.1f}"]


def _board(facts: dict[str, str]) -> list[str]:
    if "firmware" not in facts:
        return ["did not answer", "", "", "", ""]
    heap, free = ("" if facts[name] == "None" else facts[name] for name in ("heap", "free"))
    return [facts["firmware"], facts["machine"], heap, free, f"{facts['sesstab']} ({facts['engine']})"]


def _failures(failed: Sequence[Result]) -> list[str]:
    parts = [f"## {result.name}\n\n```\n{_cut(result.text)}\n```" for result in failed[:_SHOWN]]
    if failed[_SHOWN:]:
        names = "\n".join(f"- {result.name}" for result in failed[_SHOWN:])
        parts.append(f"## Also failed\n\n{names}")
    return parts


def _cut(text: str) -> str:
    lines = text.rstrip().splitlines()
    if len(lines) > _LINES:
        lines = [*lines[: _LINES // 2], f"... {len(lines) - _LINES} lines ...", *lines[-_LINES // 2 :]]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
