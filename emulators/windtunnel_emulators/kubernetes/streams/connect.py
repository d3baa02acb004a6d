"""``Connector``: what the embedded API answers for the subresources that lead to a node, a pod or a service.

``pods/{log,exec,attach,portforward}`` go to the node's kubelet API with the API server's own certificate; an upgraded
connection is spliced byte for byte, so WebSocket and SPDY clients get what the kubelet says. ``proxy`` of a pod, a
service or a node goes to the pod's, an endpoint's or the kubelet's port. The API's listener has ``raw_upgrades``.

The API authorizes the request, asks ``connect`` for the application that answers it, and passes the request on to that.
"""

from __future__ import annotations

import asyncio
import random
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from windtunnel_emulators.asgi import chunks, respond_json
from windtunnel_emulators.kubernetes.client.interface import StatusError
from windtunnel_emulators.kubernetes.client.kinds import ENDPOINT_SLICE, NODE, POD, SERVICE
from windtunnel_emulators.kubernetes.client.meta import dig, entries, number, text, words
from windtunnel_emulators.kubernetes.streams.splice import splice

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    import httpx

    from windtunnel_emulators.asgi import ASGI, Receive, Scope, Send
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.client.objects import Objects

_CONNECT_S = 10.0
_HEAD_S = 40.0
_LONGEST_HEAD = 64 * 1024
_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "host"}
_SECRETS = {"authorization", "cookie"}
_LOG_OPTIONS = {
    "follow",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "timestamps",
    "tailLines",
    "limitBytes",
    "stream",
}
_STREAMS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
_REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 500: "InternalError"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What was asked for: ``GET …/namespaces/NS/pods/NAME/SUBRESOURCE/PATH?QUERY``."""

    resource: str
    """``pods``, ``services`` or ``nodes``."""
    subresource: str
    namespace: str | None
    name: str
    """As in the path: for proxies also ``https:NAME:PORT``."""
    path: str = ""
    """What follows ``proxy``, with its first slash, percent-encoded as it came."""
    query: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Where:
    host: str
    port: int
    tls: ssl.SSLContext | None = None
    shown: str = ""
    """Of the Host header."""


class Connector:
    """Of one cluster."""

    def __init__(
        self,
        objects: Objects,
        tls: ssl.SSLContext,
        loopback: Callable[[str], str | None],
        *,
        unchecked: ssl.SSLContext | None = None,
    ) -> None:
        """``objects`` reads pods, nodes, services and EndpointSlices. ``tls`` trusts the cluster's authority and shows
        the certificate of the API server's kubelet client. ``loopback`` finds the address behind a pod's
        (``ClusterNetwork.pods.loopback``)."""
        self._objects = objects
        self._tls = tls
        self._loopback = loopback
        self._unchecked = unchecked
        self._client: httpx.AsyncClient | None = None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def connect(self, asked: Connection) -> ASGI:
        """The application that answers. Raises ``StatusError``."""
        match asked.resource, asked.subresource:
            case "pods", "proxy":
                return self._proxy(await self._pod_port(asked), asked.path, asked.query)
            case "services", "proxy":
                return self._proxy(await self._endpoint(asked), asked.path, asked.query)
            case "nodes", "proxy":
                node = asked.name.rpartition(":")[0] or asked.name
                where = await self._kubelet(node.removeprefix("https:"))
                return self._proxy(where, asked.path or "/", asked.query)
            case "pods", "log" | "exec" | "attach" | "portforward":
                return await self._to_pod(asked)
            case _:
                raise _status(404, "NotFound", "the server could not find the requested resource")

    async def _to_pod(self, asked: Connection) -> ASGI:
        pod = await self._objects.find(POD, asked.namespace, asked.name)
        if pod is None:
            raise _status(404, "NotFound", f'pods "{asked.name}" not found')
        query = urllib.parse.parse_qs(asked.query, keep_blank_values=True)
        node = text(pod, "spec", "nodeName")
        verb = asked.subresource
        if verb == "portforward":
            path = f"/portForward/{asked.namespace}/{asked.name}"
            kept = {"ports": query["ports"]} if "ports" in query else {}
        else:
            container = _container(pod, asked.name, query.get("container", [""])[0])
            path = f"/{'containerLogs' if verb == 'log' else verb}/{asked.namespace}/{asked.name}/{container}"
            if verb == "log":
                kept = {name: values for name, values in query.items() if name in _LOG_OPTIONS}
            else:
                kept = {short: ["1"] for name, short in _STREAMS if _true(query, name)}
                if verb == "exec":
                    if not any(query.get("command", ())):
                        raise _status(400, "BadRequest", "you must specify at least 1 command for the container")
                    kept["command"] = query["command"]
        if not node:
            if verb == "log":
                return _nothing
            raise _status(400, "BadRequest", f"pod {asked.name} does not have a host assigned")
        where = await self._kubelet(node)
        return self._proxy(where, path, urllib.parse.urlencode(kept, doseq=True), pod=asked.name)

    async def _kubelet(self, name: str) -> _Where:
        node = await self._objects.find(NODE, None, name)
        if node is None:
            raise _status(404, "NotFound", f'nodes "{name}" not found')
        found = entries(node, "status", "addresses")
        address = next((text(a, "address") for a in found if a.get("type") == "InternalIP"), "")
        port = number(node, "status", "daemonEndpoints", "kubeletEndpoint", "Port")
        if not address or not port:
            raise _status(500, "InternalError", f"no preferred addresses found; known addresses: {found}")
        return _Where(host=address, port=port, tls=self._tls, shown=f"{address}:{port}")

    async def _pod_port(self, asked: Connection) -> _Where:
        scheme, name, port = _split(asked.name)
        pod = await self._objects.find(POD, asked.namespace, name)
        if pod is None:
            raise _status(404, "NotFound", f'pods "{name}" not found')
        if not port:
            ports = [
                number(p, "containerPort") for c in entries(pod, "spec", "containers") for p in entries(c, "ports")
            ]
            port = str(ports[0]) if ports else "80"
        if not port.isdigit():
            raise _status(400, "BadRequest", f'invalid port "{port}" of pod {name}')
        return self._at(text(pod, "status", "podIP"), int(port), scheme, f"pod {name}")

    async def _endpoint(self, asked: Connection) -> _Where:
        scheme, name, port = _split(asked.name)
        namespace = asked.namespace or ""
        service = await self._objects.find(SERVICE, namespace, name)
        if service is None:
            raise _status(404, "NotFound", f'services "{name}" not found')
        ports = entries(service, "spec", "ports")
        chosen = next((p for p in ports if port in (text(p, "name"), str(number(p, "port")))), None)
        if not port and len(ports) == 1:
            chosen = ports[0]
        if chosen is None:
            raise _status(503, "ServiceUnavailable", f'no service port "{port}" found for service "{name}"')
        slices = await self._objects.list(
            ENDPOINT_SLICE, namespace, label_selector=f"kubernetes.io/service-name={name}"
        )
        found: list[tuple[str, int]] = []
        for each in slices:
            for target in entries(each, "ports"):
                if text(target, "name") == text(chosen, "name"):
                    found += [
                        (address, number(target, "port"))
                        for endpoint in entries(each, "endpoints")
                        if dig(endpoint, "conditions", "ready") is not False
                        for address in words(endpoint, "addresses")
                    ]
        if not found:
            raise _status(503, "ServiceUnavailable", f'no endpoints available for service "{name}"')
        address, number_of_port = random.choice(found)  # noqa: S311  # spreads load, guards nothing
        return self._at(address, number_of_port, scheme, f"service {name}")

    def _at(self, address: str, port: int, scheme: str, what: str) -> _Where:
        loopback = self._loopback(address) if address else None
        if loopback is None:
            raise _status(503, "ServiceUnavailable", f"{what} cannot be reached: it has no address here")
        tls = self._unchecked_tls() if scheme == "https" else None
        return _Where(host=loopback, port=port, tls=tls, shown=f"{address}:{port}")

    def _unchecked_tls(self) -> ssl.SSLContext:
        import ssl

        if self._unchecked is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self._unchecked = context
        return self._unchecked

    def _proxy(self, where: _Where, path: str, query: str, *, pod: str | None = None) -> ASGI:
        target = (path or "/") + (f"?{query}" if query else "")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]]
            try:
                if scope["type"] == "http" and _upgrades(headers):
                    await _bridge(where, target, headers, scope, send, pod)
                else:
                    await self._pass(where, target, headers, scope, receive, send, pod)
            except OSError as problem:
                said = f"error dialing backend: dial tcp {where.shown}: {problem.strerror or problem}"
                await respond_json(send, 503 if pod is None else 500, _body(503 if pod is None else 500, said))

        return app

    async def _pass(
        self,
        where: _Where,
        target: str,
        headers: list[tuple[str, str]],
        scope: Scope,
        receive: Receive,
        send: Send,
        pod: str | None,
    ) -> None:
        """An ordinary request, streamed both ways."""
        import httpx

        client = self._http()
        kept = [(n, v) for n, v in headers if n not in _HOP and n not in _SECRETS]
        scheme = "http" if where.tls is None else "https"
        has_body = any(n in ("content-length", "transfer-encoding") for n, _ in headers)
        request = client.build_request(
            scope["method"],
            f"{scheme}://{where.host}:{where.port}{target}",
            headers=[*kept, ("host", where.shown)],
            content=chunks(receive) if has_body and scope["method"] not in ("GET", "HEAD") else None,
        )
        try:
            answer = await client.send(request, stream=True)
        except httpx.TransportError as problem:
            raise OSError(str(problem) or type(problem).__name__) from problem
        gone: asyncio.Task[None] | None = None
        try:
            if pod is not None and answer.status_code >= 400:
                said = (await answer.aread()).decode("utf-8", "replace").strip()
                await respond_json(send, answer.status_code, _body(answer.status_code, said))
                return
            passed = [(n.lower(), v) for n, v in answer.headers.raw if n.lower().decode("latin-1") not in _HOP]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": passed})
            pouring = asyncio.ensure_future(_pour(answer, send))
            gone = None if has_body else asyncio.ensure_future(_until_gone(receive))
            try:
                await asyncio.wait({pouring, *([gone] if gone else [])}, return_when=asyncio.FIRST_COMPLETED)
                if pouring.done():
                    pouring.result()
                    await send({"type": "http.response.body", "body": b""})
            except httpx.TransportError:
                # It broke off in the middle of the answer; so does ours.
                scope["state"]["abort"]()
            finally:
                pouring.cancel()
                await asyncio.gather(pouring, return_exceptions=True)
        finally:
            if gone is not None:
                gone.cancel()
                await asyncio.gather(gone, return_exceptions=True)
            await answer.aclose()

    def _http(self) -> httpx.AsyncClient:
        import httpx

        if self._client is None:
            timeout = httpx.Timeout(None, connect=_CONNECT_S)
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
            self._client = httpx.AsyncClient(
                verify=self._tls, timeout=timeout, limits=limits, trust_env=False, follow_redirects=False
            )
        return self._client


async def _bridge(
    where: _Where, target: str, headers: list[tuple[str, str]], scope: Scope, send: Send, pod: str | None
) -> None:
    """A request for another protocol: what the other side says to it is passed on, and then both are spliced."""
    name = where.host if where.tls is not None else None
    async with asyncio.timeout(_CONNECT_S):
        reader, writer = await asyncio.open_connection(where.host, where.port, ssl=where.tls, server_hostname=name)
    try:
        kept = [(n, v) for n, v in headers if n not in _SECRETS and n != "host"]
        lines = [
            f"{scope['method']} {target} HTTP/1.1",
            f"host: {where.shown}",
            *(f"{n}: {v}" for n, v in kept),
            "",
            "",
        ]
        writer.write("\r\n".join(lines).encode("latin-1"))
        async with asyncio.timeout(_HEAD_S):
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            if status != 101:
                await _refusal(status, head, reader, send, pod)
                return
        transport, rest = scope["state"]["take_over"]()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError) as problem:
        writer.transport.abort()
        raise OSError("the answer is no HTTP") from problem
    except BaseException:
        writer.transport.abort()
        raise
    # What the other side said after its head is in the reader.
    early = bytes(reader._buffer)  # type: ignore[attr-defined]  # no other way to get it at once
    reader._buffer.clear()  # type: ignore[attr-defined]
    transport.write(head)
    await splice(transport, rest, cast("asyncio.Transport", writer.transport), early)


async def _refusal(status: int, head: bytes, reader: asyncio.StreamReader, send: Send, pod: str | None) -> None:
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            length = int(value)
    body = await reader.readexactly(min(length, _LONGEST_HEAD)) if length else b""
    said = body.decode("utf-8", "replace").strip()
    await respond_json(send, status, _body(status, said or f"the other side answered {status}"))


async def _pour(answer: httpx.Response, send: Send) -> None:
    async for data in answer.aiter_raw():
        await send({"type": "http.response.body", "body": data, "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """The log of a pod that is nowhere yet."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b""})


def _upgrades(headers: list[tuple[str, str]]) -> bool:
    return any(n == "connection" and "upgrade" in v.lower() for n, v in headers) and any(
        n == "upgrade" for n, _ in headers
    )


def _container(pod: JsonObject, name: str, asked: str) -> str:
    """The one that is meant. Raises ``StatusError``."""
    containers = [text(c, "name") for c in entries(pod, "spec", "containers")]
    inits = [text(c, "name") for c in entries(pod, "spec", "initContainers")]
    others = [text(c, "name") for c in entries(pod, "spec", "ephemeralContainers")]
    if asked:
        if asked not in (*containers, *inits, *others):
            raise _status(400, "BadRequest", f"container {asked} is not valid for pod {name}")
        return asked
    if len(containers) == 1:
        return containers[0]
    said = f"a container name must be specified for pod {name}, choose one of: [{' '.join(containers)}]"
    if inits:
        said += f" or one of the init containers: [{' '.join(inits)}]"
    raise _status(400, "BadRequest", said)


def _split(name: str) -> tuple[str, str, str]:
    """(scheme, name, port) of ``name``, ``name:port``, ``scheme:name:port``."""
    parts = name.split(":")
    if len(parts) == 1:
        return "http", parts[0], ""
    if len(parts) == 2:
        return "http", parts[0], parts[1]
    return parts[0] or "http", parts[1], parts[2]


def _body(code: int, message: str) -> JsonObject:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": _REASONS.get(code, "ServiceUnavailable" if code == 503 else "InternalError"),
        "code": code,
    }


def _status(code: int, reason: str, message: str) -> StatusError:
    body: Mapping[str, Json] = {**_body(code, message), "reason": reason}
    return StatusError({**body})


def _true(query: Mapping[str, list[str]], name: str) -> bool:
    """The API's rule: whatever is there and is not ``0`` or ``false``, as Python's ``True`` and an empty value."""
    return name in query and query[name][0].lower() not in ("0", "false")
