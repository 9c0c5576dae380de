"""The device tests within this process, on CPython: for what measures or changes the code while they run.

    python host_tests/cpython/device_tests.py pure
    python host_tests/cpython/device_tests.py native LIBRARY     with a build of the core of one's own

It does what pytest and a raw REPL do on every target, but for a fresh interpreter for each module. Tests
write files: start it in an empty folder. Exit status 1 when a test fails, with its traceback.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DEVICE = ROOT / "host_tests" / "device"


def select(engine: str) -> None:
    """Makes `engine` the one that `import sesstab` gives."""
    ccore = [ROOT / "host_tests" / "ccore"] if engine == "native" else []
    sys.path[:0] = [str(path) for path in (ROOT / "lib", DEVICE, Path(__file__).parent, *ccore)]


def use_core(library: Path) -> None:
    """Puts another build of the core behind the native engine."""
    import _sesstab

    _sesstab.lib = _sesstab.ffi.dlopen(str(library))


def modules() -> list[Path]:
    return sorted(DEVICE.glob("test_*.py"))


@cache
def code_of(module: Path) -> CodeType:
    return compile(module.read_text(), str(module), "exec")


def names_in(module: Path) -> list[str]:
    names = [name for name in code_of(module).co_names if name.startswith("test_")]
    return [f"{module.stem}::{name}" for name in names]


def tests_of(module: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """A module's tests, loaded anew, and their names."""
    namespace: dict[str, Any] = {"__name__": module.stem}
    exec(code_of(module), namespace)
    for name in names_in(module):
        yield name, namespace[name.partition("::")[2]]


def main() -> int:
    select(sys.argv[1])
    for library in sys.argv[2:]:
        use_core(Path(library))
    status = 0
    for module in modules():
        for name, test in tests_of(module):
            try:
                test()
            except Exception:
                print(f"{name}:\n{traceback.format_exc()}", file=sys.stderr)
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
