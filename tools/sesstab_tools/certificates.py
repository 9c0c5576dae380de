"""Self-signed server certificates for tests and the demo, made by the openssl command."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_NEW_KEY = {
    "ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
    "rsa": ["-newkey", "rsa:2048"],
}


@dataclass(frozen=True)
class Certificate:
    """A server's certificate and key: PEM for the host, DER for the board (stock firmware reads no PEM)."""

    certificate_pem: Path
    key_pem: Path
    certificate_der: bytes
    key_der: bytes


def make_certificate(folder: Path, kind: str = "ec", name: str = "localhost") -> Certificate:
    """Makes a certificate for `name` in `folder`, for ten days. kind: "ec" (P-256) or "rsa" (2048 bits)."""
    certificate, key = folder / f"{kind}.pem", folder / f"{kind}-key.pem"
    files = ["-nodes", "-keyout", str(key), "-out", str(certificate)]
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"]
    _openssl(["req", "-x509", *_NEW_KEY[kind], *files, "-days", "10", *names])
    return Certificate(
        certificate,
        key,
        _openssl(["x509", "-in", str(certificate), "-outform", "DER"]),
        _openssl(["pkey", "-in", str(key), "-outform", "DER"]),
    )


def _openssl(arguments: list[str]) -> bytes:
    done = subprocess.run(["openssl", *arguments], capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
