"""Which lines and branches of source files programs run: in Python by coverage.py, in C by gcc and gcov.

A branch is each way out of each condition, so that for C's `a && b` every outcome of a and of b counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

# What is always inlined would count once for each place, where some of its conditions are constant.
GCC = ["gcc", "--coverage", "-O0", "-std=c99", "-Dalways_inline=noinline"]


class Failed(Exception):
    """What was to be measured does not run."""


@dataclass
class Measured:
    """How often a file's lines were run, and its branches: the line, and what tells them apart there."""

    lines: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    branches: dict[tuple[int, object], int] = field(default_factory=lambda: defaultdict(int))

    def missing(self) -> list[str]:
        lines = {line for line, count in self.lines.items() if not count}
        branches = {line for (line, _), count in self.branches.items() if not count} - lines
        found = [(line, "line") for line in lines] + [(line, "branch") for line in branches]
        return [f"{what} {line}" for line, what in sorted(found)]


def run(command: Sequence[object], folder: Path) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(words)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def measure_python(folder: Path, source: Path, programs: list[list[object]]) -> dict[Path, Measured]:
    """The files below `source`, while programs run, each in a folder of its own below `folder`."""
    coverage = [sys.executable, "-m", "coverage"]
    for number, program in enumerate(programs):
        scratch = folder / str(number)
        scratch.mkdir()
        options = ["--branch", f"--source={source}", f"--data-file={folder}/.coverage.{number}"]
        run([*coverage, "run", *options, *program], scratch)
    run([*coverage, "combine", "--quiet"], folder)
    run([*coverage, "json", "--quiet", "-o", "report.json"], folder)
    report = json.loads((folder / "report.json").read_text())
    return {Path(folder, name): _from_coverage(found) for name, found in report["files"].items()}


def _from_coverage(report: dict[str, list]) -> Measured:
    measured = Measured()
    for kind, count in (("executed", 1), ("missing", 0)):
        measured.lines.update(dict.fromkeys(report[f"{kind}_lines"], count))
        measured.branches.update(dict.fromkeys(map(tuple, report[f"{kind}_branches"]), count))
    return measured


def add_c(folder: Path, below: Path, measured: dict[Path, Measured]) -> None:
    """Adds what programs compiled in `folder` with GCC have run of the files below `below`."""
    for data in folder.glob("*.gcda"):
        report = json.loads(
            run(["gcov", "--json-format", "--stdout", "--branch-probabilities", data], folder)
        )
        for file in report["files"]:
            path = Path(report["current_working_directory"], file["file"])
            if path.is_relative_to(below):
                _add_gcov(measured.setdefault(path, Measured()), file)


def _add_gcov(measured: Measured, file: dict[str, list]) -> None:
    for line in file["lines"]:
        number = line["line_number"]
        measured.lines[number] += line["count"]
        for which, branch in enumerate(line["branches"]):
            measured.branches[number, (line.get("function_name"), which)] += branch["count"]
