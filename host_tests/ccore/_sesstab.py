"""The C core as CPython's native engine: SessionTable behind cffi (ABI mode), built on demand with gcc.

With SESSTAB_SANITIZE=1 the core is built with ASan and UBSan; the process must then be started with libasan
preloaded: LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0.
"""

import hashlib
import os
import re
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "firmware" / "core"
SOURCES = [CORE / "sesstab.c", CORE / "sesstab_snapshot.c"]
HEADERS = [CORE / "sesstab.h", CORE / "sesstab_snapshot.h"]
BUILD = ROOT / "build" / "ccore"
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wconversion"]
SANITIZE = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]

SESS_CACHE_CLIENT = 0x001
SESS_CACHE_SERVER = 0x002
MODES = 0x783
TIME_MAX = 2**32 - 1
DEFAULT_TIMEOUT = 2**32 - 1
STALE = 2**32 - 1  # no handle has this value
REFUSALS = {  # sesstab_snapshot.h
    -1: "snapshot is damaged",
    -2: "snapshot has an unknown version",
    -3: "snapshot has data longer than data_size",
}


def build(sanitize=False):
    """Compiles the core into build/ccore/ unless it is there, and returns the library's path."""
    command = [*shlex.split(os.environ.get("CC", "gcc")), "-std=c99", "-O2", "-fPIC", "-shared", *WARNINGS]
    command += SANITIZE if sanitize else []
    content = b"".join(file.read_bytes() for file in [*SOURCES, *HEADERS]) + repr(command).encode()
    library = BUILD / f"sesstab-{hashlib.sha256(content).hexdigest()[:16]}.so"
    if not library.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
            out = Path(scratch) / "sesstab.so"
            subprocess.run([*command, *map(str, SOURCES), "-o", str(out)], check=True)
            out.replace(library)  # at once: test processes may build at the same time
    return library


def declarations():
    """What the headers declare, for cffi: they without their preprocessor lines."""
    text = "".join(header.read_text() for header in HEADERS)
    text = re.sub(r"#ifdef __cplusplus.*?#endif", "", text, flags=re.S)
    return re.sub(r"^#(.*\\\n)*.*$", "", text, flags=re.M)


ffi = FFI()
ffi.cdef(declarations())
lib = ffi.dlopen(str(build(os.environ.get("SESSTAB_SANITIZE") == "1")))


def _int(value):
    if not isinstance(value, int):
        raise TypeError(f"an int is needed, not {type(value).__name__}")
    return int(value)


def _in_range(name, value, low, high):
    if not low <= _int(value) <= high:
        raise ValueError(f"{name} is {value}, must be {low} to {high}")
    return int(value)


def _handle(value):
    return value if 0 <= _int(value) < 2**30 else STALE


def _callable(value):
    if value is not None and not callable(value):
        raise TypeError(f"a callable or None is needed, not {type(value).__name__}")
    return value


def _bytes(buffer):
    return bytes(memoryview(buffer))


def _writable(buffer):
    view = memoryview(buffer)
    if view.readonly:
        raise TypeError("a writable buffer is needed")
    return view.cast("B")


def _own_clock():
    start = time.monotonic()
    return lambda: int(time.monotonic() - start) + 1


# A callback answers 0 whatever happens in the user's function: nothing may unwind through the core.
def _callback(signature):
    error = None if signature.startswith("void") else 0
    return ffi.callback(signature, error=error, onerror=lambda *_: None)


@_callback("uint32_t(void *)")
def _clock(arg):
    seconds = ffi.from_handle(arg)._seconds()
    if not isinstance(seconds, (int, float)):
        return 0
    seconds = int(seconds)
    return seconds if 0 <= seconds <= TIME_MAX else 0


@_callback("int(void *, uint32_t)")
def _on_new(arg, h):
    table = ffi.from_handle(arg)
    return 1 if table.on_new is not None and table.on_new(table, h) else 0


@_callback("uint32_t(void *, const uint8_t *, size_t)")
def _on_get(arg, _id, _id_len):
    table = ffi.from_handle(arg)
    if table.on_get is None:
        return 0
    h = table.on_get(table, table._asked)
    return _handle(h) if isinstance(h, int) else 0


@_callback("void(void *, uint32_t)")
def _on_remove(arg, h):
    table = ffi.from_handle(arg)
    if table.on_remove is not None:
        table.on_remove(table, h)


class SessionTable:
    def __init__(self, capacity, spare=2, data_size=50, timeout=7200, mode=SESS_CACHE_SERVER, clock=None):
        self._capacity = _in_range("capacity", capacity, 1, 65535)
        self._spare = _in_range("spare", spare, 0, 65535 - self._capacity)
        self._data_size = _in_range("data_size", data_size, 1, 2047)
        self._seconds = _callable(clock) or _own_clock()
        self._on_new = self._on_get = self._on_remove = self._asked = None
        self._self = ffi.new_handle(self)
        config = ffi.new("sesstab_config_t *")
        config.capacity, config.spare, config.data_size = self._capacity, self._spare, self._data_size
        config.mode = self._checked_mode(mode)
        config.timeout = _in_range("timeout", timeout, 0, TIME_MAX - 1)
        config.seed = [int.from_bytes(os.urandom(4), "little") for _ in range(2)]
        config.arg, config.clock = self._self, _clock
        config.on_new, config.on_get, config.on_remove = _on_new, _on_get, _on_remove
        size = self.size_of(capacity, spare, data_size)
        self._block = ffi.new("uint64_t[]", (size + 7) // 8)
        self._size = size
        self._t = lib.sesstab_init(self._block, size, config)
        if not self._t:
            raise ValueError("sesstab_init refused its configuration")

    @staticmethod
    def _checked_mode(mode):
        if _int(mode) & ~MODES:
            raise ValueError(f"mode is {mode:#x}, must consist of SESS_CACHE_* flags")
        return int(mode)

    def _memory(self):
        """A copy of all the table's memory, for tests."""
        return bytes(ffi.buffer(self._block))[: self._size]

    @staticmethod
    def size_of(capacity, spare=2, data_size=50):
        arguments = [_int(capacity), _int(spare), _int(data_size)]
        return lib.sesstab_size(*arguments) if all(0 <= a <= 65535 for a in arguments) else 0

    def now(self):
        return lib.sesstab_now(self._t)

    def clear(self):
        lib.sesstab_clear(self._t)

    # Sessions

    def new_session(self, id, data, timeout=None, context=0):
        id, data, context = _bytes(id), _bytes(data), _int(context)
        timeout = DEFAULT_TIMEOUT if timeout is None else self._own_timeout(timeout)
        if timeout < 0 or not 0 <= context <= 255:
            return 0
        return lib.sesstab_new_session(self._t, id, len(id), data, len(data), timeout, context)

    @staticmethod
    def _own_timeout(timeout):
        return timeout if 0 <= _int(timeout) < DEFAULT_TIMEOUT else -1

    def up_ref(self, h):
        return lib.sesstab_up_ref(self._t, _handle(h))

    def free(self, h):
        return lib.sesstab_free(self._t, _handle(h))

    # The table

    def add_session(self, h):
        return lib.sesstab_add_session(self._t, _handle(h))

    def remove_session(self, h):
        return lib.sesstab_remove_session(self._t, _handle(h))

    def get_session(self, id, context=0):
        key = _bytes(id)
        if not 0 <= _int(context) <= 255:
            return 0
        outer, self._asked = self._asked, id
        try:
            return lib.sesstab_get_session(self._t, key, len(key), context)
        finally:
            self._asked = outer

    def has_session(self, id):
        id = _bytes(id)
        return lib.sesstab_has_session(self._t, id, len(id))

    def flush_sessions(self, now=None):
        now = self.now() if now is None else _int(now)
        return lib.sesstab_flush_sessions(self._t, now) if 0 <= now <= TIME_MAX else 0

    def update_cache(self, h, side=SESS_CACHE_SERVER):
        h = _handle(h)
        return lib.sesstab_update_cache(self._t, h, side) if 0 <= _int(side) <= TIME_MAX else 0

    # What a session holds

    def _read(self, function, h, buf):
        view = _writable(buf)
        length = ffi.new("size_t *")
        content = function(self._t, _handle(h), length)
        if length[0] > len(view):
            return 0
        view[: length[0]] = bytes(ffi.buffer(content, length[0])) if length[0] else b""
        return length[0]

    def session_id(self, h, buf):
        return self._read(lib.sesstab_session_id, h, buf)

    def session_data(self, h, buf):
        return self._read(lib.sesstab_session_data, h, buf)

    def session_time(self, h):
        return lib.sesstab_session_time(self._t, _handle(h))

    def session_timeout(self, h):
        return lib.sesstab_session_timeout(self._t, _handle(h))

    def session_context(self, h):
        return lib.sesstab_session_context(self._t, _handle(h))

    def set_session_time(self, h, t):
        h = _handle(h)
        return lib.sesstab_set_session_time(self._t, h, t) if 0 <= _int(t) <= TIME_MAX else 0

    def set_session_timeout(self, h, t):
        h, t = _handle(h), self._own_timeout(t)
        return lib.sesstab_set_session_timeout(self._t, h, t) if t >= 0 else 0

    def session_refs(self, h):
        return lib.sesstab_session_refs(self._t, _handle(h))

    # Statistics

    def sess_number(self):
        return lib.sesstab_sess_number(self._t)

    def sess_hits(self):
        return lib.sesstab_sess_hits(self._t)

    def sess_misses(self):
        return lib.sesstab_sess_misses(self._t)

    def sess_timeouts(self):
        return lib.sesstab_sess_timeouts(self._t)

    def sess_cache_full(self):
        return lib.sesstab_sess_cache_full(self._t)

    def sess_cb_hits(self):
        return lib.sesstab_sess_cb_hits(self._t)

    def sess_stored(self):
        return lib.sesstab_sess_stored(self._t)

    def session_stats(self):
        good = self.sess_stored() + self.sess_hits()
        side = self.mode & (SESS_CACHE_SERVER | SESS_CACHE_CLIENT)
        connect = good if side == SESS_CACHE_CLIENT else 0
        accept = good if side & SESS_CACHE_SERVER else 0
        return {
            "number": self.sess_number(),
            "connect": connect,
            "connect_good": connect,
            "connect_renegotiate": 0,
            "accept": accept,
            "accept_good": accept,
            "accept_renegotiate": 0,
            "hits": self.sess_hits(),
            "misses": self.sess_misses(),
            "timeouts": self.sess_timeouts(),
            "cache_full": self.sess_cache_full(),
        }

    def next_session(self, h=0):
        return lib.sesstab_next(self._t, _handle(h))

    # Snapshots

    def dump_size(self):
        return lib.sesstab_dump_size(self._t)

    def dump(self, buf=None, max_bytes=None):
        if buf is None:
            view = memoryview(bytearray(self.dump_size()))
            return bytes(view[: self.dump(view, max_bytes)])
        view = _writable(buf)
        size = len(view) if max_bytes is None else min(max(_int(max_bytes), 0), len(view))
        return lib.sesstab_dump(self._t, ffi.from_buffer("uint8_t[]", view, require_writable=True), size)

    def load(self, buf, elapsed=0):
        _bytes(buf)  # or TypeError
        snapshot = ffi.from_buffer(buf)  # as it is, since the clock may change it
        elapsed = elapsed if 0 <= _int(elapsed) <= TIME_MAX else TIME_MAX
        loaded = lib.sesstab_load(self._t, snapshot, len(snapshot), elapsed)
        if loaded < 0:
            raise ValueError(REFUSALS[loaded])
        return loaded

    # TLS

    def attach(self, ctx):
        raise NotImplementedError("CPython's ssl cannot use a table: attach works on MicroPython")

    def detach(self, ctx):
        raise NotImplementedError("CPython's ssl cannot use a table: detach works on MicroPython")

    def wrap_socket(self, *args, **kwargs):
        from sesstab.client import wrap_socket

        return wrap_socket(self, *args, **kwargs)

    def open_connection(self, *args, **kwargs):
        from sesstab.client import open_connection

        return open_connection(self, *args, **kwargs)

    # Properties

    @property
    def capacity(self):
        return self._capacity

    @property
    def spare(self):
        return self._spare

    @property
    def data_size(self):
        return self._data_size

    @property
    def mode(self):
        return lib.sesstab_get_mode(self._t)

    @mode.setter
    def mode(self, mode):
        lib.sesstab_set_mode(self._t, self._checked_mode(mode))

    @property
    def timeout(self):
        return lib.sesstab_get_timeout(self._t)

    @timeout.setter
    def timeout(self, timeout):
        lib.sesstab_set_timeout(self._t, _in_range("timeout", timeout, 0, TIME_MAX - 1))

    @property
    def cache_size(self):
        return lib.sesstab_sess_get_cache_size(self._t)

    @cache_size.setter
    def cache_size(self, size):
        if _int(size) < 0:
            raise ValueError(f"cache_size is {size}, must not be negative")
        lib.sesstab_sess_set_cache_size(self._t, min(size, 0xFFFFFFFF))

    @property
    def on_new(self):
        return self._on_new

    @on_new.setter
    def on_new(self, function):
        self._on_new = _callable(function)

    @property
    def on_get(self):
        return self._on_get

    @on_get.setter
    def on_get(self, function):
        self._on_get = _callable(function)

    @property
    def on_remove(self):
        return self._on_remove

    @on_remove.setter
    def on_remove(self, function):
        self._on_remove = _callable(function)
