"""Markers of the host's tests."""


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes minutes; `make test-quick` leaves it out")
