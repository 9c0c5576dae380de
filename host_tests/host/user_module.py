"""The firmware with sesstab compiled in, as a process that tests send Python to."""

from __future__ import annotations

from pathlib import Path

from sesstab_tools.certificates import Certificate
from test_stock_tls import ROOT, Server

FIRMWARE = ROOT / "dist" / "firmware" / "UNIX" / "micropython"

# TLS 1.3 sessions take 54 bytes.
TABLE = """
import _sesstab
def SessionTable(capacity, spare=2, data_size=54, **settings):
    return _sesstab.SessionTable(capacity, spare, data_size, **settings)
"""


def make_server(folder: Path, certificates: dict[str, Certificate], stock: bool = False) -> Server:
    """A server with a table of 8 on a clock that stands still, and an attached context. `stock`: on firmware
    as it is, with the dynamic native module."""
    assert FIRMWARE.is_file(), "make firmware BOARD=UNIX"
    for kind, certificate in certificates.items():
        (folder / f"{kind}.der").write_bytes(certificate.certificate_der)
        (folder / f"{kind}-key.der").write_bytes(certificate.key_der)
    server = Server(folder, None if stock else str(FIRMWARE))
    server.run(TABLE)
    server.run("now = [1000]")
    server.run("table = SessionTable(8, clock=lambda: now[0])")
    server.run("context = new_context()")
    assert server.run("table.attach(context)") == 1
    return server
