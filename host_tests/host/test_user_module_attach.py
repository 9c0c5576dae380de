"""What holds on stock firmware holds where sesstab is compiled in: the tests of test_stock_tls.py, once more.

Left out is what is about finding one's way in unknown firmware.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sesstab_tools.certificates import Certificate
from test_stock_tls import *  # noqa: F403
from test_stock_tls import Server
from user_module import make_server

# Minutes of the inner loop, so `make test` only.
pytestmark = pytest.mark.slow

del globals()["test_unknown_layout_of_the_config_is_refused"]
del globals()["test_unknown_layout_of_the_session_stores_nothing_and_says_so"]


@pytest.fixture
def server(tmp_path: Path, certificates: dict[str, Certificate]) -> Iterator[Server]:
    """As in test_stock_tls.py."""
    server = make_server(tmp_path, certificates)
    yield server
    server.close()
