# What may be shown of a table: its counters, and of each session, most recently used first, the age, the
# timeout and the context. No id and no data, since whoever has those can read the traffic.
#
# `sesstab monitor` runs this at the board's prompt. A program that leaves no prompt, as a server, answers
# it instead: with this file in the board's lib/, it starts answer() beside its own tasks,
#
#     asyncio.create_task(table_status.answer(table))

import sys

_COUNTERS = (
    '{"number": %d, "capacity": %d, "stored": %d, "hits": %d, "misses": %d, "timeouts": %d, '
    '"evictions": %d, "cb_hits": %d, "sessions": ['
)


def show(table):
    # Prints a line of JSON, in pieces, since one string of all would take a large piece of the heap.
    write = sys.stdout.write
    write(
        _COUNTERS
        % (
            table.sess_number(),
            table.cache_size,
            table.sess_stored(),
            table.sess_hits(),
            table.sess_misses(),
            table.sess_timeouts(),
            table.sess_cache_full(),
            table.sess_cb_hits(),
        )
    )
    now = table.now()
    comma = ""
    h = table.next_session()
    while h:
        age = now - table.session_time(h)
        write("%s[%d, %d, %d]" % (comma, age, table.session_timeout(h), table.session_context(h)))
        comma = ", "
        h = table.next_session(h)
    write("]}\n")


async def answer(table):
    # Shows the table whenever Enter comes in on the REPL's line.
    import asyncio

    keys = asyncio.StreamReader(sys.stdin)
    while True:
        key = await keys.read(1)
        if not key:  # nobody can ask any more
            return
        if key in ("\r", "\n"):
            show(table)
