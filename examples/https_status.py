# A page over HTTPS that shows the table behind it: how many handshakes were resumed, and the sessions.
#
# Needs microdot (https://microdot.readthedocs.io) in lib/microdot, the native module _sesstab, and cert.der
# and key.der beside this file. On the board:
#
#     import https_status
#     https_status.run()

import asyncio
import ssl

from microdot import Microdot
from sesstab import SessionTable

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>TLS sessions</title></head><body>
<h1>TLS sessions</h1>
<p>%d handshakes in full, %d resumed, %d sessions asked for in vain</p>
<p>%d of %d sessions, most recently used first:</p>
<table><tr><th>age, s</th><th>good for, s</th></tr>
%s</table>
</body></html>
"""
ROW = "<tr><td>%d</td><td>%d</td></tr>\n"

app = Microdot()
table = SessionTable(32)


def rows():
    # A session is an id and secret state: whoever sees them can read the traffic, so they are not for pages.
    now = table.now()
    h = table.next_session()
    while h:
        age = now - table.session_time(h)
        yield ROW % (age, max(table.session_timeout(h) - age, 0))
        h = table.next_session(h)


@app.route("/")
async def index(request):
    counts = (table.sess_stored(), table.sess_hits(), table.sess_misses() + table.sess_timeouts())
    page = PAGE % (counts + (table.sess_number(), table.capacity, "".join(rows())))
    return page, 200, {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store"}


@app.route("/stats")
async def stats(request):
    return table.session_stats()


async def serve(port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("cert.der", "key.der")
    table.attach(context)
    print("https://localhost:%d/" % port)
    await app.start_server(port=port, ssl=context)


def run(port=443):
    asyncio.run(serve(port))
