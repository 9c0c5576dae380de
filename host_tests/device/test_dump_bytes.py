# What dump() returns without a buffer is bytes like any other.

import sesstab
from support import make, put


def test_it_compares_and_hashes_as_bytes():
    table, _ = make()
    for count in range(4):
        data = table.dump()
        copy = bytes(bytearray(data))
        assert type(data) is bytes and len(data) == table.dump_size()
        assert data == copy and copy == data and data == table.dump()
        assert hash(data) == hash(copy)
        assert {data: count}[copy] == count and {copy: count}[data] == count
        put(table, b"id%d" % count, b"state")


def test_it_has_the_length_of_what_is_in_it():
    table, clock = make()
    put(table, b"old", timeout=1)
    put(table, b"new")
    whole = table.dump()
    clock.time += 2  # one has expired
    data = table.dump()
    assert 12 < len(data) < len(whole)
    assert table.dump(None, 12) == sesstab.SessionTable(1).dump()
    assert len(table.dump(None, 12)) == 12
    assert table.dump(None, 11) == table.dump(None, 0) == b"" and len(table.dump(None, 0)) == 0
    assert table.load(data) == 0
