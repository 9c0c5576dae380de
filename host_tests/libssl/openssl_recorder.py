"""Records what the real libssl does with a session table's operations.

`Recorder.do(op, a, b, c)` turns four small numbers, from a seeded generator or from hypothesis, into one
operation that is defined in OpenSSL and in sesstab, lets libssl do it, and emits a record:

    [operation, its arguments, result, callbacks that ran, the state afterwards]

openssl_replayer.py asserts that an engine does the same. A record is JSON: it replays on a board as well.

What is recorded is libssl's doing. Three things are made up for, so that both sides stand on common ground:

  - Capacity. libssl's cache_size is set to one more than ours, since it holds one session fewer than that.
  - Which session is evicted. libssl evicts one, the first to expire; we all expired ones, else the least
    recently used. `_make_agree` compares the two choices before each operation that may evict. Where they
    differ only in the order of sessions that expire together, libssl's order is renewed through
    SSL_SESSION_set_time; where they differ in truth, room is made first by recorded operations.
  - A hit with UPDATE_TIME. libssl renews the time when a session is added; the manual says when it is used.
  - An expired session of on_get's with UPDATE_TIME, which libssl makes fresh by adding it.

Some operations never occur, because the outcomes differ or libssl has none. test_openssl_differences.py
asserts all of that, both sides.

Sessions have numbers, from 1 in each table. Times are relative to the table's start; libssl reads time(), so
every session's end of life is an hour or more away from it, and what libssl sets to "now" is set to the
start.
"""

import random
import time as clock

import openssl_cache as openssl

HOUR = 3600
MAY_NEW, MAY_GET, MAY_REMOVE = 1, 2, 4  # which callbacks are set
NEW_KEEPS, NEW_REMOVES, REMOVE_KEEPS, REMOVE_FREES = 8, 16, 32, 64  # what they do
NO_AUTO_CLEAR, NO_LOOKUP, NO_STORE, UPDATE_TIME = 0x80, 0x100, 0x200, 0x400
COUNTERS = "number", "hits", "misses", "timeouts", "cache_full", "cb_hits"
ALL, CLOCK, AT = 0, 1, 2  # flush

# Ids that share their beginnings, in all sorts of lengths.
IDS = [
    bytes(range(32)),
    bytes(31) + b"\1",
    bytes(32),
    bytes(31),
    b"\0",
    b"\1",
    b"abcd",
    b"abcde",
    b"abcdefgh" * 4,
    b"\xff" * 17,
]

# Operations and how often the seeded run does them.
WEIGHTS = {
    "new": 12, "ref": 4, "free": 22, "add": 20, "remove": 5, "get": 26, "flush": 2, "time": 3, "timeout": 3,
    "size": 1, "mode": 2, "callbacks": 2, "handshake": 8, "default_timeout": 1,
}  # fmt: skip


class Session:
    def __init__(self, pointer, i, expiry, context, held):
        self.pointer = pointer
        self.i = i  # number of its id
        self.expiry = expiry
        self.context = context
        self.held = held  # references of callers
        self.order = 0  # in libssl's list, among sessions that expire together


class Recorder:
    def __init__(self, emit):
        self.emit = emit
        self.cache = None
        self.evictions = {"alike": 0, "order renewed": 0, "room made": 0}
        emit(["ids", [i.hex() for i in IDS]])

    # ---- A table's life

    def table(self, capacity, spare, alike):
        """A new table; with `alike`, all its unexpired sessions expire at the same time."""
        self.end()
        self.capacity, self.spare, self.alike = capacity, spare, alike
        self.start = int(clock.time())
        self.cache = cache = openssl.Cache()
        cache.on_new, cache.on_get, cache.on_remove = self._on_new, self._on_get, self._on_remove
        cache.timeout = 24 * HOUR
        cache.freed.clear()
        self.sessions = {}
        self.lru = []  # numbers of the sessions in the cache, the most recently used first
        self.count = 0
        self.orders = 0
        self.flags = 0
        self.answer = None
        self.log = []
        self.leaving = set()  # what libssl must evict in the next operation
        self._set_size(capacity)
        self.record("table", [capacity, spare, cache.timeout, cache.mode], 1)

    def end(self):
        """Ends the table: when the last reference is given back, every session must be freed."""
        if self.cache is None:
            return
        self._do_flush(0, 0, 0)
        for s in list(self.sessions):
            while s in self.sessions:
                self.record("free", [s], self._free(s))
        assert self.cache.number == 0 and not self.sessions
        self.cache.close()
        self.cache = None

    def do(self, op, a=0, b=0, c=0):
        getattr(self, "_do_" + op)(a, b, c)

    # ---- Callbacks

    def _on_new(self, pointer):
        s = self.cache.name(pointer)
        if s not in self.sessions:  # of this very handshake
            self._know(s, pointer)
        self.log.append(["new", s])
        if self.flags & NEW_REMOVES:
            self.cache.remove_session(pointer)
        if self.flags & NEW_KEEPS:
            self.sessions[s].held += 1
            return 1
        return 0

    def _on_get(self, sid):
        self.log.append(["get", IDS.index(sid)])
        if self.answer is None:
            return openssl.ffi.NULL, 1
        kind, s, *made = self.answer
        if made:
            self._make(s, *made)
        if kind == "added":
            self.cache.add_session(self.sessions[s].pointer)
        if kind == "held":
            return self.sessions[s].pointer, 1  # libssl takes its own reference
        self.sessions[s].held -= 1
        return self.sessions[s].pointer, 0

    def _on_remove(self, pointer):
        s = self.cache.name(pointer)
        self.log.append(["remove", s])
        if self.flags & REMOVE_KEEPS:
            self.cache.up_ref(pointer)
            self.sessions[s].held += 1
        if self.flags & REMOVE_FREES and self.sessions[s].held:
            self._free(s)

    # ---- Operations. Each chooses by numbers among what is defined, if anything is.

    def _do_new(self, a, b, c):
        s, i, (t, timeout), context = self.count + 1, a % len(IDS), self._lifetime(b), c % 2
        if not self._has_slot():
            self.record("new", [s, i, t, timeout, context], 0)  # libssl has the whole heap
            return
        self._make(s, i, t, timeout, context)
        self.record("new", [s, i, t, timeout, context], 1)

    def _do_ref(self, a, b, c):
        if held := self._held():
            s = held[a % len(held)]
            self.sessions[s].held += 1
            self.record("ref", [s], self.cache.up_ref(self.sessions[s].pointer))

    def _do_free(self, a, b, c):
        if held := self._held():
            s = held[a % len(held)]
            self.record("free", [s], self._free(s))

    def _do_add(self, a, b, c):
        if s := self._any(a):
            self._make_agree(self.sessions[s].i, s)
            if s not in self.sessions:  # its removal made the room
                return
            self.record("add", [s], self.cache.add_session(self.sessions[s].pointer), touched=s)

    def _do_remove(self, a, b, c):
        if s := self._any(a):
            self.record("remove", [s], self.cache.remove_session(self.sessions[s].pointer))

    def _do_get(self, a, b, c):
        i, context = a % len(IDS), b % 16 == 0
        if b % 4 and self.sessions:  # an id that is known, mostly; and mostly its context
            s = self.sessions[self._any(a)]
            i, context = s.i, s.context ^ context
        self.get(i, int(context), self._choose_answer(i, c))

    def get(self, i, context, answer):
        self.answer = answer
        stores = answer and (answer[0] == "added" or not self.cache.mode & NO_STORE)
        if stores and (self.cache.mode & NO_LOOKUP or not self._has(i)):
            self._make_agree(i, answer[1] if answer[1] in self.sessions else 0)
        pointer = self.cache.get_session(IDS[i], context)
        s = 0
        touched = answer[1] if stores and ["get", i] in self.log else 0
        if pointer is not None:
            s = self.cache.name(pointer)
            self.sessions[s].held += 1
            if self.cache.mode & UPDATE_TIME:
                self.cache.set_session_time(pointer, self.start)
                touched = s
        self.record("get", [i, context, answer or 0], s, touched=touched, used=s)

    def _do_flush(self, a, b, c):
        kind, now = a % 3, 0
        if kind == AT:
            ends = [s.expiry for s in self.sessions.values() if s.expiry > 0]
            now = ends[b % len(ends)] + c % 2 if ends else 1000 * HOUR
        at = [0, self.start, self.start + now][kind]
        self.record("flush", [kind, now], self.cache.flush_sessions(at))

    def _do_time(self, a, b, c):
        if s := self._any(a):
            pointer = self.sessions[s].pointer
            timeout = self.cache.session_timeout(pointer)
            choices = [t for t in range(0, -31 * HOUR, -HOUR) if self._allowed(t, timeout)]
            if choices:
                t = choices[b % len(choices)]
                self.cache.set_session_time(pointer, self.start + t)
                self.record("time", [s, t], 1, touched=s)

    def _do_timeout(self, a, b, c):
        if s := self._any(a):
            pointer = self.sessions[s].pointer
            t = self.cache.session_time(pointer) - self.start
            choices = [v for v in range(HOUR, 61 * HOUR, HOUR) if self._allowed(t, v)]
            timeout = choices[b % len(choices)]
            self.record("timeout", [s, timeout], self.cache.set_session_timeout(pointer, timeout), touched=s)

    def _do_size(self, a, b, c):
        size = a % (self.capacity + 2)  # 0 and too much: the capacity
        self._set_size(size)
        self.record("size", [size], self.size)

    def _do_mode(self, a, b, c):
        # Mostly as it comes: a server that looks and stores.
        self.cache.mode = openssl.SESS_CACHE_SERVER if a % 2 else a % 4 | (b % 16) << 7
        self.record("mode", [self.cache.mode], self.cache.mode)

    def _do_callbacks(self, a, b, c):
        self.flags = a % 128
        self.cache.set_callbacks(self.flags & MAY_NEW, self.flags & MAY_GET, self.flags & MAY_REMOVE)
        self.record("callbacks", [self.flags], 1)

    def _do_default_timeout(self, a, b, c):
        if not self.alike:
            self.cache.timeout = (1 + a % 50) * HOUR
        self.record("default_timeout", [self.cache.timeout], self.cache.timeout)

    def _do_handshake(self, a, b, c):
        i, side, context = a % len(IDS), 1 + b % 2, c % 2
        # A server chooses an id that its cache does not have.
        if not self._has_slot() or (side == openssl.SESS_CACHE_SERVER and self._has(i)):
            return
        stores = int(self.cache.mode & side and not self.cache.mode & NO_STORE)
        if stores:
            self._make_agree(i)
        self.count = s = self.count + 1
        self.made = i, context
        pointer = self.cache.handshake(s, IDS[i], side, context)
        if s not in self.sessions:
            self._know(s, pointer)
        self.sessions[s].held += 1
        self.cache.set_session_time(pointer, self.start)
        self._free(s)
        self.record("handshake", [s, i, side, context], stores, touched=s)

    # ---- Helpers

    def _know(self, s, pointer):
        i, context = self.made
        timeout = self.cache.session_timeout(pointer)
        self.sessions[s] = Session(pointer, i, timeout, context, held=0)

    def _make(self, s, i, t, timeout, context):
        self.count = max(self.count, s)
        pointer = self.cache.new_session(s, IDS[i], self.start + t, timeout, context)
        self.sessions[s] = Session(pointer, i, t + timeout, context, held=1)

    def _free(self, s):
        self.sessions[s].held -= 1
        self.cache.free(self.sessions[s].pointer)
        return 1

    def _set_size(self, size):
        self.size = size if 0 < size <= self.capacity else self.capacity
        self.cache.cache_size = self.size + 1

    def _has(self, i):
        return self.cache.has_session(IDS[i])

    def _has_slot(self):
        return len(self.sessions) < self.capacity + self.spare

    def _held(self):
        return [s for s in self.sessions if self.sessions[s].held]

    def _any(self, a):
        """The number of a session, held or in the cache; 0 when there is none."""
        return list(self.sessions)[a % len(self.sessions)] if self.sessions else 0

    def _lifetime(self, b):
        """A time and a timeout."""
        t = -(b % 20) * HOUR
        end = 24 * HOUR if self.alike and b % 16 else (b % 50 - 20) * HOUR
        if not self._allowed(t, end - t):
            end = 24 * HOUR
        return t, end - t

    def _allowed(self, t, timeout):
        end = t + timeout
        return t <= 0 and timeout >= HOUR <= abs(end) and (not self.alike or end < 0 or end == 24 * HOUR)

    def _choose_answer(self, i, c):
        """What on_get will give, should it be asked: nothing, a session that is held (with a new reference,
        or giving the caller's own away), or one made then, which on_get itself may add."""
        kind = ["", "held", "given", "made", "added"][c % 5]
        c //= 5
        if not self.flags & MAY_GET or not kind:
            return None
        if kind in ("made", "added"):
            if not self._has_slot():
                return None
            t, timeout = self._lifetime(c)
            if kind == "made" and self._would_revive(t + timeout):
                return None
            return [kind, self.count + 1, i, t, timeout, c % 2]
        choices = [s for s in self._held() if self._may_give(s, i)]
        return [kind, choices[c % len(choices)]] if choices else None

    def _may_give(self, s, i):
        session = self.sessions[s]
        return (
            session.i == i
            and self.cache.is_resumable(session.pointer)
            and not self._would_revive(session.expiry)
        )

    def _would_revive(self, expiry):
        """Whether libssl makes a session of on_get's fresh again by adding it, which we do not."""
        return expiry < 0 and self.cache.mode & UPDATE_TIME and not self.cache.mode & NO_STORE

    # ---- Eviction: where libssl's order and ours agree

    def _make_agree(self, i, s=0):
        """Before a session with id `i`, maybe `s`, is added: sees to it that both evict the same sessions."""
        while True:
            stays = [m for m in self.lru if self.sessions[m].i != i]
            if s in self.lru or len(stays) < self.size:
                return
            many = len(stays) + 1 - self.size
            ours = self._our_choice(stays, many)
            if self._libssl_choice(stays, many, key=lambda m: self.sessions[m].order) == ours:
                self.evictions["alike"] += 1
                self.leaving = ours
                return
            if self._libssl_choice(stays, many, key=lambda m: -self.lru.index(m)) == ours:
                self._renew_order()
                self.evictions["order renewed"] += 1
                self.leaving = ours
                return
            self.evictions["room made"] += 1
            victim = next((m for m in stays if self.sessions[m].expiry < 0), stays[-1])
            self.record("remove", [victim], self.cache.remove_session(self.sessions[victim].pointer))
            if s and s not in self.sessions:
                return

    def _our_choice(self, stays, many):
        expired = {m for m in stays if self.sessions[m].expiry < 0}
        rest = [m for m in stays if m not in expired]
        if expired:
            many = max(0, many - len(expired))
        return expired | set(rest[len(rest) - many :])

    def _libssl_choice(self, stays, many, key):
        return set(sorted(stays, key=lambda m: (self.sessions[m].expiry, key(m)))[:many])

    def _renew_order(self):
        for m in reversed(self.lru):
            pointer = self.sessions[m].pointer
            self.cache.set_session_time(pointer, self.cache.session_time(pointer))
            self._touch(m)

    def _touch(self, s):
        self.orders += 1
        self.sessions[s].order = self.orders

    # ---- The record

    def record(self, op, args, result, touched=0, used=0):
        """`touched`: the session that libssl put into its place anew; `used`: the one that is now the most
        recently used in ours."""
        openssl.check_callbacks()
        members = {self.cache.name(p) for p in self.cache.sessions()}
        assert not self.leaving & members, "the recorder misjudges libssl's order of eviction"
        self.leaving = set()
        entered = members.difference(self.lru)
        self._account_for_frees(members)
        for s in self.sessions:
            self._normalise(s, s == touched)
        if touched in members:
            self._touch(touched)
        self.lru = [m for m in self.lru if m in members]
        for s in entered or {used} & members:
            if s in self.lru:
                self.lru.remove(s)
            self.lru.insert(0, s)
        self.emit([op, args, result, self.log, self._state(members)])
        self.log = []

    def _account_for_frees(self, members):
        """libssl has freed exactly those that nobody holds and that are not in the cache."""
        freed = sorted(self.cache.freed)
        assert freed == sorted(s for s, x in self.sessions.items() if not x.held and s not in members), freed
        for s in freed:
            del self.sessions[s]
        self.cache.freed.clear()

    def _normalise(self, s, touched):
        """A time that is now becomes the start. It may be a second less, since time() may lag behind a better
        clock, and newer libssl also keeps a fraction of it, unseen. Setting a time puts a session into its
        place; SSL_CTX_add_session of one that is there does so in 3.0, and no more in 3.5."""
        session = self.sessions[s]
        t = self.cache.session_time(session.pointer)
        if t != self.start and abs(t - self.start) < HOUR / 2:
            t, touched = self.start, True
        if touched:
            self.cache.set_session_time(session.pointer, t)
        session.expiry = t - self.start + self.cache.session_timeout(session.pointer)

    def _state(self, members):
        cache = self.cache
        has = sum(cache.has_session(sid) << i for i, sid in enumerate(IDS))
        counters = [cache.counter(name) for name in COUNTERS]
        sessions = []
        for s, x in self.sessions.items():
            t, timeout = cache.session_time(x.pointer) - self.start, cache.session_timeout(x.pointer)
            sessions.append([s, x.held + (s in members), t, timeout])
        return [counters, has, self.lru[:], sessions]


def record(operations, seed, emit):
    """The seeded run: at least so many records, in tables of different sizes. Returns the recorder."""
    rng = random.Random(seed)
    done = 0

    def count(entry):
        nonlocal done
        done += 1
        emit(entry)

    recorder = Recorder(count)
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    while done < operations:
        spare = (
            rng.choice([1, 2, 4]) if rng.random() < 0.9 else 300
        )  # the core has wide links above 255 slots
        recorder.table(rng.choice([1, 2, 3, 4, 8]), spare, rng.random() < 0.6)
        recorder.do("callbacks", rng.getrandbits(16))
        for op in rng.choices(names, weights, k=300):
            recorder.do(op, rng.getrandbits(16), rng.getrandbits(16), rng.getrandbits(16))
    recorder.end()
    return recorder
