# Tables in lockstep: the same random calls on each, and all that can be seen of them compared. The tables are
# those of both engines, and the model of them in table_model.py.
#
#     lockstep = Lockstep(seed, (capacity, spare, data_size), table_classes)
#     lockstep.run(1000)
#
# Callbacks decide by their arguments only, and call the table in turn, as a user's may.

from support import Clock, Random, counters, data_of

IDS = [bytes([65 + n]) * (1 + n * 5 % 32) for n in range(14)] + [
    b"A\0",
    b"A\0\0",
    b"Ax",
    b"AxA",
    b"",
    b"A" * 33,
]


class Side:
    """One of the two tables. Its callbacks decide by their arguments only, and note what they see."""

    def __init__(self, table_class, sizes):
        self.clock = Clock()
        self.table = table_class(sizes[0], sizes[1], sizes[2], 20, clock=self.clock)
        self.told = []
        self.made = []

    def set_callbacks(self, flags):
        table = self.table
        table.on_new = self.on_new if flags & 1 else None
        table.on_get = self.on_get if flags & 2 else None
        table.on_remove = self.on_remove if flags & 4 else None

    def note(self, what, h):
        table = self.table
        self.told.append(
            (what, h, table.session_refs(h), data_of(table, h), table.sess_number(), table.add_session(h))
        )

    def on_new(self, table, h):
        self.note("new", h)
        if h % 5 == 0:
            raise ValueError
        return h % 7 == 0

    def on_get(self, table, id):
        self.told.append(("get", bytes(id)))
        if len(id) % 4 == 0:
            return None
        if len(id) % 4 == 1:
            return table.new_session(b"wrong", b"")
        h = table.new_session(id, b"external", len(id), len(id) % 2)
        if len(id) % 8 == 3:
            table.set_session_time(h, 1)
        return h

    def on_remove(self, table, h):
        self.note("remove", h)
        if h % 4 == 0:
            table.up_ref(h)
        elif h % 4 == 1:
            table.free(h)
        table.clear()
        if self.made:
            table.free(self.made.pop())
        else:
            self.made.append(table.new_session(b"inside", b""))


def handles_of(table):
    handles = []
    h = table.next_session()
    while h:
        handles.append(h)
        h = table.next_session(h)
    return handles


def state_of(side, known):
    table = side.table
    sessions = [
        (
            table.session_refs(h),
            table.session_time(h),
            table.session_timeout(h),
            table.session_context(h),
            data_of(table, h),
        )
        for h in known
    ]
    return (
        counters(table),
        handles_of(table),
        sessions,
        side.told,
        [table.has_session(id) for id in IDS],
        (table.mode, table.timeout, table.cache_size),
        table.session_stats(),
    )


def operate(side, op, a, b, h):
    """Performs operation number `op`; `a` and `b` are random, `h` is a handle, maybe stale."""
    table = side.table
    id = IDS[a % len(IDS) if a % 3 else a % 5]
    if op < 5:
        return table.new_session(id, b"data%d" % b, None if b % 2 else b % 40, b % 7 // 6)
    if op < 10:
        return table.add_session(h)
    if op < 15:
        return table.free(h)
    if op < 20:
        return table.get_session(id, b % 9 // 8)
    if op < 22:
        return table.update_cache(h, 1 + a % 2)
    if op < 23:
        return table.up_ref(h)
    if op < 25:
        return table.remove_session(h)
    if op < 27:
        return turn_clock(side, a, b)
    if op < 28:
        return table.set_session_timeout(h, b % 50)
    if op < 29:
        return table.set_session_time(h, side.clock.time + b % 9 - 5)
    return rare(side, a, b)


def turn_clock(side, a, b):
    clock = side.clock
    jump = a % 200
    if jump == 0:
        clock.time = 0
    elif jump == 1 or clock.time in (0, 0xFFFFFFFF):
        clock.time = 1000 + b
    elif jump == 2:
        clock.time = 0xFFFFFFFF - b
    elif jump < 5:
        clock.time = max(1, clock.time - b % 80)
    else:
        clock.time = min(clock.time + (b if jump == 5 else a % 4), 0xFFFFFFFF)
    return side.table.now()


def rare(side, a, b):
    table = side.table
    what = a % 12
    if what == 0:
        table.clear()
    elif what == 1:
        return table.flush_sessions(0)
    elif what < 5:
        return table.flush_sessions()
    elif what == 5:
        table.cache_size = b % (table.capacity + 2)
    elif what == 6:
        table.timeout = b % 60
    elif what < 9:
        side.set_callbacks(b)
    else:
        table.mode = (2, 2, 2, 2, 3, 3, 0, 1, 0x82, 0x102, 0x202, 0x302, 0x402, 0x402, 0x783)[b % 15]
    return 0


class Lockstep:
    def __init__(self, seed, sizes, table_classes, every=8):
        self.seed = seed
        self.random = Random(seed)
        self.every = every  # how many calls between two looks at everything
        self.sides = [Side(table_class, sizes) for table_class in table_classes]
        self.known = [0] * min(12, sizes[0] + sizes[1])
        self.calls = 0

    def run(self, count):
        random = self.random
        known = self.known
        for _ in range(count):
            n = self.calls
            self.calls += 1
            op, a, b = random.below(30), random.below(1000), random.below(1000)
            h = known[random.below(len(known))]
            result = self.same([operate(side, op, a, b, h) for side in self.sides], (op, a, b, h))
            if (op < 5 or 15 <= op < 20) and result:
                self.drop(known[n % len(known)])
                known[n % len(known)] = result
            if n % self.every == 0:
                self.same([state_of(side, known) for side in self.sides], (op, a, b, h))
                for side in self.sides:
                    side.told.clear()
        return counters(self.sides[0].table)

    def same(self, seen, why):
        for other in seen[1:]:
            assert other == seen[0], (self.seed, self.calls - 1, why, seen)
        return seen[0]

    def drop(self, h):
        """Gives all references back, or slots would become scarce."""
        self.same([[side.table.free(h) for _ in range(8)] for side in self.sides], h)
