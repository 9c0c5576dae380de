# Wakes up, fetches a page over HTTPS, sleeps again. The TLS session outlives the sleep in a file, so that
# every handshake but the first is a short one: less radio, less CPU, longer battery life.
#
# Needs firmware with sesstab in it (docs/building.md), and ca.der: the certificate that signed the server's.
# As the board's main.py:
#
#     import https_client_deepsleep
#     https_client_deepsleep.run()

import socket
import ssl

from sesstab import SESS_CACHE_CLIENT, SessionTable, snapshot

HOST = "example.com"
PORT = 443
SLEEP = 600  # seconds
FILE = "sessions"

table = SessionTable(4, data_size=600, mode=SESS_CACHE_CLIENT)


def connect(address):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations("ca.der")
    sock = socket.socket()
    try:
        sock.connect(socket.getaddrinfo(address, PORT)[0][-1])
        return table.wrap_socket(context, sock, server_hostname=HOST, port=PORT)
    except Exception:
        sock.close()
        raise


def fetch(path, address):
    with connect(address) as stream:
        stream.write(("GET %s HTTP/1.0\r\nHost: %s\r\n\r\n" % (path, HOST)).encode())
        status = stream.readline()
        while stream.readline() not in (b"\r\n", b""):
            pass
        return status, stream.read(), stream.session_reused


def restore():
    try:
        # Should the power have failed for longer, sessions seem younger than they are: the server will then
        # not know them any more, and shake hands in full.
        return snapshot.restore(table, FILE, SLEEP)
    except ValueError as error:
        print("beginning anew:", error)
        return 0


def wake(path="/", address=HOST):
    restore()
    try:
        status, page, reused = fetch(path, address)
        print(status, len(page), "bytes,", "resumed" if reused else "in full")
    finally:
        snapshot.save(table, FILE)
        table.clear()  # nothing in memory that could be read while the board sleeps


def run():
    from machine import deepsleep

    try:
        wake()
    except (OSError, ValueError) as error:  # ValueError: a certificate that is not to be trusted
        print("no luck this time:", error)
    deepsleep(SLEEP * 1000)
