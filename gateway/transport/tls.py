"""Whom we trust on the other side of TLS."""

import ssl
from pathlib import Path

import certifi


def trust(ca_file: str | None = None) -> ssl.SSLContext:
    """A context that verifies chain and name, TLS 1.2 or later, HTTP/1.1 only.

    Trusted are the machine's authorities (the bundle of certifi where the machine has none, as on a bare Debian), and
    those of ``ca_file`` (PEM) besides. Raises ``OSError`` if ``ca_file`` cannot be read. Reads files: once per process.
    """
    context = ssl.create_default_context(cafile=None if _machine_has_authorities() else certifi.where())
    # Distributions leave the versions to OpenSSL's configuration, which may be loose.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _machine_has_authorities() -> bool:
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())))
