"""Whether the tests notice a mutant: they run in a child process that has the mutant in place of the file.

The child is a fork of a process that has compiled the tests and read the C core's headers, so that most
mutants are judged in a tenth of a second. Tests run until one fails: first those that have found mutants
lately, then the fast ones. Mutants of lib/ run with the pure engine; those of the core are compiled with
gcc -O0 and put behind the native one. What loops uses up its CPU time, what waits its time, what takes all
memory gets no more.

What survives that is judged again: mutants of lib/ on MicroPython, where allocations can be seen; those of
the core by the fuzzers' corpus under sanitizers, unless gcc -O2 makes the same code as of the original.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

from argued import EQUIVALENT, INVALID, SURVIVED
from mutants import ROOT, Mutant
from sesstab_tools.virtual import find_micropython

IMPORTED = [str(ROOT / "host_tests" / folder) for folder in ("cpython", "ccore", "fuzz")]
sys.path[:0] = IMPORTED

import _sesstab  # noqa: E402, F401
import device_tests  # noqa: E402
import run as fuzz  # noqa: E402

del sys.path[: len(IMPORTED)]

CORE = ROOT / "firmware" / "core"
LIB = ROOT / "lib"
ON_MICROPYTHON = Path(__file__).with_name("on_micropython.py")
SOURCES = [CORE / "sesstab.c", CORE / "sesstab_snapshot.c"]
CPU_SECONDS = 10  # all tests take 2
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


class Judge:
    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.objects = {source: self._compile(source, source) for source in SOURCES}
        self.order = [name for module in device_tests.modules() for name in device_tests.names_in(module)]
        for engine, library in (("pure", None), ("native", self._library(self.objects))):
            found = self._run(engine, library)
            if found != SURVIVED:
                sys.exit(f"without a mutant, the tests fail with the {engine} engine: {found}")

    def verdict(self, mutant: Mutant) -> str:
        """SURVIVED, or how it was found out."""
        return self._python(mutant) if mutant.path.suffix == ".py" else self._c(mutant)

    def _python(self, mutant: Mutant) -> str:
        try:
            compile(mutant.mutated, str(mutant.path), "exec")
        except SyntaxError:
            return INVALID
        verdict = self._run("pure", mutant=mutant)
        return self._on_micropython(mutant) if verdict == SURVIVED else verdict

    def _on_micropython(self, mutant: Mutant) -> str:
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            lib = Path(folder, "lib")
            shutil.copytree(LIB, lib)
            (lib / mutant.path.relative_to(LIB)).write_text(mutant.mutated)
            command = [find_micropython(), "-X", "heapsize=4M", ON_MICROPYTHON, lib, device_tests.DEVICE]
            try:
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
            except subprocess.TimeoutExpired:
                return "on MicroPython, an endless loop"
        return SURVIVED if done.returncode == 0 else done.stdout.strip() or "MicroPython crashes"

    # ---- C ----

    def _c(self, mutant: Mutant) -> str:
        source = self.scratch / f"mutant-{os.getpid()}.c"
        source.write_text(mutant.mutated)
        try:
            compiled = self._compile(source, mutant.path)
        except subprocess.CalledProcessError:
            return INVALID
        verdict = self._run("native", self._library({**self.objects, mutant.path: compiled}))
        if verdict == SURVIVED and self._is_same_code(source, mutant.path):
            return EQUIVALENT
        return self._by_corpus(mutant) if verdict == SURVIVED else verdict

    def _by_corpus(self, mutant: Mutant) -> str:
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            firmware = Path(folder, "firmware")
            shutil.copytree(CORE, firmware / "core")
            (firmware / mutant.path.relative_to(CORE.parent)).write_text(mutant.mutated)
            for name in ("core", "snapshot"):
                target = fuzz.TARGETS[name]
                program = fuzz.compile_target(target, "replay", firmware, Path(folder, name))
                try:
                    fuzz.replay(target, [program])
                except fuzz.Finding:
                    return f"the fuzzers' corpus for {name}"
        return SURVIVED

    def _compile(self, source: Path, original: Path, level: str = "-O0") -> Path:
        out = self.scratch / f"{source.stem}{level}.o"
        command = ["gcc", "-std=c99", "-w", level, "-fPIC", f"-I{original.parent}", "-c", source, "-o", out]
        subprocess.run(command, check=True, capture_output=True)
        return out

    def _library(self, objects: dict[Path, Path]) -> Path:
        out = self.scratch / f"core-{os.getpid()}.so"
        subprocess.run(["gcc", "-shared", *objects.values(), "-o", out], check=True, capture_output=True)
        return out

    def _is_same_code(self, source: Path, original: Path) -> bool:
        """Does the compiler make the same of both, where it optimises?"""
        mutated = self._compile(source, original, "-O2").read_bytes()
        source.write_bytes(original.read_bytes())  # under the same name, which is in the object
        return mutated == self._compile(source, original, "-O2").read_bytes()

    # ---- The child ----

    def _run(self, engine: str, library: Path | None = None, mutant: Mutant | None = None) -> str:
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
            self.order = said.split()
            return SURVIVED
        if said in self.order:
            self.order.remove(said)
            self.order.insert(0, said)
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
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            os.chdir(folder)
            failed = self._first_failure(engine, library, mutant, durations)
            os.chdir("/")
        said = "\n".join(sorted(durations, key=durations.__getitem__)) if failed is None else failed
        os.write(out, said.encode())
        os._exit(0 if failed is None else 1)

    def _first_failure(
        self, engine: str, library: Path | None, mutant: Mutant | None, durations: dict[str, float]
    ) -> str | None:
        if mutant:
            sys.meta_path.insert(0, MutatedFinder(mutant))  # type: ignore[arg-type]
        if engine == "pure":
            del sys.modules["_sesstab"]
        device_tests.select(engine)
        name = ""
        try:
            if library:
                device_tests.use_core(library)
            tests = {
                name: test for path in device_tests.modules() for name, test in device_tests.tests_of(path)
            }
            for name in self.order:
                start = time.monotonic()
                tests[name]()
                durations[name] = time.monotonic() - start
        except BaseException:  # whatever a mutant may raise
            return name
        return None
