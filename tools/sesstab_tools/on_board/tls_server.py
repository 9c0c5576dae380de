# A small TLS server for the demo and the tests: it answers one line with one line, and prints a line of JSON
# about each connection. The stream is a TCP connection or the serial line.

import json
import sys

import tls
from measure import measure
from serial_link import SerialLink


def make_context(certificate, key):
    """A server's context, from DER bytes."""
    context = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def answer(context, table, stream):
    """One connection: handshake, one line in, one line out. Prints what the handshake took."""
    hits = table.sess_hits()
    connection, report = measure(stream, lambda meter: context.wrap_socket(meter, server_side=True))
    report["resumed"] = table.sess_hits() > hits
    report["hits"] = table.sess_hits()
    report["misses"] = table.sess_misses()
    report["sessions"] = table.sess_number()
    request = connection.readline()
    connection.write((b"resumed " if report["resumed"] else b"full ") + request)
    connection.close()
    print(json.dumps(report))


def serve_serial(context, table, connections):
    """Answers connections that the host carries over the serial line (sesstab_tools/link.py)."""
    for _ in range(connections):
        link = SerialLink()
        try:
            answer(context, table, link)
        except OSError as error:
            sys.print_exception(error)
        finally:
            link.close()


def serve_tcp(context, table, connections, port, host="127.0.0.1"):
    """Answers TCP connections; prints a line of JSON when it listens."""
    import socket

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(socket.getaddrinfo(host, port)[0][-1])
    listener.listen(1)
    print(json.dumps({"listening": port}))
    try:
        for _ in range(connections):
            stream, _ = listener.accept()
            try:
                answer(context, table, stream)
            except OSError as error:  # a client that goes away does not end the server
                sys.print_exception(error)
            finally:
                stream.close()
    finally:
        listener.close()
