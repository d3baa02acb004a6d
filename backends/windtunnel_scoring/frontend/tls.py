"""TLS from a certificate and key given as PEM text or as files; TLS 1.2 at least."""

from __future__ import annotations

import os
import ssl
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_scoring.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Generator


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Raises ``StartError``, which never holds the key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    with _file(certificate, "WINDTUNNEL_TLS_CERT") as chain, _file(key, "WINDTUNNEL_TLS_KEY") as private:
        try:
            context.load_cert_chain(chain, private, password=_no_password)
        except (ssl.SSLError, ValueError) as error:
            raise StartError(
                "the TLS certificate and key cannot be used: WINDTUNNEL_TLS_CERT must hold a PEM certificate (with its"
                f" chain) and WINDTUNNEL_TLS_KEY its own PEM key, without a password ({_reason(error)})"
            ) from None
    return context


def _no_password() -> str:
    raise ValueError("the key is protected by a password")


def _reason(error: Exception) -> str:
    return (error.reason or "not PEM") if isinstance(error, ssl.SSLError) else str(error)


@contextmanager
def _file(value: str, variable: str) -> Generator[str]:
    """A path to what the variable holds: the library reads certificates from files only."""
    if "-----BEGIN" not in value:
        if not Path(value).is_file():
            raise StartError(f"{variable} is neither PEM text nor a file that exists")
        yield value
        return
    # Text that went through a shell or YAML may have its line breaks spelled out.
    text = value.replace("\\n", "\n").encode() + b"\n"
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("tls")
        try:
            os.write(descriptor, text)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:  # mode 0600, gone when it is closed
        file.write(text)
        file.flush()
        yield file.name
