"""What became of the mutants, and which of the survivors are argued in argued.toml."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

from mutants import ROOT, Mutant

ARGUED = Path(__file__).with_name("argued.toml")

SURVIVED = "survived"
INVALID = "does not compile"
EQUIVALENT = "compiles to the same code"

Verdicts = dict[Mutant, str]  # another one is what noticed the mutant


def read() -> dict[str, str]:
    """The argued mutants' names, and why each changes nothing that can be seen."""
    groups = tomllib.loads(ARGUED.read_text())["argument"]
    return {name: group["because"] for group in groups for name in group["mutants"]}


def table(verdicts: Verdicts, argued: dict[str, str]) -> str:
    """For each file: how many mutants were noticed, and what became of the others."""
    rows = [f"{'':34} {'mutants':>8} {'noticed':>8} {'same code':>10} {'argued':>8} {'survive':>8}"]
    for path in dict.fromkeys(mutant.path for mutant in verdicts):
        found = Counter(
            "argued" if verdict == SURVIVED and mutant.name in argued else verdict
            for mutant, verdict in verdicts.items()
            if mutant.path == path and verdict != INVALID
        )
        same, told, left = found[EQUIVALENT], found["argued"], found[SURVIVED]
        noticed = found.total() - same - told - left
        name = str(path.relative_to(ROOT))
        rows.append(f"{name:34} {found.total():8} {noticed:8} {same:10} {told:8} {left:8}")
    return "\n".join(rows)


def complaints(verdicts: Verdicts, argued: dict[str, str], known: set[str]) -> list[str]:
    """What must not be. `known` are the names of all mutants that there are."""
    result = []
    for mutant, verdict in verdicts.items():
        where = f"{mutant.path.relative_to(ROOT)}:{mutant.line}"
        if verdict == SURVIVED and mutant.name not in argued:
            result.append(f"{where}: no test notices\n    {mutant.name}")
        elif verdict != SURVIVED and mutant.name in argued:
            result.append(f"{where}: argued, but {verdict} notices\n    {mutant.name}")
    return result + [
        f"argued, but there is no such mutant\n    {name}" for name in argued if name not in known
    ]
