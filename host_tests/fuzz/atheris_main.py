"""Fuzzes a module of this folder that has test_one_input: python atheris_main.py MODULE [libFuzzer's arguments].

With --replay FILE... instead, it runs them on files, and needs no atheris.
"""

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tools"), str(HERE.parents[1] / "lib")]


def replay(module, paths):
    target = importlib.import_module(module)
    files = []
    for path in map(Path, paths):
        files += sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files:
        print("input", file, file=sys.stderr)
        target.test_one_input(file.read_bytes())
    print(len(files), "inputs")


def fuzz(module, arguments):
    import atheris

    with atheris.instrument_imports(include=["sesstab_tools", "sesstab"]):
        target = importlib.import_module(module)
    atheris.Setup([module, *arguments], target.test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[2:3] == ["--replay"]:
        replay(sys.argv[1], sys.argv[3:])
    else:
        fuzz(sys.argv[1], sys.argv[2:])
