# A small TLS client for the demo and the benchmark: says one line, reads one, and prints a line of JSON about
# each connection. It needs firmware with sesstab in it.

import gc
import json
import socket
from time import ticks_diff, ticks_us

import tls
from serial_link import Meter
from tls_server import heap_of_tls, reset_heap_of_tls


def make_context(certificate):
    """A context that trusts one certificate (DER) and insists on it."""
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_REQUIRED
    context.load_verify_locations(certificate)
    return context


def ask(context, table, port, host="127.0.0.1"):
    """One connection. Prints what the handshake took."""
    raw = socket.socket()
    raw.connect(socket.getaddrinfo(host, port)[0][-1])
    meter = Meter(raw)
    gc.collect()
    gc.disable()
    reset_heap_of_tls()
    heap = gc.mem_alloc()
    start = ticks_us()
    try:
        connection = table.wrap_socket(context, meter, server_hostname="localhost", port=port)
        took = ticks_diff(ticks_us(), start)
        report = {
            "resumed": connection.session_reused,
            "cpu_us": took - meter.waited_us,
            "received": meter.received,
            "sent": meter.sent,
            "heap": gc.mem_alloc() - heap - meter.heap,
            "tls_heap": heap_of_tls(),
        }
        connection.write(b"hello\n")
        connection.readline()
        connection.close()
    finally:
        gc.enable()
    print(json.dumps(report))


def ask_in_turns(context, table, port, rounds):
    """A full handshake, for which the table forgets what it has, and one that resumes; and so on."""
    for _ in range(rounds):
        table.flush_sessions(0)
        ask(context, table, port)
        ask(context, table, port)
