"""CPython's ssl as a server. Arguments: port, certificate, key, and "1.2 id", "1.2 ticket" or "1.3"."""

import contextlib
import socket
import ssl
import sys

port, certificate, key, how = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
only = ssl.TLSVersion.TLSv1_3 if how == "1.3" else ssl.TLSVersion.TLSv1_2
context.minimum_version = context.maximum_version = only
if how == "1.2 id":
    context.options |= ssl.OP_NO_TICKET
listener = socket.create_server(("127.0.0.1", int(port)))
while True:
    stream, _ = listener.accept()
    stream.settimeout(20)
    with contextlib.suppress(OSError), context.wrap_socket(stream, server_side=True) as connection:
        connection.recv(1024)
        word = b"Reused" if connection.session_reused else b"New"
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + word + b"\n")
        connection.unwrap()
