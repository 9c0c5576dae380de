"""Every line and branch of lib/sesstab and firmware/core is run by tests, or the exit status is 1.

    python host_tests/cover/run.py

lib/sesstab is measured under the device tests with both engines, and the host's tests of what firmware may
lack; firmware/core under the device tests with the native engine, the fuzzers' corpus, and the program under
OpenSSL's names. What cannot run on CPython says so where it is: `# pragma: no cover`, and why.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

from measured import GCC, Failed, Measured, add_c, measure_python, run

ROOT = Path(__file__).resolve().parents[2]
HOST_TESTS = ROOT / "host_tests"
DEVICE_TESTS = HOST_TESTS / "cpython" / "device_tests.py"
MISSING_MODULES = HOST_TESTS / "host" / "test_missing_modules.py"
OPENSSL_NAMES = HOST_TESTS / "ccore" / "openssl_names.c"
LIB = ROOT / "lib" / "sesstab"
CORE = ROOT / "firmware" / "core"
SOURCES = [CORE / "sesstab.c", CORE / "sesstab_snapshot.c"]


def measure_lib(folder: Path) -> dict[Path, Measured]:
    programs: list[list[object]] = [
        [DEVICE_TESTS, "pure"],
        [DEVICE_TESTS, "native"],
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", MISSING_MODULES],
    ]
    return measure_python(folder, LIB, programs)


def measure_core(folder: Path) -> dict[Path, Measured]:
    measured: dict[Path, Measured] = {}
    for run_part in (run_device_tests, run_openssl_names, run_corpus):
        part = folder / run_part.__name__
        part.mkdir()
        run_part(part)
        add_c(part, CORE, measured)
    return measured


def run_device_tests(folder: Path) -> None:
    library = folder / "core.so"
    run([*GCC, "-fPIC", "-shared", *SOURCES, "-o", library], folder)
    run([sys.executable, DEVICE_TESTS, "native", library], folder)


def run_openssl_names(folder: Path) -> None:
    program = folder / "program"
    run([*GCC, f"-I{CORE}", OPENSSL_NAMES, *SOURCES, "-o", program], folder)
    run([program], folder)


def run_corpus(folder: Path) -> None:
    sys.path.insert(0, str(HOST_TESTS / "fuzz"))
    import run as fuzz

    for name in ("core", "snapshot"):
        target = fuzz.TARGETS[name]
        fuzz.replay(target, [fuzz.compile_target(target, "coverage", out=folder / name)])


def table(measured: dict[Path, Measured]) -> str:
    rows = [f"{'':36} {'lines':>9} {'branches':>9}  not run"]
    for path, found in sorted(measured.items()):
        cells = []
        for counts in (found.lines, found.branches):
            cells.append(f"{sum(1 for count in counts.values() if count)}/{len(counts)}")
        name = str(path.relative_to(ROOT))
        rows.append(f"{name:36} {cells[0]:>9} {cells[1]:>9}  {', '.join(found.missing())}".rstrip())
    return "\n".join(rows)


def main() -> int:
    if importlib.util.find_spec("coverage") is None:
        sys.exit("this Python has no coverage.py: pip install coverage")
    with tempfile.TemporaryDirectory() as scratch:
        parts = [Path(scratch, name) for name in ("lib", "core")]
        for part in parts:
            part.mkdir()
        try:
            measured = {**measure_lib(parts[0]), **measure_core(parts[1])}
        except Failed as failure:
            sys.exit(f"cannot measure: {failure}")
    print(table(measured))
    missing = sum(len(found.missing()) for found in measured.values())
    if missing:
        print(f"{missing} lines or branches are run by no test: write one, or drop the code", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
