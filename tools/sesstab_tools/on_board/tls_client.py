# A small TLS client for the demo and the benchmark: says one line, reads one, and prints a line of JSON about
# each connection. The stream is a TCP connection or the serial line. It needs firmware with sesstab in it.

import json

import tls
from measure import measure
from serial_link import SerialLink


def make_context(certificate):
    """A context that trusts one certificate (DER) and insists on it."""
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_REQUIRED
    context.load_verify_locations(certificate)
    return context


def ask(context, table, stream):
    """One connection. Prints what the handshake took."""
    connection, report = measure(
        stream, lambda meter: table.wrap_socket(context, meter, server_hostname="localhost")
    )
    report["resumed"] = connection.session_reused
    connection.write(b"hello\n")
    connection.readline()
    connection.close()
    print(json.dumps(report))


def ask_in_turns(context, table, rounds, connect):
    """A full handshake, for which the table forgets what it has, and one that resumes; and so on."""
    for _ in range(rounds):
        table.flush_sessions(0)
        ask(context, table, connect())
        ask(context, table, connect())


def ask_serial(context, table, rounds):
    """Of a server whose records the host carries over the serial line (sesstab_tools/link.py)."""
    ask_in_turns(context, table, rounds, SerialLink)


def ask_tcp(context, table, rounds, port, host="127.0.0.1"):
    import socket

    def connect():
        stream = socket.socket()
        stream.connect(socket.getaddrinfo(host, port)[0][-1])
        return stream

    ask_in_turns(context, table, rounds, connect)
