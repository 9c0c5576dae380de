# Measures the table of the selected engine (sesstab.SessionTable), on a board or on CPython, and prints one
# line of JSON: microseconds an operation, what an empty loop takes left out, and bytes.
#
#     bench_table((16, 64, 256))

import gc
import time

import sesstab

try:
    _ticks_us, _ticks_diff = time.ticks_us, time.ticks_diff
except AttributeError:  # CPython

    def _ticks_us():
        return time.perf_counter_ns() // 1000

    def _ticks_diff(a, b):
        return a - b


_STATE = bytes(range(50))
_FUTURE = 1 << 29  # seconds; a session made then counts as expired


def _make_ids(count, alike):
    # Pseudorandom, 32 bytes each, the same everywhere. Those that are alike differ in the first 4 bytes only.
    x = 12345
    ids = []
    for _ in range(count):
        id = bytearray(32)
        for i in range(4 if alike else 32):
            x = (x * 1021 + 12345) & 0xFFFFF  # ints below 2^30 take no memory
            id[i] = x >> 8 & 0xFF
        ids.append(bytes(id))
    return ids


def _nothing(table, ids):
    for _ in ids:
        pass


def _get(table, ids):
    get = table.get_session
    for id in ids:
        get(id)


def _get_and_free(table, ids):
    get = table.get_session
    free = table.free
    for id in ids:
        free(get(id))


def _insert(table, ids):
    new = table.new_session
    add = table.add_session
    free = table.free
    for id in ids:
        h = new(id, _STATE)
        add(h)
        free(h)


def _flush(table, ids):
    table.flush_sessions(_FUTURE)


# Before a pass that is measured, where it needs something.


def _free_all(table, ids):
    for id in ids:
        h = table.get_session(id)
        while table.session_refs(h) > 1:  # the table's own
            table.free(h)


def _fill(table, ids):
    table.clear()
    _insert(table, ids)


def _fill_with_expired(table, ids):
    table.clear()
    for id in ids:
        h = table.new_session(id, _STATE)
        table.add_session(h)
        table.set_session_time(h, _FUTURE)
        table.free(h)


def _time(run, table, ids):
    start = _ticks_us()
    run(table, ids)
    return _ticks_diff(_ticks_us(), start)


def _best(budget_us, run, table, ids, before=None, inside=None, per=0):
    # The fastest pass over ids, in microseconds for each of them (or of `per`), as JSON. `before` fills or
    # empties the table, with the ids `inside`, and is not measured.
    best = -1
    end = 0
    while end < budget_us:
        if before:
            before(table, inside)
        took = _time(run, table, ids)
        end += took + 1
        if best < 0 or took < best:
            best = took
    if not per:
        best -= _time(_nothing, table, ids)
    return "%.3f" % (best / (per or len(ids)))


def _heap_used():
    gc.collect()
    return gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0


def _bench_size(size, budget_us, alike):
    before = _heap_used()
    table = sesstab.SessionTable(size)
    heap = _heap_used() - before
    ids = _make_ids(2 * size, alike)
    inside = ids[:size]
    _insert(table, inside)
    # Passes over many ids, so that what a pass takes is for them. Twice as many ids as fit, in turn: every
    # one was evicted before it comes again.
    times = max(1, 256 // size)
    found = inside * times
    get = _best(budget_us, _get, table, found, _free_all, inside)
    _free_all(table, inside)
    return {
        "get_us": get,
        "get_hit_us": _best(budget_us, _get_and_free, table, found),
        "get_miss_us": _best(budget_us, _get, table, ids[size:] * times),
        "insert_full_us": _best(budget_us, _insert, table, ids * times),
        "flush_us": _best(budget_us, _flush, table, ids, _fill, inside, size),
        "insert_expired_us": _best(budget_us, _insert, table, ids[-1:], _fill_with_expired, inside),
        "heap_bytes": heap,
        "size_of": sesstab.SessionTable.size_of(size),
    }


def bench_table(sizes=(16, 64, 256), budget_us=300000, alike=False):
    """budget_us: how long to measure each operation, in microseconds."""
    results = []
    for size in sizes:
        result = _bench_size(size, budget_us, alike)
        fields = ", ".join(['"%s": %s' % (key, result[key]) for key in sorted(result)])
        results.append('"%d": {%s}' % (size, fields))
    print('{"engine": "%s", "sizes": {%s}}' % (sesstab.ENGINE, ", ".join(results)))
