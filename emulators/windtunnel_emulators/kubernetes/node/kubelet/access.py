"""Who may ask a kubelet: clients with a certificate of the cluster that are its API server or one of its masters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MASTERS = "system:masters"
ALLOWED_NAMES = frozenset({"kube-apiserver-kubelet-client", "system:kubelet-api-admin"})
ALLOWED_GROUPS = frozenset({MASTERS, "system:kubelet-api-admin", "windtunnel:metrics"})


class Refused(Exception):
    """401 or 403, with the body that a kubelet gives."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def check(connection: Callable[[str], Any], verb: str, path: str) -> None:
    """Raises ``Refused``. ``connection`` is a transport's ``get_extra_info``; its TLS has verified the certificate."""
    tls = connection("ssl_object")
    certificate = None if tls is None else tls.getpeercert()
    if not certificate:
        raise Refused(401, "Unauthorized")
    fields = [pair for part in certificate.get("subject", ()) for pair in part]
    names = [value for field, value in fields if field == "commonName"]
    groups = {value for field, value in fields if field == "organizationName"}
    if groups & ALLOWED_GROUPS or ALLOWED_NAMES.intersection(names):
        return
    user = names[0] if names else "system:anonymous"
    subresource = _SUBRESOURCES.get(path.strip("/").split("/", 1)[0], "proxy")
    raise Refused(403, f"Forbidden (user={user}, verb={verb}, resource=nodes, subresource(s)=[{subresource}])")


_SUBRESOURCES = {"stats": "stats", "metrics": "metrics", "logs": "log", "healthz": "healthz", "pods": "pods"}
