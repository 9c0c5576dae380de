"""Does with an engine what openssl_recorder.py recorded of libssl, and asserts that everything is alike.

Runs on CPython and on MicroPython. As a program, it replays a file of records, one JSON a line:

    micropython openssl_replayer.py FILE pure|native
"""

BASE = 10000000  # the time at which every table starts; all numbers stay small on a 32-bit board
MAY_NEW, MAY_GET, MAY_REMOVE = 1, 2, 4
NEW_KEEPS, NEW_REMOVES, REMOVE_KEEPS, REMOVE_FREES = 8, 16, 32, 64


def data_of(s):
    return bytes([s & 255] * 48)


class Replayer:
    def __init__(self, table_class):
        self.table_class = table_class
        self.ids = []
        self.buffer = bytearray(48)

    def step(self, record):
        """Does one record; AssertionError where the engine does something else."""
        if record[0] == "ids":
            self.ids = [bytes(int(x[i : i + 2], 16) for i in range(0, len(x), 2)) for x in record[1]]
            return
        op, args, result, log, state = record
        self.log = []
        got = getattr(self, "do_" + op)(*args)
        assert got == result, f"{op}{args}: libssl {result}, engine {got}"
        got = in_no_order(self.log)
        log = in_no_order(log)
        assert got == log, f"{op}{args}: callbacks: libssl {log}, engine {got}"
        got = self.state(state)
        assert got == state, f"{op}{args}: state: libssl {state}, engine {got}"

    def state(self, expected):
        table = self.table
        counters = [
            table.sess_number(),
            table.sess_hits(),
            table.sess_misses(),
            table.sess_timeouts(),
            table.sess_cache_full(),
            table.sess_cb_hits(),
        ]
        has = 0
        for i, sid in enumerate(self.ids):
            has |= table.has_session(sid) << i
        order = []
        h = table.next_session(0)
        while h:
            order.append(self.number(h))
            h = table.next_session(h)
        sessions = []
        alive = [x[0] for x in expected[3]]
        for s in alive:
            h = self.handles.get(s, 0)
            refs = table.session_refs(h)
            sessions.append([s, refs, table.session_time(h) - BASE, table.session_timeout(h)])
        for s in list(self.handles):
            if s not in alive:  # libssl has freed it
                assert table.session_refs(self.handles[s]) == 0, f"session {s} is not freed"
                del self.names[self.handles.pop(s)], self.held[s]
        return [counters, has, order, sessions]

    def number(self, h):
        return self.names.get(h, 0)

    def make(self, s, i, t, timeout, context):
        h = self.table.new_session(self.ids[i], data_of(s), timeout, context)
        if not h:
            return 0
        assert self.table.set_session_time(h, BASE + t) == 1
        self.know(s, h, 1)
        return h

    def know(self, s, h, held):
        assert h not in self.names, f"handle {h} is given out twice"
        self.handles[s] = h
        self.names[h] = s
        self.held[s] = held  # references that this program holds

    # ---- Callbacks

    def on_new(self, table, h):
        self.log.append(["new", self.number(h)])
        if self.flags & NEW_REMOVES:
            table.remove_session(h)
        if self.flags & NEW_KEEPS:
            self.held[self.number(h)] += 1
            return 1
        return 0

    def on_get(self, table, sid):
        self.log.append(["get", self.ids.index(bytes(sid))])
        if not self.answer:
            return 0
        kind, s = self.answer[:2]
        if kind == "made" or kind == "added":
            self.make(*self.answer[1:])
        if kind == "added":
            table.add_session(self.handles[s])
        if kind == "held":
            table.up_ref(self.handles[s])
        else:
            self.held[s] -= 1
        return self.handles[s]

    def on_remove(self, table, h):
        self.log.append(["remove", self.number(h)])
        s = self.number(h)
        if self.flags & REMOVE_KEEPS:
            table.up_ref(h)
            self.held[s] += 1
        if self.flags & REMOVE_FREES and self.held[s]:
            self.do_free(s)

    # ---- Operations

    def do_table(self, capacity, spare, timeout, mode):
        self.table = self.table_class(capacity, spare, 48, timeout, mode, lambda: BASE)
        self.handles = {}
        self.names = {}
        self.held = {}
        self.flags = 0
        self.answer = 0
        return 1

    def do_new(self, s, i, t, timeout, context):
        return 1 if self.make(s, i, t, timeout, context) else 0

    def do_ref(self, s):
        self.held[s] += 1
        return self.table.up_ref(self.handles[s])

    def do_free(self, s):
        self.held[s] -= 1
        return self.table.free(self.handles[s])

    def do_add(self, s):
        return self.table.add_session(self.handles[s])

    def do_remove(self, s):
        return self.table.remove_session(self.handles[s])

    def do_get(self, i, context, answer):
        self.answer = answer
        h = self.table.get_session(self.ids[i], context)
        if not h:
            return 0
        s = self.number(h)
        self.held[s] += 1
        assert self.table.session_data(h, self.buffer) == 48
        assert self.buffer == data_of(s), f"session {s} has another's data"
        assert self.table.session_context(h) == context
        return s

    def do_flush(self, kind, now):
        return self.table.flush_sessions([0, None, BASE + now][kind])

    def do_time(self, s, t):
        return self.table.set_session_time(self.handles[s], BASE + t)

    def do_timeout(self, s, timeout):
        return self.table.set_session_timeout(self.handles[s], timeout)

    def do_size(self, size):
        self.table.cache_size = size
        return self.table.cache_size

    def do_mode(self, mode):
        self.table.mode = mode
        return self.table.mode

    def do_default_timeout(self, timeout):
        self.table.timeout = timeout
        return self.table.timeout

    def do_callbacks(self, flags):
        self.flags = flags
        self.table.on_new = self.on_new if flags & MAY_NEW else None
        self.table.on_get = self.on_get if flags & MAY_GET else None
        self.table.on_remove = self.on_remove if flags & MAY_REMOVE else None
        return 1

    def do_handshake(self, s, i, side, context):
        h = self.table.new_session(self.ids[i], data_of(s), None, context)
        self.know(s, h, 0)
        added = self.table.update_cache(h, side)
        self.table.free(h)
        return added


def in_no_order(log):
    """A callback log with neighbouring removals sorted: libssl removes the first to expire first, we by
    slot."""
    out = []
    removed = []
    for entry in log:
        if entry[0] == "remove":
            removed.append(entry[1])
            continue
        out += [sorted(removed), entry]
        removed = []
    out.append(sorted(removed))
    return out


def replay(lines, table_class):
    """How many records were alike: all, or AssertionError names the first that was not."""
    import json

    replayer = Replayer(table_class)
    n = 0
    for line in lines:
        try:
            replayer.step(json.loads(line))
        except AssertionError as e:
            raise AssertionError(f"record {n + 1}: {e}") from None
        n += 1
    return n


def table_class(engine):
    if engine == "pure":
        from sesstab.pure import SessionTable
    else:
        from _sesstab import SessionTable
    return SessionTable


def main(path, engine):
    with open(path) as f:
        print(f"{engine}: {replay(f, table_class(engine))} records alike")


if __name__ == "__main__":
    import sys

    main(sys.argv[1], sys.argv[2])
