# Measures the table of the selected engine (sesstab.SessionTable), on a board or on CPython, and prints one
# line of JSON: microseconds an operation, the loop around it included, and bytes.
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


def _make_ids(count):
    # Pseudorandom, 32 bytes each, the same everywhere.
    x = 12345
    ids = []
    for _ in range(count):
        id = bytearray(32)
        for i in range(32):
            x = (x * 1103 + 12345) % 1048573
            id[i] = x >> 8 & 0xFF
        ids.append(bytes(id))
    return ids


def _get(table, ids):
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


_STATE = bytes(range(50))


def _best(run, table, ids, budget_us):
    # The fastest pass over ids, in microseconds an id, as JSON.
    passes = 1 + 256 // len(ids)
    best = 0
    end = 0
    while end < budget_us:
        start = _ticks_us()
        for _ in range(passes):
            run(table, ids)
        took = _ticks_diff(_ticks_us(), start)
        end += took + 1
        if not best or took < best:
            best = took
    return "%.3f" % (best / (passes * len(ids)))


def _heap_used():
    gc.collect()
    return gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0


def _bench_size(size, budget_us):
    before = _heap_used()
    table = sesstab.SessionTable(size)
    heap = _heap_used() - before
    ids = _make_ids(2 * size)
    inside = ids[:size]
    outside = ids[size:]
    _insert(table, inside)
    # Twice as many ids as fit, in turn: every one was evicted before it comes again.
    return {
        "get_hit_us": _best(_get, table, inside, budget_us),
        "get_miss_us": _best(_get, table, outside, budget_us),
        "insert_full_us": _best(_insert, table, ids, budget_us),
        "heap_bytes": heap,
        "size_of": sesstab.SessionTable.size_of(size),
    }


def bench_table(sizes=(16, 64, 256), budget_us=300000):
    """budget_us: how long to measure each operation, in microseconds."""
    results = []
    for size in sizes:
        result = _bench_size(size, budget_us)
        fields = ", ".join(['"%s": %s' % (key, result[key]) for key in sorted(result)])
        results.append('"%d": {%s}' % (size, fields))
    print('{"engine": "%s", "sizes": {%s}}' % (sesstab.ENGINE, ", ".join(results)))
