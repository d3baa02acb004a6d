"""A client from a kubeconfig: the current context's server, authority and certificate or token."""

from __future__ import annotations

import base64
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.http import HttpClient
from windtunnel_emulators.kubernetes.client.interface import KubernetesProblem
from windtunnel_emulators.kubernetes.client.meta import entries, mapping, text

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject


class ConfigError(KubernetesProblem):
    """A kubeconfig that names no server or user to speak to."""


def client_from_kubeconfig(path: Path) -> HttpClient:
    """The client of the file's current context. Raises ``ConfigError`` with what is missing."""
    import yaml

    document: JsonObject = yaml.safe_load(path.read_text("utf-8"))
    current = text(document, "current-context")
    context = _named(document, "contexts", current, "context", path)
    cluster = _named(document, "clusters", text(context, "cluster"), "cluster", path)
    user = _named(document, "users", text(context, "user"), "user", path)
    server = text(cluster, "server")
    if not server:
        raise ConfigError(f"{path}: the cluster of context {current!r} has no server")
    authority = _content(cluster, "certificate-authority", path)
    tls = ssl.create_default_context(cadata=authority.decode("ascii") if authority else None)
    certificate, key = _content(user, "client-certificate", path), _content(user, "client-key", path)
    if certificate and key:
        # ssl reads certificates from files only.
        with tempfile.TemporaryDirectory(prefix="windtunnel-") as folder:
            pair = Path(folder) / "client.pem"
            pair.touch(mode=0o600)
            pair.write_bytes(certificate + b"\n" + key)
            tls.load_cert_chain(pair)
    return HttpClient(server, context=tls, token=text(user, "token") or None)


def _named(document: JsonObject, section: str, name: str, part: str, path: Path) -> JsonObject:
    for each in entries(document, section):
        if text(each, "name") == name:
            return mapping(each, part)
    raise ConfigError(f"{path}: {section} has no {name!r}")


def _content(section: JsonObject, field: str, path: Path) -> bytes:
    inline, file = text(section, f"{field}-data"), text(section, field)
    if inline:
        return base64.b64decode(inline)
    return (path.parent / file).read_bytes() if file else b""
