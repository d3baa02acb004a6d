"""``MetricsServer``: metrics.k8s.io/v1beta1, what ``kubectl top`` and the autoscaler read.

``app`` answers the group's paths: the embedded API passes requests on in this process, a real API server calls it
through an APIService.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from windtunnel_emulators.asgi import respond_json
from windtunnel_emulators.kubernetes.client.informer import Informer
from windtunnel_emulators.kubernetes.client.kinds import NODE, POD
from windtunnel_emulators.kubernetes.client.meta import labels_of, name_of, namespace_of, text, timestamp
from windtunnel_emulators.kubernetes.metrics.scraping import Scraper
from windtunnel_emulators.kubernetes.node.words import duration
from windtunnel_emulators.kubernetes.objects.selectors import SelectorError, parse_labels

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from windtunnel_emulators.asgi import ASGI, Receive, Scope, Send
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Client
    from windtunnel_emulators.kubernetes.metrics.samples import Use

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
_API_VERSION = f"{GROUP}/{VERSION}"


class MetricsServer:
    """A ``Component``."""

    def __init__(self, client: Client, clock: Clock, tls: ssl.SSLContext, *, period_s: float = 1.0) -> None:
        """``tls`` shows a certificate that the kubelets let in, and trusts theirs."""
        self._clock = clock
        self._nodes = Informer(client, NODE, clock)
        self._pods = Informer(client, POD, clock)
        self._scraper = Scraper(self._nodes, clock, tls, period_s=period_s)

    @property
    def app(self) -> ASGI:
        return self._serve

    async def start(self) -> None:
        await self._nodes.start()
        await self._pods.start()
        await self._scraper.start()

    async def stop(self) -> None:
        await self._scraper.stop()
        await self._pods.stop()
        await self._nodes.stop()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        parts = [part for part in str(scope["path"]).split("/") if part]
        query = {k: v[0] for k, v in parse_qs(scope["query_string"].decode("latin-1")).items()}
        if scope["method"] not in ("GET", "HEAD"):
            await _refuse(
                send, 405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
            )
            return
        if parts[:1] == ["apis"]:
            parts = parts[1:]
        try:
            await self._answer(parts, query, send)
        except SelectorError as problem:
            await _refuse(send, 400, "BadRequest", str(problem))

    async def _answer(self, parts: list[str], query: dict[str, str], send: Send) -> None:
        match parts:
            case []:
                await respond_json(send, 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group()]})
            case ["metrics.k8s.io"]:
                await respond_json(send, 200, {"kind": "APIGroup", "apiVersion": "v1", **_group()})
            case ["metrics.k8s.io", "v1beta1"]:
                await respond_json(send, 200, _resources())
            case ["metrics.k8s.io", "v1beta1", "nodes"]:
                items = [found for node in self._chosen(self._nodes.objects(), query) if (found := self._node(node))]
                await respond_json(send, 200, _list("NodeMetricsList", items))
            case ["metrics.k8s.io", "v1beta1", "nodes", name]:
                node = self._nodes.get(None, name)
                found = None if node is None else self._node(node)
                await _one(send, found, "nodes", name)
            case ["metrics.k8s.io", "v1beta1", "pods"]:
                await respond_json(send, 200, _list("PodMetricsList", self._all_pods(None, query)))
            case ["metrics.k8s.io", "v1beta1", "namespaces", namespace, "pods"]:
                await respond_json(send, 200, _list("PodMetricsList", self._all_pods(namespace, query)))
            case ["metrics.k8s.io", "v1beta1", "namespaces", namespace, "pods", name]:
                pod = self._pods.get(namespace, name)
                items = [] if pod is None else self._pods_of([pod])
                await _one(send, items[0] if items else None, "pods", name)
            case _:
                await _refuse(send, 404, "NotFound", "the server could not find the requested resource")

    def _all_pods(self, namespace: str | None, query: dict[str, str]) -> list[JsonObject]:
        return self._pods_of(self._chosen(self._pods.objects(namespace), query))

    def _chosen(self, objects: list[JsonObject], query: dict[str, str]) -> list[JsonObject]:
        labels = _label_test(query.get("labelSelector", ""))
        fields = dict(
            part.split("=", 1) for part in query.get("fieldSelector", "").replace("==", "=").split(",") if "=" in part
        )
        return [
            found
            for found in objects
            if labels(labels_of(found))
            and all(text(found, *path.split(".")) == wanted for path, wanted in fields.items())
        ]

    def _node(self, node: JsonObject) -> JsonObject | None:
        used = self._scraper.node(name_of(node))
        if used is None:
            return None
        return {**_head("NodeMetrics", node, used), "usage": _usage(used)}

    def _pods_of(self, pods: list[JsonObject]) -> list[JsonObject]:
        by_pod: dict[tuple[str, str], list[tuple[str, Use]]] = {}
        for (namespace, name, container), used in self._scraper.containers().items():
            by_pod.setdefault((namespace, name), []).append((container, used))
        found: list[JsonObject] = []
        for pod in pods:
            own = by_pod.get((namespace_of(pod), name_of(pod)), [])
            if not own or text(pod, "status", "phase") != "Running":
                continue
            latest = min((used for _, used in own), key=lambda used: used.at)
            containers: list[Json] = [
                {"name": name, "usage": _usage(used)} for name, used in sorted(own, key=lambda o: o[0])
            ]
            found.append({**_head("PodMetrics", pod, latest), "containers": containers})
        return found


def _label_test(selector: str) -> Callable[[dict[str, str]], bool]:
    """Raises ``SelectorError``."""
    if not selector:
        return lambda labels: True
    parsed = parse_labels(selector)
    return parsed.matches


def _head(kind: str, about: JsonObject, used: Use) -> JsonObject:
    at = timestamp(datetime.fromtimestamp(used.at, UTC))
    metadata: JsonObject = {"name": name_of(about), "creationTimestamp": at}
    if namespace_of(about):
        metadata["namespace"] = namespace_of(about)
    if labels_of(about):
        metadata["labels"] = {**labels_of(about)}
    return {
        "kind": kind,
        "apiVersion": _API_VERSION,
        "metadata": metadata,
        "timestamp": at,
        "window": duration(used.window_s),
    }


def _usage(used: Use) -> JsonObject:
    return {"cpu": f"{max(0, round(used.cpu_cores * 1e9))}n", "memory": f"{used.memory_bytes // 1024}Ki"}


def _group() -> JsonObject:
    version: JsonObject = {"groupVersion": _API_VERSION, "version": VERSION}
    return {"name": GROUP, "versions": [version], "preferredVersion": version}


def _resources() -> JsonObject:
    def one(name: str, kind: str, *, namespaced: bool) -> Json:
        return {"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"]}

    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": _API_VERSION,
        "resources": [
            one("nodes", "NodeMetrics", namespaced=False),
            one("pods", "PodMetrics", namespaced=True),
        ],
    }


def _list(kind: str, items: list[JsonObject]) -> JsonObject:
    return {"kind": kind, "apiVersion": _API_VERSION, "metadata": {}, "items": [*items]}


async def _one(send: Send, found: JsonObject | None, resource: str, name: str) -> None:
    if found is not None:
        await respond_json(send, 200, found)
        return
    details: JsonObject = {"name": name, "group": GROUP, "kind": resource}
    await _refuse(send, 404, "NotFound", f'{resource}.{GROUP} "{name}" not found', details)


async def _refuse(send: Send, code: int, reason: str, message: str, details: JsonObject | None = None) -> None:
    status: JsonObject = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    await respond_json(send, code, status if details is None else {**status, "details": details})
