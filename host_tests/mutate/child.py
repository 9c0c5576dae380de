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
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, ModuleType

import pytest
from argued import SURVIVED
from mutants import ROOT, Mutant

_PATHS = [str(ROOT / "host_tests" / folder) for folder in ("cpython", "ccore")]
sys.path[:0] = _PATHS

import _sesstab  # noqa: E402, F401
import device_tests  # noqa: E402

del sys.path[: len(_PATHS)]

LIB = ROOT / "lib"
SECONDS = 600
CORE_TESTS = [ROOT / "host_tests" / "host" / name for name in ("test_core_table.py", "test_snapshot_core.py")]
SLOW = ("asan", "compiles", "sanitizers", "wide", "65535")  # these compile the core anew, or take seconds
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


class Child:
    """A process of its own for what is asked of a mutant, in an empty folder."""

    def __init__(self, scratch: Path, cpu_seconds: int) -> None:
        self._scratch = scratch
        self._cpu_seconds = cpu_seconds

    def run(self, function: Callable[[], tuple[bool, str]]) -> tuple[bool, str]:
        """What the function returns: whether all is well, and what it says. Else the signal that ended it."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                self._limit()
                with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
                    os.chdir(folder)
                    well, said = function()
                    os.chdir("/")
                os.write(writing, said.encode())
                os._exit(0 if well else 1)
            finally:
                os._exit(3)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            return False, signal.Signals(os.WTERMSIG(status)).name
        return os.WEXITSTATUS(status) == 0, said

    def _limit(self) -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (self._cpu_seconds, self._cpu_seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.alarm(SECONDS)
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)


class DeviceTests:
    """Those that have found mutants lately come first, then the fast ones."""

    def __init__(self, scratch: Path) -> None:
        self._child = Child(scratch, cpu_seconds=4)  # they take 1
        self._order = [name for module in device_tests.modules() for name in device_tests.names_in(module)]

    def run(self, engine: str, library: Path | None = None, mutant: Mutant | None = None) -> str:
        """SURVIVED, or which test fails, or the signal that ended it."""
        well, said = self._child.run(lambda: self._first_failure(engine, library, mutant))
        if well:
            self._order = said.split()
            return SURVIVED
        if said in self._order:
            self._order.remove(said)
            self._order.insert(0, said)
        return said or "the tests do not load"

    def _first_failure(self, engine: str, library: Path | None, mutant: Mutant | None) -> tuple[bool, str]:
        """The first test that fails; or all of them in the order of their duration."""
        durations: dict[str, float] = {}
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
            return False, name
        return True, "\n".join(sorted(durations, key=durations.__getitem__))


class CoreTests:
    """The host's tests of the core, but some."""

    def __init__(self, scratch: Path) -> None:
        self._child = Child(scratch, cpu_seconds=30)  # they take 5

    def run(self, library: Path) -> str:
        _, said = self._child.run(lambda: self._run(library))
        return said

    def _run(self, library: Path) -> tuple[bool, str]:
        device_tests.select("native")
        device_tests.use_core(library)
        failed = FirstFailure()
        options = ["-x", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", f"-c={ROOT}/pyproject.toml"]
        options += ["-k", " and ".join(f"not {word}" for word in SLOW)]
        pytest.main([*options, *map(str, CORE_TESTS)], [failed])
        return not failed.name, failed.name or SURVIVED


class FirstFailure:
    """A plugin that keeps the name of the test that fails."""

    name = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.name = report.nodeid
