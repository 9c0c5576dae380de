"""The glue while memory runs out: each allocation of a connection fails once, under ASan.

host_tests/tls/out_of_memory.c is the program, and says what must hold. Full handshakes make tens of thousands
of allocations: the first and last 150 fail, and each 1501st between; with SESSTAB_ALLOCATIONS=every, all.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from sesstab_tools.certificates import make_certificate
from test_tls_glue import SANITIZERS, compile_c

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
GLUE = "firmware/tls/sesstab_mbedtls.c"
SOURCES = ["host_tests/tls/out_of_memory.c", "firmware/core/sesstab.c", "firmware/core/sesstab_snapshot.c"]
WAYS = [("2.28", "id"), ("2.28", "ticket12"), ("3.6", "id"), ("3.6", "ticket12"), ("3.6", "ticket13")]
STEP = "1" if os.environ.get("SESSTAB_ALLOCATIONS") == "every" else "1501"
LINE = re.compile(
    r"(full|resumed)(, and all after it)?: (\d+) allocations, (\d+) failed, (\d+) of these ended"
)


def program(version: str, folder: Path, glue: str = GLUE) -> Path:
    wraps = "-Wl,--wrap=calloc,--wrap=free"
    return compile_c(version, folder / "out_of_memory", *SANITIZERS, wraps, glue, *SOURCES)


def run(program: Path, way: str, folder: Path, step: str = STEP) -> subprocess.CompletedProcess[str]:
    made = make_certificate(folder, "ec")
    command = [program, made.certificate_pem, made.key_pem, made.certificate_pem, way, step]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(("version", "way"), WAYS)
def test_every_allocation_may_fail(version: str, way: str, tmp_path: Path) -> None:
    done = run(program(version, tmp_path), way, tmp_path)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [(kind, *map(int, numbers)) for kind, _, *numbers in LINE.findall(done.stdout)]
    assert [kind for kind, *_ in found] == ["full", "resumed"] * 2
    for _, allocations, failed, ended in found:
        assert failed >= min(allocations, 200)
        assert ended > failed / 2


# What is left out, and what then is wrong.
BUGS = {
    "sesstab_free(c->table, c->offered);": "somebody holds a session",
    "mbedtls_ssl_session_free(ssl->session_negotiate);": "a handshake that has to be a full one",
}


@pytest.mark.parametrize("bug", BUGS)
def test_bug_is_found(bug: str, tmp_path: Path) -> None:
    text = (ROOT / GLUE).read_text()
    assert text.count(bug) == 1
    glue = tmp_path / "glue.c"
    glue.write_text(text.replace(bug, "(void)0;"))
    done = run(program("2.28", tmp_path, str(glue)), "ticket12", tmp_path, "0")
    assert done.returncode != 0
    assert BUGS[bug] in done.stderr
