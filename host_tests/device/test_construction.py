import gc

import sesstab
import sesstab.pure
from sesstab import SessionTable
from support import make, put, raises, set_property

GOOD = {"capacity": 4, "spare": 2, "data_size": 50, "timeout": 7200, "mode": 2, "clock": None}
RANGES = {
    "capacity": (1, 100),
    "spare": (0, 100),
    "data_size": (1, 2047),
    "timeout": (0, 2**32 - 2),
    "mode": (0, 0x783),
}


def construct(name, value):
    arguments = dict(GOOD)
    arguments[name] = value
    return SessionTable(**arguments)


def test_engine_is_named():
    assert sesstab.ENGINE in ("pure", "native")


def default_data_size():
    # What a server's session takes: more where the firmware has TLS 1.3 and the engine can attach to it.
    if sesstab.ENGINE == "native":
        import _sesstab

        if "1.3" in getattr(_sesstab, "TLS", ()):
            return 54
    return 50


def test_defaults():
    table = SessionTable(3)
    assert (table.capacity, table.spare, table.data_size) == (3, 2, default_data_size())
    assert (table.timeout, table.mode, table.cache_size) == (7200, sesstab.SESS_CACHE_SERVER, 3)
    assert (table.on_new, table.on_get, table.on_remove) == (None, None, None)
    assert table.sess_number() == 0
    assert table.next_session() == 0


def test_positional_and_keyword_arguments():
    def clock():
        return 7

    one = SessionTable(3, 1, 20, 60, sesstab.SESS_CACHE_BOTH, clock)
    two = SessionTable(
        clock=clock, mode=sesstab.SESS_CACHE_BOTH, timeout=60, data_size=20, spare=1, capacity=3
    )
    for table in (one, two):
        assert (table.capacity, table.spare, table.data_size) == (3, 1, 20)
        assert (table.timeout, table.mode, table.now()) == (60, 3, 7)


def test_modes_have_openssls_values():
    assert sesstab.SESS_CACHE_OFF == 0
    assert sesstab.SESS_CACHE_CLIENT == 1
    assert sesstab.SESS_CACHE_SERVER == 2
    assert sesstab.SESS_CACHE_BOTH == 3
    assert sesstab.SESS_CACHE_NO_AUTO_CLEAR == 0x80
    assert sesstab.SESS_CACHE_NO_INTERNAL_LOOKUP == 0x100
    assert sesstab.SESS_CACHE_NO_INTERNAL_STORE == 0x200
    assert sesstab.SESS_CACHE_NO_INTERNAL == 0x300
    assert sesstab.SESS_CACHE_UPDATE_TIME == 0x400


def test_the_limits_are_accepted():
    for name in RANGES:
        for value in RANGES[name]:
            assert getattr(construct(name, value), name) == value


def test_values_out_of_range_raise_value_error():
    for name in RANGES:
        least, most = RANGES[name]
        most = 65535 if name in ("capacity", "spare") else most
        for value in (least - 1, most + 1, -(2**40), 2**40, 2**70):
            assert raises(ValueError, construct, name, value)
    assert raises(ValueError, SessionTable, 65535, 1)
    assert raises(ValueError, SessionTable, 65534)
    assert raises(ValueError, construct, "mode", 4)


def test_wrong_types_raise_type_error():
    for name in RANGES:
        for value in (None, "1", b"1", 1.0, [], (1,)):
            assert raises(TypeError, construct, name, value)
    for value in (1, "clock", [], 0.5):
        assert raises(TypeError, construct, "clock", value)
    assert raises(TypeError, SessionTable)


def test_a_bool_is_an_int():
    table = SessionTable(True, spare=False, data_size=True, timeout=True, mode=True)
    assert (table.capacity, table.spare, table.data_size, table.timeout, table.mode) == (1, 0, 1, 1, 1)
    assert type(table.capacity) is type(table.data_size) is int


def test_settings_refuse_wrong_values_and_keep_theirs():
    table, _ = make()
    for name, values in (
        ("timeout", (-1, 2**32 - 1, 2**70)),
        ("mode", (-1, 4, 0x800, 0x10000, 2**70)),
        ("cache_size", (-1, -(2**70))),
    ):
        before = getattr(table, name)
        for value in values:
            assert raises(ValueError, set_property, table, name, value)
        for value in (None, "1", b"1", 1.0, []):
            assert raises(TypeError, set_property, table, name, value)
        assert getattr(table, name) == before


def test_callbacks_refuse_what_cannot_be_called():
    table, _ = make()
    for name in ("on_new", "on_get", "on_remove"):
        setattr(table, name, test_engine_is_named)
        for value in (0, 1, "f", b"f", [], 1.5):
            assert raises(TypeError, set_property, table, name, value)
        assert getattr(table, name) is test_engine_is_named
        setattr(table, name, None)
        assert getattr(table, name) is None


def test_sizes_are_read_only():
    table, _ = make()
    for name in ("capacity", "spare", "data_size"):
        before = getattr(table, name)
        assert raises(AttributeError, set_property, table, name, 1)
        assert getattr(table, name) == before


def test_the_pure_engine_cannot_attach():
    table = sesstab.pure.SessionTable(4)
    assert raises(NotImplementedError, table.attach, None)
    assert raises(NotImplementedError, table.detach, None)


def test_size_of_is_0_out_of_range():
    size_of = SessionTable.size_of
    assert size_of(1, 0, 1) > 0
    assert size_of(65533) > size_of(65532) > 0
    assert size_of(65535, 0, 2047) > 65535 * 2047
    for arguments in (
        (0,),
        (-1,),
        (65534,),
        (65535, 1),
        (4, -1),
        (4, 65532),
        (4, 2, 0),
        (4, 2, 2048),
        (2**40,),
        (4, 2**40),
        (4, 2, -(2**40)),
        (2**70,),
    ):
        assert size_of(*arguments) == 0
    for wrong in (None, "4", 4.0, b"4"):
        assert raises(TypeError, size_of, wrong)
        assert raises(TypeError, size_of, 4, wrong)
        assert raises(TypeError, size_of, 4, 2, wrong)


def test_size_of_grows_with_every_argument():
    size_of = SessionTable.size_of
    assert size_of(20) > size_of(10)
    assert size_of(10, 12) > size_of(10, 2)
    assert size_of(10, 2, 150) > size_of(10, 2, 50)
    assert size_of(10) == size_of(10, 2) == size_of(10, 2, default_data_size())
    assert size_of(1000) == size_of(1000, 2, default_data_size())


def test_size_of_is_what_a_table_takes():
    if not hasattr(gc, "mem_alloc"):  # CPython's heap cannot be measured so
        return
    tables = [SessionTable(1), None, None, None, None, None]
    for n, sizes in enumerate(((4, 2, 50), (16, 2, 50), (7, 0, 200), (64, 3, 32), (30, 2, 50))):
        gc.collect()
        before = gc.mem_alloc()
        tables[n + 1] = SessionTable(*sizes)
        gc.collect()
        more = gc.mem_alloc() - before - SessionTable.size_of(*sizes)
        # The heap's blocks are up to 32 bytes, and garbage of before may have gone or stayed.
        assert -64 <= more <= 64


def test_a_table_of_65535_slots():
    if hasattr(gc, "mem_free") and gc.mem_free() < 2 * SessionTable.size_of(65533, 2, 1):
        small = gc.mem_free() // (3 * SessionTable.size_of(100, 0, 1) // 100)
        table = SessionTable(small, 2, 1)
    else:
        table = SessionTable(65533, 2, 1)
    for n in range(300):
        put(table, b"%d" % n, b"d")
    for n in range(300):
        h = table.get_session(b"%d" % n)
        assert h
        assert table.remove_session(h) == 1
        assert table.free(h) == 1
    assert table.sess_number() == 0
