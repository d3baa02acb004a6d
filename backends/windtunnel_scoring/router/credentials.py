"""How the router reaches the Kubernetes API: from inside a cluster, or with a kubeconfig.

Inside: ``KUBERNETES_SERVICE_HOST``, ``KUBERNETES_SERVICE_PORT`` and the files of the service account, whose token is
read again every minute, since the cluster renews it. Outside: the current context of ``KUBECONFIG``; JSON needs
nothing, YAML needs pyyaml. Certificates, tokens and token files are understood; plugins are not run.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import ssl
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import urlsplit

from windtunnel_scoring.errors import StartError
from windtunnel_scoring.router.definition import LayoutError, Reader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_scoring.jsontypes import Json

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_RENEW_S = 60.0


class _Yaml(Protocol):
    def safe_load(self, text: str) -> object: ...


@dataclass(slots=True, kw_only=True)
class Credentials:
    """Where the API is and who we are."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    namespace: str
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    _read_at: float = field(default=float("-inf"), repr=False)

    def authorization(self) -> str:
        """The header's value; empty when a certificate says who we are."""
        if self.token_file is not None and time.monotonic() - self._read_at > _RENEW_S:
            self._read_at = time.monotonic()
            try:
                self.token = self.token_file.read_text("utf-8").strip()
            except OSError:
                # While the file is replaced; the old token holds for some time yet.
                self._read_at = float("-inf")
        return f"Bearer {self.token}" if self.token else ""


def find(variables: Mapping[str, str]) -> Credentials:
    """From a kubeconfig when ``KUBECONFIG`` is set, else from inside. Raises ``StartError``."""
    path = variables.get("KUBECONFIG")
    if path:
        return from_kubeconfig(Path(path))
    host = variables.get("KUBERNETES_SERVICE_HOST")
    port = variables.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise StartError(
            "there is no Kubernetes API: KUBERNETES_SERVICE_HOST is not set, as it is in a pod,"
            " and neither is KUBECONFIG"
        )
    account = Path(variables.get("WINDTUNNEL_SERVICE_ACCOUNT_DIR") or ACCOUNT)
    if not port.isdigit():
        raise StartError(f"KUBERNETES_SERVICE_PORT is {port!r}: a port is needed")
    try:
        namespace = (account / "namespace").read_text("utf-8").strip()
        context = ssl.create_default_context(cafile=str(account / "ca.crt"))
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"the service account in {account} cannot be used: {error}") from error
    return Credentials(
        host=host.strip("[]"), port=int(port), tls=context, namespace=namespace, token_file=account / "token"
    )


def from_kubeconfig(path: Path) -> Credentials:
    """The current context. Raises ``StartError``."""
    try:
        top = Reader.of(_load(path.read_text("utf-8")), str(path))
        context = _named(top, "contexts", top.text("current-context", needed=True)).inner("context")
        cluster = _named(top, "clusters", context.text("cluster", needed=True)).inner("cluster")
        user = _named(top, "users", context.text("user", needed=True)).inner("user")
        return _credentials(path, cluster, user, context.text("namespace") or "default")
    except (OSError, ssl.SSLError, ValueError, LayoutError) as error:
        raise StartError(f"the kubeconfig {path} cannot be used: {error}") from error


def _credentials(path: Path, cluster: Reader, user: Reader, namespace: str) -> Credentials:
    url = urlsplit(cluster.text("server", needed=True))
    if url.scheme not in ("http", "https") or not url.hostname:
        raise LayoutError(f"{cluster.where}/server is {cluster.text('server')!r}; an http(s) URL is needed")
    context: ssl.SSLContext | None = None
    if url.scheme == "https":
        data, file = cluster.text("certificate-authority-data"), cluster.text("certificate-authority")
        authority = base64.b64decode(data).decode() if data else None
        context = ssl.create_default_context(cafile=str(path.parent / file) if file else None, cadata=authority)
        if cluster.flag("insecure-skip-tls-verify", default=False):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        _load_certificate(path, context, user)
    if user.inner("exec").text("command"):
        raise LayoutError(f"{user.where}/exec: plugins are not run; use a token or a certificate")
    token_file = user.text("tokenFile")
    return Credentials(
        host=url.hostname,
        port=url.port or (443 if url.scheme == "https" else 80),
        tls=context,
        namespace=namespace,
        token=user.text("token"),
        token_file=path.parent / token_file if token_file else None,
    )


def _load_certificate(path: Path, context: ssl.SSLContext, user: Reader) -> None:
    certificate, key = user.text("client-certificate-data"), user.text("client-key-data")
    if certificate and key:
        # The library reads files only; this one has mode 0600 and is gone at once.
        with tempfile.NamedTemporaryFile(delete=False) as file:
            file.write(base64.b64decode(certificate) + b"\n" + base64.b64decode(key))
        try:
            context.load_cert_chain(file.name)
        finally:
            os.unlink(file.name)
    elif user.text("client-certificate") and user.text("client-key"):
        context.load_cert_chain(path.parent / user.text("client-certificate"), path.parent / user.text("client-key"))


def _load(text: str) -> Json:
    try:
        return cast("Json", json.loads(text))
    except ValueError:
        pass
    try:
        yaml = cast("_Yaml", importlib.import_module("yaml"))
    except ImportError:
        raise LayoutError("it is no JSON, and pyyaml, which reads YAML, is not installed") from None
    try:
        return cast("Json", yaml.safe_load(text))
    except Exception as error:  # its error classes are its own
        raise LayoutError(f"it is no YAML ({error})") from error


def _named(top: Reader, list_name: str, name: str) -> Reader:
    for entry in top.items(list_name):
        if entry.text("name") == name:
            return entry
    raise LayoutError(f"{top.where}/{list_name} has no {name!r}")
