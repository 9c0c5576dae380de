"""A repository with device tests of its own, for tests of what runs them."""

from __future__ import annotations

import shutil
from pathlib import Path

from sesstab_tools.deploy import find_root


def make_project(folder: Path, **modules: str) -> Path:
    """Puts the library into the folder, and `modules` beside each other as its device tests."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(find_root() / "lib", folder / "lib", ignore=ignored)
    tests = folder / "host_tests" / "device"
    tests.mkdir(parents=True)
    for name, source in modules.items():
        (tests / f"{name}.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p sesstab_tools.pytest_plugin\n")
    return folder
