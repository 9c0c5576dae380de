"""The device tests in a child process, which has a mutant in place of the file.

A fork of a process that has compiled the tests and read the C core's headers already, so that most mutants
are judged in a tenth of a second. What loops uses up its CPU time, what waits its time, and what takes all
memory gets no more.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

from argued import SURVIVED
from mutants import ROOT, Mutant

_PATHS = [str(ROOT / "host_tests" / folder) for folder in ("cpython", "ccore")]
sys.path[:0] = _PATHS

import _sesstab  # noqa: E402, F401
import device_tests  # noqa: E402

del sys.path[: len(_PATHS)]

LIB = ROOT / "lib"
CPU_SECONDS = 4  # all tests take 1
SECONDS = 120
MEMORY = 4 << 30


class MutatedLoader(importlib.machinery.SourceFileLoader):
    """Loads a module of the package from a mutant's text."""

    text = ""

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.path, "exec", dont_inherit=True)


class MutatedFinder:
    """Puts a mutant in the place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        name = ".".join(mutant.path.relative_to(LIB).with_suffix("").parts).removesuffix(".__init__")
        self.loader = MutatedLoader(name, str(mutant.path))
        self.loader.text = mutant.mutated

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self.loader.name:
            return None
        return importlib.util.spec_from_file_location(name, self.loader.path, loader=self.loader)


class DeviceTests:
    """Those that have found mutants lately come first, then the fast ones."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._order = [name for module in device_tests.modules() for name in device_tests.names_in(module)]

    def run(self, engine: str, library: Path | None = None, mutant: Mutant | None = None) -> str:
        """SURVIVED, or which test fails, or the signal that ended it."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                self._child(engine, library, mutant, writing)
            finally:
                os._exit(3)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            return signal.Signals(os.WTERMSIG(status)).name
        if os.WEXITSTATUS(status) == 0:
            self._order = said.split()
            return SURVIVED
        if said in self._order:
            self._order.remove(said)
            self._order.insert(0, said)
        return said or "the tests do not load"

    def _child(self, engine: str, library: Path | None, mutant: Mutant | None, out: int) -> None:
        """Says the first test that fails, and exits with 1; or all in the order of their duration."""
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.alarm(SECONDS)
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)
        durations: dict[str, float] = {}
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            os.chdir(folder)
            failed = self._first_failure(engine, library, mutant, durations)
            os.chdir("/")
        said = "\n".join(sorted(durations, key=durations.__getitem__)) if failed is None else failed
        os.write(out, said.encode())
        os._exit(0 if failed is None else 1)

    def _first_failure(
        self, engine: str, library: Path | None, mutant: Mutant | None, durations: dict[str, float]
    ) -> str | None:
        name = ""
        try:
            if mutant:
                sys.meta_path.insert(0, MutatedFinder(mutant))  # type: ignore[arg-type]
            if engine == "pure":
                del sys.modules["_sesstab"]
            device_tests.select(engine)
            if library:
                device_tests.use_core(library)
            paths = device_tests.modules()
            tests = {name: test for path in paths for name, test in device_tests.tests_of(path)}
            for name in self._order:
                start = time.monotonic()
                tests[name]()
                durations[name] = time.monotonic() - start
        except BaseException:  # whatever a mutant may raise
            return name
        return None
