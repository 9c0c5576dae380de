# A clock, or on_get, that changes the very buffer a call works on: no byte goes where it does not belong.

import sesstab

TIME = 1000
SECRET = b"S" * 50


class Mover:
    """A clock that once, when it is given a bytearray, makes it larger, so that it moves and others take its
    old place."""

    def __init__(self):
        self.buffer = None
        self.others = []

    def __call__(self):
        buffer, self.buffer = self.buffer, None
        if buffer is not None:
            self.move(buffer)
        return TIME

    def move(self, buffer):
        size = len(buffer)
        try:
            buffer.extend(bytes(5000))
        except BufferError:  # CPython's bytearrays stay where they are while somebody looks at them
            return
        self.others = [bytearray(b"x" * size) for _ in range(60)]

    def spared(self):
        return all(bytes(other) == b"x" * len(other) for other in self.others)


def make(data_size=50, mode=sesstab.SESS_CACHE_SERVER):
    clock = Mover()
    return sesstab.SessionTable(4, 2, data_size, 100, mode, clock), clock


def put(table, id, data=SECRET):
    h = table.new_session(id, data)
    assert table.add_session(h) == 1
    table.free(h)
    return h


def contents(table, h):
    id, data = bytearray(32), bytearray(2047)
    return bytes(id[: table.session_id(h, id)]), bytes(data[: table.session_data(h, data)])


def test_dump():
    table, clock = make()
    put(table, b"id")
    expected = table.dump()
    buffer = bytearray(200)
    next_to_it = bytearray(200)  # noqa: F841, so that it cannot grow where it is
    clock.buffer = buffer
    used = table.dump(buffer)
    assert clock.spared()
    assert bytes(buffer[:used]) == expected


def test_load():
    table, clock = make(mode=sesstab.SESS_CACHE_SERVER | sesstab.SESS_CACHE_UPDATE_TIME)
    for i in range(3):
        put(table, b"id%d" % i)
    buffer = bytearray(table.dump())
    next_to_it = bytearray(len(buffer))  # noqa: F841
    table.clear()
    clock.buffer = buffer
    try:
        loaded = table.load(buffer)
    except ValueError:  # it ends with zeros now
        loaded = 0
    assert loaded == table.sess_number()
    h = table.next_session()
    while h:
        id, data = contents(table, h)
        assert id[:2] == b"id" and data == SECRET
        h = table.next_session(h)


def test_load_that_is_shortened():
    table, clock = make()
    put(table, b"id")
    buffer = bytearray(table.dump())
    table.clear()

    def shorten(buffer):
        buffer[:] = b""

    clock.move = shorten
    clock.buffer = buffer
    try:
        assert table.load(buffer) in (0, 1)
    except ValueError:
        pass


def test_new_session():
    for which in range(2):
        table, clock = make(600)
        given = [bytearray(b"i" * 32), bytearray(b"d" * 500)]
        next_to_it = bytearray(len(given[which]))  # noqa: F841
        clock.buffer = given[which]
        h = table.new_session(given[0], given[1])
        # What was given, or, when that has become too long, nothing.
        assert h == 0 or contents(table, h) == (b"i" * 32, b"d" * 500)


def test_get_session():
    table, clock = make()
    put(table, b"A" * 32, b"a")
    put(table, b"x" * 32, b"b")  # what stands in the old place
    id = bytearray(b"A" * 32)
    next_to_it = bytearray(32)  # noqa: F841
    clock.buffer = id
    h = table.get_session(id)
    assert contents(table, h) == (b"A" * 32, b"a")


def test_get_session_whose_on_get_changes_the_id():
    table, clock = make()
    made = []

    def on_get(table, id):
        made.append(table.new_session(b"x" * 32, b"another"))
        clock.move(id)
        return made[0]

    table.on_get = on_get
    id = bytearray(b"A" * 32)
    next_to_it = bytearray(32)  # noqa: F841
    assert table.get_session(id) == 0
    assert table.session_refs(made[0]) == 0 and table.sess_number() == 0


def test_on_get_gets_the_id_that_was_given():
    table, _ = make()
    seen = []
    table.on_get = lambda table, id: seen.append(id)
    for id in (b"id", bytearray(b"i" * 32), b"i" * 32):
        assert table.get_session(id) == 0
        assert seen.pop() is id


def test_an_id_of_a_wrong_length_is_not_found():
    table, _ = make()
    put(table, b"A" * 32)
    for id in (b"", b"A" * 33, b"A" * 64, b"A" * 300):
        assert table.get_session(id) == 0


def test_the_clock_goes_on_during_on_get():
    """A session that on_get makes later is not one from the future."""
    table = sesstab.SessionTable(4, 2, 50, 100, sesstab.SESS_CACHE_SERVER, lambda: times[0])
    times = [10]

    def on_get(table, id):
        times[0] += 5
        return table.new_session(id, b"")

    table.on_get = on_get
    h = table.get_session(b"id")
    assert h and table.session_time(h) == 15 and table.now() == 15
