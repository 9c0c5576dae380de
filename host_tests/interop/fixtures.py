"""Fixtures of the tests that have a board face others: import what a test module needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sesstab_tools.certificates import Certificate, make_certificate

from interop.board import TARGETS, InteropBoard

KINDS = ("ec", "rsa")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Certificate]:
    folder = tmp_path_factory.mktemp("certificates")
    return {kind: make_certificate(folder, kind) for kind in KINDS}


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def board(target: str, tmp_path: Path, certificates: dict[str, Certificate]) -> Iterator[InteropBoard]:
    with InteropBoard(target, tmp_path, certificates) as board:
        yield board
