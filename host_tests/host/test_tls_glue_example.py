"""examples/c: the server builds as its Makefile says, and resumes."""

from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from sesstab_tools.certificates import make_certificate

ROOT = Path(__file__).resolve().parents[2]
SANITIZERS = "-fsanitize=address,undefined"


@pytest.mark.parametrize("version", ["2.28", "3.6"])
def test_the_example_server_resumes(version: str, tmp_path: Path) -> None:
    subprocess.run([ROOT / "tools" / "setup" / "mbedtls_host.sh", version], check=True)
    folder, program = ROOT / "build" / "mbedtls" / version, tmp_path / "server"
    libraries = " ".join(
        f"{folder}/lib/lib{name}.a"
        for name in ("mbedtls", "mbedx509", "mbedcrypto")
        if (folder / "lib" / f"lib{name}.a").exists()
    )
    variables = [f"OUT={program}", f"MBEDTLS_CFLAGS=-isystem {folder}/include", f"MBEDTLS_LIBS={libraries}"]
    make = ["make", "-s", "-C", ROOT / "examples" / "c", *variables, f"CFLAGS={SANITIZERS} -Werror"]
    subprocess.run(make, check=True)
    certificate = make_certificate(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, str(port), certificate.certificate_pem, certificate.key_pem]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout and "ready" in server.stdout.readline()
        context = ssl.create_default_context(cafile=certificate.certificate_pem)
        session, greetings = None, []
        for _ in range(3):
            stream = socket.create_connection(("127.0.0.1", port), 20)
            with context.wrap_socket(stream, server_hostname="localhost", session=session) as connection:
                greetings.append(connection.recv(100).decode())
                session = connection.session
        assert greetings == [f"hello; 1 sessions, {n} resumed\n" for n in range(3)]
    finally:
        server.kill()
        server.communicate()
