"""The kubelet API's port and paths."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import urllib.parse
from email.utils import formatdate
from typing import TYPE_CHECKING

from windtunnel_emulators.asgi import respond, respond_json
from windtunnel_emulators.kubernetes.node.kubelet import access
from windtunnel_emulators.kubernetes.node.kubelet.containers import ContainerRoutes, Problem
from windtunnel_emulators.kubernetes.node.kubelet.stats import cadvisor_metrics, resource_metrics, summary
from windtunnel_emulators.runtime.interface import RuntimeProblem
from windtunnel_emulators.server import Listener

if TYPE_CHECKING:
    import ssl

    from windtunnel_emulators.asgi import Receive, Scope, Send
    from windtunnel_emulators.kubernetes.node.agent import NodeAgent

_log = logging.getLogger(__name__)
_TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class KubeletServer:
    """Of one node; the ASGI application and its listener."""

    def __init__(self, agent: NodeAgent, tls: ssl.SSLContext) -> None:
        self._agent = agent
        self._tls = tls
        self._containers = ContainerRoutes(agent)
        self._listener: Listener | None = None
        self._dates: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """The port: the definition's, or a free one when that is taken."""
        definition = self._agent.definition
        bound = _bound(definition.address, definition.kubelet_port)
        self._listener = Listener(self, bound, raw_upgrades=True)
        await self._listener.start(self._tls)
        self._dates = asyncio.create_task(self._keep(), name=f"dates of {definition.name}")
        return self._listener.port

    async def stop(self) -> None:
        if self._dates is not None:
            self._dates.cancel()
            await asyncio.gather(self._dates, return_exceptions=True)
        if self._listener is not None:
            await self._listener.stop()

    async def _keep(self) -> None:
        while self._listener is not None:
            self._listener.state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
            await asyncio.sleep(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        method, path = str(scope["method"]), str(scope["path"])
        try:
            access.check(scope["state"]["connection"], _VERBS.get(method, method.lower()), path)
            await self._answer(method, path, scope, receive, send)
        except access.Refused as refused:
            await respond(send, refused.status, str(refused).encode())
        except Problem as problem:
            await respond(send, problem.status, str(problem).encode())
        except RuntimeProblem as problem:
            await respond(send, 500, str(problem).encode())

    async def _answer(self, method: str, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        query = urllib.parse.parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        parts = [part for part in path.split("/") if part]
        agent = self._agent
        match parts:
            case ["healthz"] | ["healthz", _]:
                await respond(send, 200, b"ok")
            case ["pods"]:
                items = [worker.pod for worker in agent.workers()]
                await respond_json(
                    send, 200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [*items]}
                )
            case ["stats", "summary"]:
                await respond_json(send, 200, await summary(agent))
            case ["metrics", "resource"]:
                await respond(send, 200, await resource_metrics(agent), content_type=_TEXT)
            case ["metrics", "cadvisor"]:
                await respond(send, 200, await cadvisor_metrics(agent), content_type=_TEXT)
            case ["metrics"]:
                count = len(agent.workers())
                text = (
                    "# HELP kubelet_running_pods Number of pods on this node\n# TYPE kubelet_running_pods gauge\n"
                    f"kubelet_running_pods {count}\n"
                )
                await respond(send, 200, text.encode(), content_type=_TEXT)
            case ["containerLogs", namespace, pod, container] if method == "GET":
                await self._containers.logs(namespace, pod, container, query, receive, send)
            case ["run", namespace, pod, container] if method == "POST":
                await self._containers.run(namespace, pod, container, query, send)
            case ["exec" | "attach" as verb, namespace, pod, container]:
                await self._containers.stream(verb, namespace, pod, container, query, scope, send)
            case ["exec" | "attach" as verb, namespace, pod, _, container]:
                await self._containers.stream(verb, namespace, pod, container, query, scope, send)
            case ["portForward", namespace, pod] | ["portForward", namespace, pod, _]:
                await self._containers.forward(namespace, pod, query, scope, send)
            case _:
                await respond(send, 404, b"404 page not found")


_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def _bound(address: str, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((address, port))
        except OSError as problem:
            if problem.errno != errno.EADDRINUSE:
                raise
            _log.warning("port %d of %s is in use; the kubelet API takes another one", port, address)
            found.bind((address, 0))
        found.listen(1024)
        found.setblocking(False)
    except BaseException:
        found.close()
        raise
    return found
