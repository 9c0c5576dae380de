"""Where the host's tests find what they test, and their markers."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(ROOT / folder) for folder in ("host_tests/libssl", "host_tests/ccore", "host_tests", "lib")
]


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes minutes; `make test-quick` leaves it out")
