# The table as sesstab.h describes it, slow and obvious: what both engines have to do, call for call.
#
# A session is an object, the order of use is a list, and an id is looked for from the start of it. Nothing is
# shared with the engines but what can be seen of a handle: a slot's number and, above it, how often the slot
# was used. Everything allocates, and no argument is checked that no test gets wrong.

COUNTER_MASK = 0x3FFFFFFF
SIDES = 3
NO_AUTO_CLEAR = 0x80
NO_LOOKUP = 0x100
NO_STORE = 0x200
UPDATE_TIME = 0x400


class Session:
    def __init__(self, h, id, data, time, timeout, context):
        self.h = h
        self.id = id
        self.data = data
        self.time = time
        self.timeout = timeout
        self.context = context
        self.refs = 1  # of callers
        self.held = 0  # by the table

    def is_expired(self, now):
        return now == 0 or self.time > now or now - self.time > self.timeout


class TableModel:
    """Has the methods of SessionTable, snapshots and TLS excepted."""

    def __init__(self, capacity, spare, data_size, timeout, mode=2, clock=None):
        self.capacity = capacity
        self.data_size = data_size
        self.timeout = timeout
        self.mode = mode
        self.now = clock
        self.on_new = self.on_get = self.on_remove = None
        self.hits = self.misses = self.timeouts = self.cache_full = self.cb_hits = self.stored = 0
        self.busy = False  # on_remove is running
        slots = capacity + spare
        self.bits = 0
        while 1 << self.bits < slots:
            self.bits += 1
        self.uses_max = min(0xFFFF, (1 << (30 - self.bits)) - 1)
        self.uses = [0] * slots
        self.size = capacity
        self.empty()

    def empty(self):
        slots = len(self.uses)
        self.slots = [None] * slots
        self.free_slots = list(range(slots - 1, -1, -1))  # the last one is taken next
        self.order = []  # the sessions in the table, least recently used first

    @property
    def cache_size(self):
        return self.size

    @cache_size.setter
    def cache_size(self, size):
        self.size = size if 0 < size < self.capacity else self.capacity

    def clear(self):
        if not self.busy:
            self.empty()

    # What is not in sesstab.h

    def session(self, h):
        slot = h & ((1 << self.bits) - 1)
        s = self.slots[slot] if slot < len(self.slots) else None
        return s if s and s.h == h else None

    def find(self, id):
        for s in self.order:
            if s.id == id:
                return s
        return None

    def release(self, s):
        if not s.refs and not s.held:
            slot = s.h & ((1 << self.bits) - 1)
            self.slots[slot] = None
            self.free_slots.append(slot)

    def call(self, callback, argument):
        try:
            return callback(self, argument)
        except Exception:
            return None

    def tell_removed(self, h):
        if self.on_remove:
            self.busy = True
            self.call(self.on_remove, h)
            self.busy = False

    def take_out(self, s, h):
        # On behalf of h. The table keeps its reference while on_remove is told.
        self.order.remove(s)
        self.tell_removed(h)
        s.held = 0
        self.release(s)

    def remove_expired(self, now):
        removed = 0
        for slot in range(len(self.slots)):
            s = self.slots[slot]
            if s in self.order and s.is_expired(now):
                self.take_out(s, s.h)
                removed += 1
        return removed

    def make_room(self):
        if len(self.order) >= self.size:
            self.cache_full += self.remove_expired(self.now())
        while len(self.order) >= self.size:
            self.cache_full += 1
            self.take_out(self.order[0], self.order[0].h)

    # Sessions

    def new_session(self, id, data, timeout=None, context=0):
        if not 0 < len(id) <= 32 or len(data) > self.data_size or not self.free_slots:
            return 0
        slot = self.free_slots.pop()
        self.uses[slot] = self.uses[slot] + 1 if self.uses[slot] < self.uses_max else 1
        h = self.uses[slot] << self.bits | slot
        timeout = self.timeout if timeout is None else timeout
        self.slots[slot] = Session(h, bytes(id), bytes(data), self.now(), timeout, context)
        return h

    def up_ref(self, h):
        s = self.session(h)
        if not s or s.refs == 255:
            return 0
        s.refs += 1
        return 1

    def free(self, h):
        s = self.session(h)
        if not s or not s.refs:
            return 0
        s.refs -= 1
        self.release(s)
        return 1

    # The table

    def add_session(self, h):
        s = self.session(h)
        if self.busy or not s:
            return 0
        if self.mode & UPDATE_TIME:
            s.time = self.now()
        if s in self.order:
            return 0
        twin = self.find(s.id)
        if twin:
            self.order.remove(twin)
            twin.held = 0
            self.release(twin)
        self.make_room()
        if self.session(h) is not s:  # on_remove has freed it
            return 0
        s.held = 1
        self.order.append(s)
        return 1

    def remove_session(self, h):
        s = self.session(h)
        if self.busy or not s:
            return 0
        cached = self.find(s.id)
        if not cached:
            self.tell_removed(h)
            return 0
        self.take_out(cached, h)
        return 1

    def get_session(self, id, context=0):
        if self.busy or not 0 < len(id) <= 32:
            return 0
        s = None if self.mode & NO_LOOKUP else self.find(bytes(id))
        if not s:
            self.misses += not self.mode & NO_LOOKUP
            s = self.get_external(id)
        elif not self.up_ref(s.h):
            return 0
        return self.resume(s, context) if s else 0

    def get_external(self, id):
        h = self.call(self.on_get, id) if self.on_get else 0
        s = self.session(h or 0)
        if not s or not s.refs:
            return None
        if s.id != bytes(id):
            self.free(h)
            return None
        self.cb_hits += 1
        revives = self.mode & UPDATE_TIME and s.is_expired(self.now())
        if not self.mode & NO_STORE and not revives:
            self.add_session(h)
        return self.session(h)

    def resume(self, s, context):
        if s.context == context and not s.is_expired(self.now()):
            self.hits += 1
            if s in self.order:
                self.order.remove(s)
                self.order.append(s)
            if self.mode & UPDATE_TIME:
                s.time = self.now()
            return s.h
        if s.context == context:
            self.timeouts += 1
            self.remove_session(s.h)
        self.free(s.h)
        return 0

    def has_session(self, id):
        return 1 if self.find(bytes(id)) else 0

    def flush_sessions(self, now=None):
        return 0 if self.busy else self.remove_expired(self.now() if now is None else now)

    def update_cache(self, h, side=2):
        mode = self.mode
        if self.busy or not mode & side & SIDES or not self.session(h):
            return 0
        self.stored += 1
        added = 0 if mode & NO_STORE else self.add_session(h)
        if self.on_new and self.up_ref(h) and not self.call(self.on_new, h):
            self.free(h)
        if not mode & NO_AUTO_CLEAR and self.stored % 256 == 255:
            self.remove_expired(self.now())
        return added

    # What a session holds

    def session_id(self, h, buf):
        return self.copy(self.session(h), "id", buf)

    def session_data(self, h, buf):
        return self.copy(self.session(h), "data", buf)

    def copy(self, s, name, buf):
        content = getattr(s, name) if s else b""
        buf[: len(content)] = content
        return len(content)

    def value(self, h, name):
        s = self.session(h)
        return getattr(s, name) if s else 0

    def session_time(self, h):
        return self.value(h, "time")

    def session_timeout(self, h):
        return self.value(h, "timeout")

    def session_context(self, h):
        return self.value(h, "context")

    def session_refs(self, h):
        return self.value(h, "refs") + self.value(h, "held")

    def set_value(self, h, name, value):
        s = self.session(h)
        if not s or not 0 <= value <= 0xFFFFFFFF:
            return 0
        setattr(s, name, value)
        return 1

    def set_session_time(self, h, time):
        return self.set_value(h, "time", time)

    def set_session_timeout(self, h, timeout):
        return self.set_value(h, "timeout", timeout)

    # Statistics

    def sess_number(self):
        return len(self.order)

    def sess_hits(self):
        return self.hits & COUNTER_MASK

    def sess_misses(self):
        return self.misses & COUNTER_MASK

    def sess_timeouts(self):
        return self.timeouts & COUNTER_MASK

    def sess_cache_full(self):
        return self.cache_full & COUNTER_MASK

    def sess_cb_hits(self):
        return self.cb_hits & COUNTER_MASK

    def sess_stored(self):
        return self.stored & COUNTER_MASK

    def session_stats(self):
        handshakes = self.sess_stored() + self.sess_hits()
        accept = handshakes if self.mode & 2 else 0
        connect = handshakes if self.mode & SIDES == 1 else 0
        stats = {"connect_renegotiate": 0, "accept_renegotiate": 0, "number": len(self.order)}
        stats.update({"accept": accept, "accept_good": accept, "connect": connect, "connect_good": connect})
        stats.update({"hits": self.sess_hits(), "misses": self.sess_misses()})
        stats.update({"timeouts": self.sess_timeouts(), "cache_full": self.sess_cache_full()})
        return stats

    def next_session(self, h=0):
        if not h:
            return self.order[-1].h if self.order else 0
        s = self.session(h)
        at = self.order.index(s) if s in self.order else 0
        return self.order[at - 1].h if at else 0
