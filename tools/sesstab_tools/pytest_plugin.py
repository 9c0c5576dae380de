"""pytest plugin: runs the device tests on every target, with every engine.

The tests in the folder that the ini option `device_tests` names are plain functions with assert. They are
found by reading the source (the host never imports it), and each becomes one item a target and engine:
host_tests/device/test_table.py::test_add[unix-native].
"""

from __future__ import annotations

import ast
import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .deploy import find_root
from .errors import BoardError, DeviceException
from .facts import Facts
from .targets import (
    ENGINES,
    QUICK,
    TargetBoards,
    TargetId,
    default_targets,
    port_name,
    probe_engines,
    readable_traceback,
    target_names,
)

_BOARDS = pytest.StashKey[TargetBoards]()
_TARGETS = pytest.StashKey[list[TargetId]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sesstab", "device tests")
    group.addoption(
        "--target",
        action="append",
        metavar="NAME",
        help="cpython, unix, unix-c, or a board that has an emulator",
    )
    group.addoption("--port", action="append", metavar="URL", help="run device tests on the board there")
    group.addoption("--engine", action="append", choices=ENGINES, help="with this engine only")
    group.addoption(
        "--device-timeout", type=float, default=180.0, metavar="SECONDS", help="for one device test"
    )
    parser.addini("device_tests", "the folder of the device tests", default="host_tests/device")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "slow: takes long; `make test-quick` leaves it out, and pytest -n starts where most of them are",
    )
    tests = (config.rootpath / config.getini("device_tests")).resolve()
    try:
        root = find_root(config.rootpath)
        config.stash[_TARGETS] = _selected_targets(config, root)
    except BoardError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[_BOARDS] = TargetBoards(root, tests, config.getoption("--device-timeout"))


def pytest_unconfigure(config: pytest.Config) -> None:
    if _BOARDS in config.stash:
        config.stash[_BOARDS].close()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a pytest-xdist worker what was found out about the ports, which only one process can open."""
    node.workerinput["sesstab_targets"] = [
        (name.target, name.engine, name.port) for name in node.config.stash[_TARGETS]
    ]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """pytest -n: one worker for all that a target runs with an engine, and for a test file of the host.

    Each board is then started once, and a port is opened by one process.
    """
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class TargetScheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return _group(config, nodeid)

    if config.getvalue("dist") in ("no", "each"):
        return None
    config.option.loadscopereorder = False  # which would start with the groups that have most tests
    return TargetScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In workers, groups with many slow tests come first: at the end no worker is alone with one of them."""
    if hasattr(config, "workerinput"):
        slow = Counter(_group(config, item.nodeid) for item in items if item.get_closest_marker("slow"))
        items.sort(key=lambda item: -slow[_group(config, item.nodeid)])


def _group(config: pytest.Config, nodeid: str) -> str:
    file, _, test = nodeid.partition("::")
    groups = {f"[{target}]": target.group for target in config.stash[_TARGETS]}
    return groups.get(test[test.find("[") :], file)


def pytest_report_header(config: pytest.Config) -> str:
    return "device tests on: " + (", ".join(str(name) for name in config.stash[_TARGETS]) or "no target")


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if module_path.parent == parent.config.stash[_BOARDS].tests:
        collector: pytest.Collector = DeviceTestFile.from_parent(parent, path=module_path)
        return collector
    return None


class DeviceTestFile(pytest.File):
    """A test module that targets execute."""

    def collect(self) -> Iterator[DeviceTest]:
        tests = list(self._functions())
        for target in self.config.stash[_TARGETS]:
            for function in tests:
                yield DeviceTest.from_parent(
                    self, name=f"{function.name}[{target}]", function=function, target=target
                )

    def _functions(self) -> Iterable[ast.FunctionDef]:
        try:
            tree = ast.parse(self.path.read_text(encoding="utf-8"), str(self.path))
        except SyntaxError as error:
            raise self.CollectError(f"{self.path}:{error.lineno}: {error.msg}") from error
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                if node.args.args or node.args.posonlyargs or node.args.kwonlyargs:
                    where = f"{self.path}:{node.lineno}"
                    raise self.CollectError(f"{where}: {node.name}: device tests take no arguments")
                yield node


class DeviceTest(pytest.Item):
    """One test function on one target with one engine."""

    def __init__(self, *, function: ast.FunctionDef, target: TargetId, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._function = function
        self._target = target
        if target.port is None and target.target not in QUICK:
            self.add_marker("slow")

    def runtest(self) -> None:
        target = self.config.stash[_BOARDS].target(self._target)
        try:
            output = target.run(self.path, self._function.name)
        except BoardError as error:
            self._report(error.output)
            raise
        finally:
            self._note_facts(target.facts)
        self._report(output)

    def _note_facts(self, facts: Facts | None) -> None:
        """For whoever reads the results (device_report.py), in whatever process this runs."""
        self.user_properties += [("target", self._target.target), ("engine_under_test", self._target.engine)]
        if facts:
            self.user_properties += list(dataclasses.asdict(facts).items())

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        error = excinfo.value
        if isinstance(error, DeviceException):
            return f"on {self._target}: {error.last_line}\n{self._readable(error.traceback)}"
        if isinstance(error, BoardError):
            return self._board_failure(error)
        return super().repr_failure(excinfo)

    def _board_failure(self, error: BoardError) -> str:
        text = f"on {self._target}: {type(error).__name__}: {error}"
        if isinstance(error.__cause__, DeviceException):
            text += f"\nwhen stopped, it was here:\n{self._readable(error.__cause__.traceback)}"
        return text

    def _readable(self, traceback: str) -> str:
        return readable_traceback(traceback, self.path, self.config.stash[_BOARDS].root)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self._function.lineno - 1, self.name

    def _report(self, output: bytes) -> None:
        if output:
            self.add_report_section("call", "stdout", output.decode(errors="replace"))


def _selected_targets(config: pytest.Config, root: Path) -> list[TargetId]:
    if hasattr(config, "workerinput"):
        return [TargetId(*fields) for fields in config.workerinput["sesstab_targets"]]
    ports: list[str] = config.getoption("--port") or []
    named: list[str] = config.getoption("--target") or []
    engines: list[str] = config.getoption("--engine") or []
    known = target_names(root)
    for name in named:
        if name not in known:
            raise pytest.UsageError(f"--target {name}: there are {', '.join(known)}; --port names a board")
    targets = [TargetId(name, engine) for name in named for engine in engines or ENGINES]
    if not named and not ports:
        targets = default_targets(root, engines or ENGINES)
    for port in ports:
        targets += [
            TargetId(port_name(port), engine, port) for engine in engines or probe_engines(port, root)
        ]
    return targets
