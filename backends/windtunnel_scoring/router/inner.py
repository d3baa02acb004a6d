"""The router's inner port, for the cluster alone: other routers, and whoever watches the router.

``GET /`` is its health; ``GET /services`` its view of all services as JSON; ``GET /metrics`` the same as Prometheus
reads it; ``/api/...`` are requests that other routers hand over. Nothing here shows a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_scoring.asgi import HTML, Response, json_response, send_response
from windtunnel_scoring.router.answers import unknown_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_scoring.asgi import Receive, Scope, Send
    from windtunnel_scoring.jsontypes import Json, JsonObject
    from windtunnel_scoring.router.app import RouterApp
    from windtunnel_scoring.router.directory import Directory
    from windtunnel_scoring.router.service import Version

_METRICS = ("ready", "busy", "queued", "mirrored", "notMirrored")


class InnerApp:
    """The ASGI application of the inner port."""

    def __init__(self, router: RouterApp, directory: Directory, healthy: Callable[[], bool]) -> None:
        self._router = router
        self._directory = directory
        self._healthy = healthy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"])
        if path.startswith("/api/"):
            await self._router.handle(scope, receive, send, handed_over=True)
            return
        if path == "/":
            healthy = self._healthy()
            body = b"Healthy" if healthy else b"Unhealthy"
            response = Response(status=200 if healthy else 500, body=body, headers=(("content-type", HTML),))
        elif path == "/services":
            response = json_response(200, self.view())
        elif path == "/metrics":
            response = Response(body=self._metrics().encode(), headers=(("content-type", "text/plain; version=0.0.4"),))
        else:
            response = unknown_path()
        await send_response(send, response, head=scope["method"] == "HEAD")

    def view(self) -> JsonObject:
        """By service and version: replicas, places, counts and traffic."""
        found: JsonObject = {}
        for name, service in sorted(self._directory.services.items()):
            shares = service.definition.shares
            versions: dict[str, Json] = {
                version.name: {**_counts(version), "traffic": shares[version.name]}
                for version in service.versions.values()
            }
            found[name] = {"namespace": service.namespace, "versions": versions}
        return found

    def _metrics(self) -> str:
        lines: list[str] = []
        for metric in _METRICS:
            kind = "counter" if "irrored" in metric else "gauge"
            name = {"notMirrored": "not_mirrored"}.get(metric, metric) + ("_total" if kind == "counter" else "")
            lines.append(f"# TYPE windtunnel_router_{name} {kind}")
            for service in self._directory.services.values():
                lines += [
                    f'windtunnel_router_{name}{{service="{service.name}",version="{version.name}"}}'
                    f" {_counts(version)[metric]}"
                    for version in service.versions.values()
                ]
        return "".join(f"{line}\n" for line in lines)


def _counts(version: Version) -> dict[str, Json]:
    slots = version.slots
    return {
        "replicas": version.deployment.replicas if version.deployment is not None else None,
        "ready": slots.ready,
        "busy": slots.busy,
        "queued": slots.queued,
        "mirrored": version.mirrored,
        "notMirrored": version.not_mirrored,
    }
