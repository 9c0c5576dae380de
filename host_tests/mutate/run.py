"""Mutation testing: the tests must notice every small change of lib/sesstab and firmware/core that is a bug.

    python host_tests/mutate/run.py                      all mutants, with two processes
    python host_tests/mutate/run.py lib/sesstab/pure.py  those of these files
    python host_tests/mutate/run.py --sample 20          a fixed sample of 20 of each file

What a mutant is, mutants.py says; how it is judged, judge.py. A mutant that no test notices, though it
compiles to other code, has to be argued in argued.toml: why it changes nothing that can be seen. The exit
status is 1 when there is a survivor without an argument, or an argument without a survivor.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import argued
from judge import Judge
from mutants import ROOT, Mutant, mutants_of

FILES = [
    *sorted((ROOT / "lib" / "sesstab").glob("*.py")),
    ROOT / "firmware" / "core" / "sesstab.c",
    ROOT / "firmware" / "core" / "sesstab_snapshot.c",
]
MEMORY = Path("/dev/shm")  # since tests sync their files, which takes most of the time on a disk

_judge: Judge


def sample(mutants: list[Mutant], size: int) -> list[Mutant]:
    """The same ones at every run, as long as they exist."""
    chosen = sorted(mutants, key=lambda mutant: hashlib.sha256(mutant.name.encode()).digest())[:size]
    return sorted(chosen, key=lambda mutant: mutant.start)


def judged(mutants: list[Mutant], jobs: int) -> Iterator[tuple[Mutant, str]]:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as scratch:
        global _judge
        _judge = Judge(Path(scratch))
        with multiprocessing.get_context("fork").Pool(jobs) as pool:
            yield from zip(mutants, pool.imap(_verdict, mutants, chunksize=4))


def _verdict(mutant: Mutant) -> str:
    return _judge.verdict(mutant)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="instead of all")
    parser.add_argument("--sample", type=int, metavar="N", help="N of each file only, always the same")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("--verbose", action="store_true", help="name each mutant and who noticed it")
    chosen = parser.parse_args()
    known = {path: mutants_of(path) for path in FILES}
    files = [path.resolve() for path in chosen.files] or FILES
    for path in files:
        if path not in known:
            parser.error(f"{path} is not mutated; these are: {', '.join(map(str, FILES))}")
    mutants = [
        m for path in files for m in (sample(known[path], chosen.sample) if chosen.sample else known[path])
    ]
    arguments = argued.read()
    start = time.monotonic()
    verdicts = {}
    for mutant, verdict in judged(mutants, chosen.jobs):
        verdicts[mutant] = verdict
        if chosen.verbose:
            print(f"{mutant.name}\n    {verdict}", flush=True)
    print(argued.table(verdicts, arguments))
    print(f"{len(verdicts)} mutants in {time.monotonic() - start:.0f} s")
    names = {mutant.name for found in known.values() for mutant in found}
    wrong = argued.complaints(verdicts, arguments, names)
    for complaint in wrong:
        print(complaint, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
