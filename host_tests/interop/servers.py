"""Servers for a client on the board. Each tells whether connections were resumed: in its page or its log."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sesstab_tools.certificates import Certificate

from interop.clients import GNUTLS_PRIORITY
from interop.process import Process, free_port, wait_for_port
from interop.wire import ID, TLS13

# Mbed TLS 3.6.6 asks for signatures with RSA-PSS in TLS 1.2, and refuses them: test_interop.py shows it.
_OPENSSL = """
openssl_conf = a
[a]
ssl_conf = b
[b]
system_default = c
[c]
SignatureAlgorithms = ECDSA+SHA256:RSA+SHA256
"""
_GNUTLS = "".join(f":-SIGN-RSA-PSS-RSAE-SHA{size}" for size in (256, 384, 512))


def openssl_settings(way: str, folder: Path, pss: bool = False) -> dict[str, str]:
    """For TLS 1.2: no RSA-PSS."""
    (folder / "openssl.cnf").write_text("" if pss or way == TLS13 else _OPENSSL)
    return {"OPENSSL_CONF": str(folder / "openssl.cnf")}


@dataclass
class Server:
    program: Process
    port: int

    def said(self, pages: list[str]) -> list[bool]:
        """Whether the connections were resumed that gave these pages, by what the server says."""
        words = [re.search(r"^(New|Reused)\b", page, re.M) for page in pages]
        assert all(words), pages
        return [match[1] == "Reused" for match in words if match]


class GnutlsServer(Server):
    def said(self, pages: list[str]) -> list[bool]:
        parts = self.program.log.split("* Accepted connection")[1:]
        assert len(parts) == len(pages), parts
        return ["This is a resumed session" in part for part in parts]


@contextmanager
def openssl(certificate: Certificate, way: str, folder: Path, pss: bool = False) -> Iterator[Server]:
    port = free_port()
    version = ["-tls1_3"] if way == TLS13 else ["-tls1_2"]
    options = [*version, "-no_ticket"] if way == ID else version
    files = ["-cert", certificate.certificate_pem, "-key", certificate.key_pem]
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-www", *files, *options]
    settings = openssl_settings(way, folder, pss)
    with Process(command, folder, log="s_server-log", environment=settings) as program:
        wait_for_port(program, port)
        yield Server(program, port)


@contextmanager
def python(certificate: Certificate, way: str, folder: Path) -> Iterator[Server]:
    port = free_port()
    script = Path(__file__).with_name("python_server.py")
    command = [sys.executable, script, port, certificate.certificate_pem, certificate.key_pem, way]
    with Process(command, folder, log="python-log", environment=openssl_settings(way, folder)) as program:
        wait_for_port(program, port)
        yield Server(program, port)


NGINX = """
daemon off; master_process off; pid %(folder)s/nginx.pid; error_log stderr;
events { worker_connections 32; }
http {
    access_log off;
    map $ssl_session_reused $reused { r Reused; default New; }
    client_body_temp_path %(folder)s; proxy_temp_path %(folder)s; fastcgi_temp_path %(folder)s;
    uwsgi_temp_path %(folder)s; scgi_temp_path %(folder)s;
    server {
        listen 127.0.0.1:%(port)d ssl;
        ssl_certificate %(certificate)s;
        ssl_certificate_key %(key)s;
        ssl_protocols %(version)s;
        ssl_session_cache shared:sessions:1m;
        ssl_session_tickets %(tickets)s;
        location / { return 200 "$reused\\n"; }
    }
}
"""


@contextmanager
def nginx(certificate: Certificate, way: str, folder: Path) -> Iterator[Server]:
    values = {
        "folder": folder,
        "port": free_port(),
        "certificate": certificate.certificate_pem,
        "key": certificate.key_pem,
        "version": "TLSv1.3" if way == TLS13 else "TLSv1.2",
        "tickets": "off" if way == ID else "on",
    }
    (folder / "nginx.conf").write_text(NGINX % values)
    command = ["nginx", "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr"]
    with Process(command, folder, log="nginx-log", environment=openssl_settings(way, folder)) as program:
        wait_for_port(program, values["port"])
        yield Server(program, values["port"])


@contextmanager
def gnutls(certificate: Certificate, way: str, folder: Path) -> Iterator[Server]:
    port = free_port()
    files = ["--x509certfile", certificate.certificate_pem, "--x509keyfile", certificate.key_pem]
    priority = "NORMAL:-VERS-ALL:" + GNUTLS_PRIORITY[way] + ("" if way == TLS13 else _GNUTLS)
    options = ["--noticket"] if way == ID else []
    command = ["gnutls-serv", "--http", "--port", port, "--priority", priority, *files, *options]
    with Process(command, folder, log="gnutls-serv-log") as program:
        wait_for_port(program, port)
        yield GnutlsServer(program, port)


SERVERS = {"OpenSSL s_server": openssl, "CPython ssl": python, "nginx": nginx, "GnuTLS gnutls-serv": gnutls}
