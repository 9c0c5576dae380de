# The board's part: runs on MicroPython, takes lines of Python from its standard input, and answers with JSON.
# ruff: noqa: E402, F401, I001  (the path comes first, and what is imported is for those lines)
import gc
import json
import socket
import sys

sys.path[:0] = sys.argv[2:]

import asyncio
import ssl
import tls
from sesstab import SESS_CACHE_BOTH, SessionTable

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(socket.getaddrinfo("127.0.0.1", int(sys.argv[1]))[0][-1])
listener.listen(16)


def read_file(name):
    with open(name, "rb") as file:
        return file.read()


def server_context(kind="ec", module=tls):
    context = module.SSLContext(tls.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(read_file(kind + ".der"), read_file(kind + "-key.der"))
    return context


def client_context(kind="ec"):
    """For a client that verifies the server."""
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_REQUIRED
    context.load_verify_locations(read_file(kind + ".der"))
    return context


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n"


def serve(context, n=1):
    """n connections, one after the other: an HTTP request and its answer each. What went wrong, for each."""
    errors = []
    for _ in range(n):
        stream, _ = listener.accept()
        error = None
        try:
            connection = context.wrap_socket(stream, server_side=True)
            line = connection.readline()
            while line and line.strip():
                line = connection.readline()
            connection.write(ANSWER)
            connection.close()
        except (OSError, ValueError) as e:
            error = str(e)
        errors.append(error)
        stream.close()
    return errors


def connect(port):
    stream = socket.socket()
    stream.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
    return stream


def fetch(table, context, port, name="localhost", key=443, number=0, path="/"):
    """One connection as a client: whether it was resumed, and the answer."""
    stream = connect(port)
    try:
        connection = table.wrap_socket(context, stream, server_hostname=name, port=key, context=number)
    except BaseException:
        stream.close()
        raise
    try:
        connection.write(b"GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" % path.encode())
        lines = []
        line = connection.readline()
        while line:
            lines.append(line)
            line = connection.readline()
        return connection.session_reused, b"".join(lines).decode()
    finally:
        connection.close()


def refused(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        return [type(error).__name__, str(error)]


def all_sessions(table):
    handles = []
    h = table.next_session()
    while h:
        handles.append(h)
        h = table.next_session(h)
    return handles


served = [0, 0]  # connections of serve_async: answered, failed


async def answer(reader, writer):
    try:
        line = await reader.readline()
        while line and line.strip():
            line = await reader.readline()
        writer.write(ANSWER)
        await writer.drain()
        served[0] += 1
    except (OSError, ValueError):
        served[1] += 1
    finally:
        writer.close()
        await writer.wait_closed()


async def serve_page(context, port):
    """The example's status page, until a line comes on the standard input."""
    import https_status

    https_status.table = table  # noqa: F821  (the test's)
    page = asyncio.create_task(https_status.app.start_server("127.0.0.1", port, ssl=context))
    await asyncio.StreamReader(sys.stdin).readline()
    page.cancel()
    https_status.app.shutdown()


async def serve_async(context, port):
    """An asyncio server, until a line comes on the standard input."""
    running = await asyncio.start_server(answer, "127.0.0.1", port, backlog=16, ssl=context)
    await asyncio.StreamReader(sys.stdin).readline()
    running.close()
    await running.wait_closed()


print("ready")
while True:
    line = sys.stdin.readline()
    if not line:
        break
    try:
        code = json.loads(line)
        try:
            result = [True, eval(code)]
        except SyntaxError:
            result = [True, exec(code)]
    except Exception as error:
        sys.print_exception(error, sys.stderr)
        result = [False, repr(error)]
    print(json.dumps(result))
