"""Whether tests notice a mutant, and which.

First the device tests on CPython: with the pure engine for a mutant of lib/, with the native one for a mutant
of the core, which is compiled with gcc -O0 for that. What survives is judged again: mutants of lib/ on
MicroPython, where allocations can be seen; those of the core by the host's tests of it and by the fuzzers'
corpus under sanitizers, unless gcc -O2 makes the same code of them as of the original.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from argued import EQUIVALENT, INVALID, SURVIVED
from child import LIB, SECONDS, CoreTests, DeviceTests
from mutants import ROOT, Mutant
from sesstab_tools.virtual import find_micropython

sys.path.insert(0, str(ROOT / "host_tests" / "fuzz"))
import run as fuzz

CORE = ROOT / "firmware" / "core"
SOURCES = [CORE / "sesstab.c", CORE / "sesstab_snapshot.c"]
DEVICE = ROOT / "host_tests" / "device"
ON_MICROPYTHON = Path(__file__).with_name("on_micropython.py")


class Judge:
    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.tests = DeviceTests(scratch)
        self.core_tests = CoreTests(scratch)
        self.objects = {source: self._compile(source, source) for source in SOURCES}
        for engine, library in (("pure", None), ("native", self._library(self.objects))):
            found = self.tests.run(engine, library)
            if found != SURVIVED:
                sys.exit(f"without a mutant, the tests fail with the {engine} engine: {found}")

    def verdict(self, mutant: Mutant) -> str:
        """SURVIVED, INVALID, EQUIVALENT, or what noticed it."""
        return self._python(mutant) if mutant.path.suffix == ".py" else self._c(mutant)

    # ---- Python ----

    def _python(self, mutant: Mutant) -> str:
        try:
            compile(mutant.mutated, str(mutant.path), "exec")
        except SyntaxError:
            return INVALID
        verdict = self.tests.run("pure", mutant=mutant)
        return self._on_micropython(mutant) if verdict == SURVIVED else verdict

    def _on_micropython(self, mutant: Mutant) -> str:
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            lib = Path(folder, "lib")
            shutil.copytree(LIB, lib)
            (lib / mutant.path.relative_to(LIB)).write_text(mutant.mutated)
            command = [find_micropython(), "-X", "heapsize=4M", ON_MICROPYTHON, lib, DEVICE]
            try:
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
            except subprocess.TimeoutExpired:
                return "on MicroPython, an endless loop"
        return SURVIVED if done.returncode == 0 else done.stdout.strip() or "on MicroPython, a crash"

    # ---- C ----

    def _c(self, mutant: Mutant) -> str:
        source = self.scratch / f"mutant-{os.getpid()}.c"
        source.write_text(mutant.mutated)
        try:
            compiled = self._compile(source, mutant.path)
        except subprocess.CalledProcessError:
            return INVALID
        library = self._library({**self.objects, mutant.path: compiled})
        verdict = self.tests.run("native", library)
        if verdict == SURVIVED and self._is_same_code(source, mutant.path):
            return EQUIVALENT
        if verdict == SURVIVED:
            verdict = self.core_tests.run(library)
        return self._by_corpus(mutant) if verdict == SURVIVED else verdict

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
        mutated = self._compile(source, original, "-O2").read_bytes()
        source.write_bytes(original.read_bytes())  # under the same name, which is in the object
        return mutated == self._compile(source, original, "-O2").read_bytes()

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
