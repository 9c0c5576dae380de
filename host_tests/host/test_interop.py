"""Every cell of docs/interop.md: boards and other TLS implementations resume one another's sessions.

Three witnesses have to agree on each: the other side, the table on the board, and the wire between the two.
"""

# ruff: noqa: F811  (fixtures are imported, and arguments have their names)
from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
from interop.board import BUILT_IN, InteropBoard
from interop.clients import CLIENTS
from interop.fixtures import board, certificates, target  # noqa: F401
from interop.matrix import DOCUMENT, WAYS, expected, render, written
from interop.process import free_port, wait_for_port
from interop.servers import SERVERS, openssl
from interop.wire import BROKEN, FULL_12, FULL_13, ID, TICKET_12, TLS13, Tap
from sesstab_tools.certificates import Certificate

# Minutes of the inner loop, so `make test` only.
pytestmark = pytest.mark.slow

# All cells take a minute: the quick tests are content with one kind of certificate.
each_kind = pytest.mark.parametrize("kind", ["ec", pytest.param("rsa", marks=pytest.mark.slow)])


def page_server(board: InteropBoard, folder: Path) -> int:
    """Starts the example's status page on the board, until stop(). Its port."""
    found = importlib.util.find_spec("microdot")
    assert found and found.origin
    (folder / "microdot").mkdir()
    for name in ("__init__.py", "helpers.py", "microdot.py"):
        shutil.copy(Path(found.origin).with_name(name), folder / "microdot")
    port = free_port()
    board.send(f"asyncio.run(serve_page(context, {port}))")
    wait_for_port(board, port)
    return port


def test_the_document_shows_what_is_tested() -> None:
    assert written() == render(), f"{DOCUMENT}: .venv/bin/python host_tests/interop/matrix.py writes it"


@each_kind
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("client", [name for name in CLIENTS if name != "Chromium"])
def test_server_on_the_board(
    board: InteropBoard, target: str, client: str, way: str, kind: str, tmp_path: Path
) -> None:
    board.run(f"table = SessionTable(8, data_size=54); context = server_context({kind!r})")
    board.run("table.attach(context)")
    how = expected(target, client, way)
    with Tap(board.port) as tap:
        if how == BROKEN:
            board.send("serve(context)")
            with pytest.raises((OSError, AssertionError)):
                assert None not in CLIENTS[client](tap.port, way, tmp_path)
            errors = board.receive()
            assert isinstance(errors, list) and "HANDSHAKE_FAILURE" in errors[0]
            assert tap.seen[0] == BROKEN
            return
        board.send("serve(context, 2)")
        said = CLIENTS[client](tap.port, way, tmp_path)
        assert board.receive() == [None, None]
    assert said == [False, True]
    assert tap.seen == [FULL_13 if way == TLS13 else FULL_12, how]
    # Resumed with TLS 1.3, the client gets a new ticket for the one that is used up.
    stored = 2 if how == TLS13 else 1
    assert stats(board) == {"hits": 1, "misses": 0, "number": 1, "stored": stored}


@each_kind
@pytest.mark.parametrize("way", WAYS)
def test_status_page_in_chromium(
    board: InteropBoard, target: str, way: str, kind: str, tmp_path: Path
) -> None:
    board.run(f"table = SessionTable(8, data_size=54); context = server_context({kind!r}, ssl)")
    board.run("table.attach(context)")
    how = expected(target, "Chromium", way)
    # asyncio's server leaves a connection open when its handshake fails.
    with Tap(page_server(board, tmp_path), 1 if how == BROKEN else 20) as tap:
        if how == BROKEN:
            with pytest.raises(AssertionError, match="ERR_SSL"):
                CLIENTS["Chromium"](tap.port, way, tmp_path)
        else:
            # The first page may come by a connection that resumes already: see below.
            assert CLIENTS["Chromium"](tap.port, way, tmp_path)[1] is True
        board.stop_serving()
    # It opens more connections than it needs: some at once, before it has a session, some for nothing. One of
    # these may get the session that the first page's own connection then offers.
    first = BROKEN if how == BROKEN else FULL_13 if way == TLS13 else FULL_12
    assert tap.seen[0] == first
    assert set(tap.seen) == {first, how}
    assert stats(board)["hits"] == tap.seen.count(how) * (how != BROKEN)


@each_kind
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("server", list(SERVERS))
@pytest.mark.parametrize("target", [BUILT_IN], indirect=True)
def test_client_on_the_board(
    board: InteropBoard,
    server: str,
    way: str,
    kind: str,
    certificates: dict[str, Certificate],
    tmp_path: Path,
) -> None:
    board.run(f"table = SessionTable(8, data_size=600, mode=3); context = client_context({kind!r})")
    with SERVERS[server](certificates[kind], way, tmp_path) as peer, Tap(peer.port) as tap:
        results = [board.run(f"fetch(table, context, {tap.port})") for _ in range(3)]
        said = peer.said([str(page) for _, page in results])  # type: ignore[misc]
    assert said == [False, True, True]
    assert [resumed for resumed, _ in results] == said  # type: ignore[misc]
    assert tap.seen == [FULL_13 if way == TLS13 else FULL_12, way, way]
    counted = stats(board)
    assert (counted["hits"], counted["misses"], counted["number"]) == (2, 1, 1)


@pytest.mark.parametrize("way", [ID, TICKET_12])
@pytest.mark.parametrize("target", [BUILT_IN], indirect=True)
def test_mbedtls_366_refuses_rsa_pss_in_tls12(
    board: InteropBoard, way: str, certificates: dict[str, Certificate], tmp_path: Path
) -> None:
    """A regression of that release; why the servers above keep to PKCS #1 v1.5 in TLS 1.2."""
    is_affected = board.run("tls.MBEDTLS_VERSION.endswith('3.6.6')")
    board.run("table = SessionTable(8, data_size=600, mode=3); context = client_context('rsa')")
    with openssl(certificates["rsa"], way, tmp_path, pss=True) as peer:
        error = board.run(f"refused(fetch, table, context, {peer.port})")
    assert (error is not None and "ILLEGAL_PARAMETER" in str(error)) == is_affected


def stats(board: InteropBoard) -> dict[str, int]:
    return {
        key: value for key, value in board.stats().items() if key in ("hits", "misses", "number", "stored")
    }
