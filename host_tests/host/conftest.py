"""Where the host's tests find what they test."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(ROOT / folder) for folder in ("host_tests/libssl", "host_tests/ccore", "host_tests", "lib")
]
