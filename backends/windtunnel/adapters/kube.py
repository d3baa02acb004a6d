"""``Kube``: one cluster's Kubernetes API by the official client, with objects as JSON."""

from __future__ import annotations

import importlib
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, cast

from windtunnel.errors import AuthenticationFailed, Conflict, InvalidSpec, NotFound, QuotaExceeded, ServiceError
from windtunnel.jsontypes import as_list, as_object, as_str

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from windtunnel.errors import WindtunnelError
    from windtunnel.jsontypes import Json, JsonObject

FIELD_MANAGER = "windtunnel"
_LIMIT_S = 30.0
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_ROOTS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/{n}serviceaccounts",
    "Secret": "/api/v1/{n}secrets",
    "ConfigMap": "/api/v1/{n}configmaps",
    "Service": "/api/v1/{n}services",
    "Pod": "/api/v1/{n}pods",
    "Event": "/api/v1/{n}events",
    "Node": "/api/v1/nodes",
    "ReplicaSet": "/apis/apps/v1/{n}replicasets",
    "Deployment": "/apis/apps/v1/{n}deployments",
    "Role": "/apis/rbac.authorization.k8s.io/v1/{n}roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/{n}rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "PodDisruptionBudget": "/apis/policy/v1/{n}poddisruptionbudgets",
}


class _Response(Protocol):
    data: bytes


class _Api(Protocol):
    """What of the official ``ApiClient`` is used; the package has no types."""

    rest_client: Any
    """Its pool of connections, which its own ``close`` leaves open."""

    def call_api(self, path: str, method: str, /, **options: object) -> _Response: ...
    def close(self) -> None: ...


class _Refused(Protocol):
    """``ApiException``."""

    status: int
    reason: str
    body: bytes | str | None


class Kube:
    """Raises the errors of ``windtunnel.errors``. May be used from any thread."""

    def __init__(self, api: _Api) -> None:
        self._api = api

    @classmethod
    def connect(cls, kubeconfig: bytes) -> Kube:
        """From a kubeconfig file, as ARM gives it."""
        import yaml  # the client's own dependency

        config: Any = importlib.import_module("kubernetes.config")
        found: dict[str, Any] = yaml.safe_load(kubeconfig)
        api: _Api = config.new_client_from_config_dict(found)
        return cls(api)

    def get(self, kind: str, name: str, namespace: str | None = None) -> JsonObject | None:
        """None when it is not there."""
        try:
            return self._call("GET", f"{_path(kind, namespace)}/{name}", f"reading {kind} {name!r}")
        except NotFound:
            return None

    def list_all(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[JsonObject]:
        """Those with these labels (a selector)."""
        query = {"labelSelector": labels} if labels else {}
        answer = self._call("GET", _path(kind, namespace), f"listing objects of kind {kind}", query=query)
        return [as_object(item) for item in as_list(answer.get("items"))]

    def apply(self, manifest: Mapping[str, Json]) -> JsonObject:
        """Server-side apply: what is not in the manifest and was before goes; others' fields stay."""
        kind, metadata = as_str(manifest["kind"]), as_object(manifest["metadata"])
        name, namespace = as_str(metadata["name"]), metadata.get("namespace")
        path = f"{_path(kind, namespace if isinstance(namespace, str) else None)}/{name}"
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return self._call("PATCH", path, f"applying {kind} {name!r}", query=query, body=dict(manifest), kind=_APPLY)

    def apply_all(self, manifests: Iterable[Mapping[str, Json]]) -> None:
        """In this order."""
        for manifest in manifests:
            self.apply(manifest)

    def merge(
        self, kind: str, name: str, patch: JsonObject, namespace: str | None = None, *, subresource: str | None = None
    ) -> JsonObject:
        """A JSON merge patch."""
        path = f"{_path(kind, namespace)}/{name}" + (f"/{subresource}" if subresource else "")
        return self._call("PATCH", path, f"changing {kind} {name!r}", body=patch, kind=_MERGE)

    def delete(self, kind: str, name: str, namespace: str | None = None, *, foreground: bool = False) -> bool:
        """False when it was not there."""
        options: JsonObject = {"propagationPolicy": "Foreground" if foreground else "Background"}
        try:
            self._call("DELETE", f"{_path(kind, namespace)}/{name}", f"deleting {kind} {name!r}", body=options)
        except NotFound:
            return False
        return True

    def log(self, pod: str, namespace: str, container: str, *, tail: int, previous: bool = False) -> str:
        """A container's output; empty when it has none. Raises ``NotFound`` when there is no such run of it."""
        query = {"container": container, "tailLines": str(tail)} | ({"previous": "true"} if previous else {})
        with _translated(f"reading the log of pod {pod!r}"):
            response = self._send("GET", f"{_path('Pod', namespace)}/{pod}/log", query, None, None)
        return response.decode("utf-8", "replace")

    def close(self) -> None:
        """Close the connections."""
        self._api.rest_client.pool_manager.clear()
        self._api.close()

    def _call(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        query: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
        kind: str = "application/json",
    ) -> JsonObject:
        with _translated(doing):
            answer = self._send(method, path, query or {}, body, kind)
        return as_object(json.loads(answer)) if answer else {}

    def _send(
        self, method: str, path: str, query: Mapping[str, str], body: JsonObject | None, kind: str | None
    ) -> bytes:
        headers = {"Accept": "application/json, */*"} | ({"Content-Type": kind} if body is not None and kind else {})
        response = self._api.call_api(
            path,
            method,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _return_http_data_only=True,
            _request_timeout=_LIMIT_S,
        )
        return response.data


def prefetch() -> None:
    """Import the client in the background: it takes the better part of a second, as long as an image builds."""

    def load() -> None:
        importlib.import_module("kubernetes.config")

    threading.Thread(target=load, name="import of kubernetes", daemon=True).start()


def _path(kind: str, namespace: str | None) -> str:
    return _ROOTS[kind].format(n=f"namespaces/{namespace}/" if namespace else "")


@contextmanager
def _translated(doing: str) -> Generator[None]:
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        raise _translate(cast("_Refused", error), doing) from error
    except HTTPError as error:
        raise ServiceError(
            f"{doing}: the cluster's API cannot be reached: {error}",
            way_out="Is the cluster running? `az aks show` tells its power state.",
        ) from error


def _translate(error: _Refused, doing: str) -> WindtunnelError:
    status = _status(error.body)
    said = as_str(status.get("message")) if isinstance(status.get("message"), str) else str(error.reason)
    reason = as_str(status.get("reason")) if isinstance(status.get("reason"), str) else None
    message = f"{doing}: {said}"
    match error.status:
        case 401 | 403 if "exceeded quota" in said:
            return QuotaExceeded(message, code=reason)
        case 401 | 403:
            return AuthenticationFailed(message, code=reason, way_out="Check the role that you have on the cluster.")
        case 404:
            return NotFound(message, code=reason)
        case 409:
            return Conflict(message, code=reason)
        case 400 | 422:
            return InvalidSpec(message, code=reason)
        case _:
            return ServiceError(message, status=error.status, code=reason)


def _status(body: object) -> JsonObject:
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    if not isinstance(text, str):
        return {}
    try:
        return as_object(json.loads(text))
    except (ValueError, TypeError):
        return {}
