# Stands in for the module time, from which tables take their time when they have no clock=.

import sys

import sesstab
import sesstab.pure

LAST = (1 << 30) - 1
IS_CPYTHONS = sys.implementation.name == "cpython" and sesstab.ENGINE == "native"  # and not to be replaced


class Ticks:
    """The module time, as far as tables use it. `now` is in milliseconds."""

    def __init__(self, now=0):
        self.now = now

    def ticks_ms(self):
        return self.now

    def wait(self, seconds):
        self.now = (self.now + 1000 * seconds) & LAST


def with_ticks(ticks, function):
    """Calls it while tables get their time from there."""
    pure, time = sesstab.pure._ticks_ms, sys.modules.get("time")
    sesstab.pure._ticks_ms = ticks.ticks_ms
    sys.modules["time"] = ticks
    try:
        return function(ticks)
    finally:
        sesstab.pure._ticks_ms = pure
        if time:
            sys.modules["time"] = time
        else:
            del sys.modules["time"]
