"""Fuzzes a module of this folder that has test_one_input: atheris_main.py MODULE [libFuzzer's arguments].

With --replay FILE... instead, it runs it on files; with --merge OUT FOLDER..., it copies to OUT as few of the
folders' files as run through the same lines. Neither needs atheris.
"""

import hashlib
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tools"), str(HERE.parents[1] / "lib")]


def files_of(paths):
    files = []
    for path in map(Path, paths):
        files += sorted(path.iterdir()) if path.is_dir() else [path]
    return files


def replay(module, paths):
    target = importlib.import_module(module)
    files = files_of(paths)
    for file in files:
        print("input", file, file=sys.stderr)
        target.test_one_input(file.read_bytes())
    print(len(files), "inputs")


def steps_of(target, data):
    """The pairs of lines of ours that one input runs through, one after the other."""
    steps = set()

    def trace(frame, event, _):
        name = frame.f_code.co_filename
        if "sesstab" not in name:
            return None
        last = frame.f_lineno

        def trace_line(frame, event, _):
            nonlocal last
            steps.add((name, last, frame.f_lineno, event))
            last = frame.f_lineno
            return trace_line

        return trace_line

    sys.settrace(trace)
    try:
        target.test_one_input(data)
    finally:
        sys.settrace(None)
    return steps


def merge(module, out, paths):
    target = importlib.import_module(module)
    seen = set()
    for data in sorted({file.read_bytes() for file in files_of(paths)}, key=lambda data: (len(data), data)):
        steps = steps_of(target, data)
        if not steps <= seen:
            seen |= steps
            (Path(out) / hashlib.sha1(data).hexdigest()).write_bytes(data)


def fuzz(module, arguments):
    import atheris

    with atheris.instrument_imports(include=["sesstab_tools", "sesstab"]):
        target = importlib.import_module(module)
    atheris.Setup([module, *arguments], target.test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[2:3] == ["--replay"]:
        replay(sys.argv[1], sys.argv[3:])
    elif sys.argv[2:3] == ["--merge"]:
        merge(sys.argv[1], sys.argv[3], sys.argv[4:])
    else:
        fuzz(sys.argv[1], sys.argv[2:])
