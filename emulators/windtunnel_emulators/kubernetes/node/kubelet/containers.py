"""What a kubelet is asked of a pod's containers: logs, exec, attach, run, port-forward."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.asgi import respond
from windtunnel_emulators.kubernetes.client.meta import entries, flag, name_of, namespace_of, text
from windtunnel_emulators.kubernetes.node.kubelet.logs import BadLogOptions, LogOptions, read
from windtunnel_emulators.kubernetes.streams import forwarding
from windtunnel_emulators.kubernetes.streams.channels import (
    SPDY_PROTOCOLS,
    WEBSOCKET_PROTOCOLS,
    SpdyChannels,
    WebSocketChannels,
)
from windtunnel_emulators.kubernetes.streams.connection import SpdyConnection
from windtunnel_emulators.kubernetes.streams.links import SocketLink, upgrade
from windtunnel_emulators.kubernetes.streams.processes import attach, execute, failed
from windtunnel_emulators.kubernetes.streams.websocket import WebSocket, WebSocketLink, choose
from windtunnel_emulators.runtime.group import NotRunning
from windtunnel_emulators.runtime.interface import RuntimeProblem
from windtunnel_emulators.runtime.status import Phase

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from windtunnel_emulators.asgi import Receive, Scope, Send
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.node.agent import NodeAgent
    from windtunnel_emulators.kubernetes.node.pod import PodWorker
    from windtunnel_emulators.kubernetes.streams.channels import Channels
    from windtunnel_emulators.kubernetes.streams.connection import SpdyStream
    from windtunnel_emulators.runtime.group import ContainerGroup
    from windtunnel_emulators.runtime.interface import ExecSession
    from windtunnel_emulators.runtime.status import ContainerStatus

_STREAMS_S = 30.0
_RUN_S = 120.0
_FIRST_SIZE = (24, 80)


class Problem(Exception):
    """An answer that is no success; the message is its body."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Implements ``forwarding.Pod``."""

    name: str
    address: str


class ContainerRoutes:
    """Of one node."""

    def __init__(self, agent: NodeAgent) -> None:
        self._agent = agent

    async def logs(
        self, namespace: str, pod: str, container: str, query: Mapping[str, Sequence[str]], receive: Receive, send: Send
    ) -> None:
        worker = self._worker(namespace, pod)
        group = self._container(worker, container)
        try:
            options = LogOptions.parse(query)
        except BadLogOptions as problem:
            raise Problem(400, str(problem)) from problem
        status = group.status.container(container)
        assert status is not None
        _check_log(status, pod, container, previous=options.previous)
        path = group.log(container, previous=options.previous)
        if path is None:
            raise Problem(400, f'container "{container}" in pod "{pod}" is waiting to start - no logs yet')
        run = status.run_id

        def ended() -> bool:
            now = group.status.container(container)
            return now is None or now.run_id != run or now.state.phase is not Phase.RUNNING

        headers = [(b"content-type", b"text/plain"), (b"transfer-encoding", b"chunked")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        reading = asyncio.ensure_future(_send_log(read(path, options, self._agent.clock, ended), send))
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait({reading, gone}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
                await send({"type": "http.response.body", "body": b""})
        finally:
            for task in (reading, gone):
                task.cancel()
            await asyncio.gather(reading, gone, return_exceptions=True)

    async def run(
        self, namespace: str, pod: str, container: str, query: Mapping[str, Sequence[str]], send: Send
    ) -> None:
        group = self._container(self._worker(namespace, pod), container)
        command = tuple(query.get("cmd", [""])[0].split(" "))
        session = await _running(group.execute(container, command))
        try:
            await session.close_input()
            output = bytearray()
            async with asyncio.timeout(_RUN_S):
                async for piece in session.output():
                    output += piece
                code = await session.wait()
        finally:
            await session.close()
        await respond(send, 200 if code == 0 else 500, bytes(output))

    async def stream(
        self,
        verb: str,
        namespace: str,
        pod: str,
        container: str,
        query: Mapping[str, Sequence[str]],
        scope: Scope,
        send: Send,
    ) -> None:
        """exec and attach."""
        worker = self._worker(namespace, pod)
        group = self._container(worker, container)
        wanted = {
            name: _true(query, short) or _true(query, name)
            for name, short in (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
        }
        command = tuple(query.get("command", ()))
        if not any(wanted[name] for name in ("stdin", "stdout", "stderr")):
            raise Problem(400, "you must specify at least 1 of stdin, stdout, stderr")
        terminal = wanted["tty"]

        async def serve(channels: Channels) -> None:
            try:
                if verb == "attach":
                    found = group.running(container).attach()
                    once = flag(_container(worker, container), "stdinOnce")
                    await attach(channels, found, takes_input=wanted["stdin"], once=once)
                    return
                size = _FIRST_SIZE if terminal else None
                separate = wanted["stderr"] and not terminal
                session = await group.execute(container, command, terminal=size, separate=separate)
            except NotRunning:
                await channels.finish(failed(f'container not found ("{container}")'))
                return
            except RuntimeProblem as problem:
                said = f"error executing command in container: failed to exec in container: {problem}"
                await channels.finish(failed(said))
                return
            await execute(channels, session, command, takes_input=wanted["stdin"])

        names = ["error", *(name for name in ("stdin", "stdout", "stderr") if wanted[name])]
        if terminal and "stderr" in names:
            names.remove("stderr")
        await _serve_upgrade(scope, send, names, terminal=terminal, serve=serve)

    async def forward(
        self, namespace: str, pod: str, query: Mapping[str, Sequence[str]], scope: Scope, send: Send
    ) -> None:
        worker = self._worker(namespace, pod)
        if worker.loopback is None:
            raise Problem(500, f'pod "{pod}" has no network yet')
        target = _Target(name=f"{namespace}/{pod}, uid : {worker.uid}", address=worker.loopback)
        headers = _headers(scope)
        kind = headers.get("upgrade", [""])[0].lower()
        if kind == "websocket":
            offered = _listed(headers, "sec-websocket-protocol")
            chosen = choose(offered, (forwarding.TUNNEL_PROTOCOL, *forwarding.WEBSOCKET_PROTOCOLS))
            if chosen is None and offered:
                raise Problem(400, f"unable to negotiate websocket protocol: client offers {offered}")
            # The real API server says ``port``, its clients ``ports``.
            asked = (*query.get("port", ()), *query.get("ports", ()))
            ports = [int(port) for given in asked for port in given.split(",") if port.isdigit()]
            if chosen != forwarding.TUNNEL_PROTOCOL and not ports:
                raise Problem(400, 'query parameter "port" is required')
            link = SocketLink.of(scope)
            socket = await WebSocket.accept(link, _key(headers), chosen or "")
            if chosen == forwarding.TUNNEL_PROTOCOL:
                await _forward_spdy(SpdyConnection(WebSocketLink(socket)), target)
            else:
                await forwarding.over_websocket(socket, ports, target, base64="base64" in (chosen or ""))
            return
        if kind != "spdy/3.1":
            raise Problem(400, "Upgrade request required")
        offered = _listed(headers, "x-stream-protocol-version")
        if offered and forwarding.SPDY_PROTOCOL not in offered:
            raise Problem(403, f"unable to upgrade: unable to negotiate protocol: client supports {offered}")
        link = SocketLink.of(scope)
        await upgrade(link, _switching(forwarding.SPDY_PROTOCOL))
        await _forward_spdy(SpdyConnection(link), target)

    def _worker(self, namespace: str, pod: str) -> PodWorker:
        worker = self._agent.worker(namespace, pod)
        if worker is None:
            raise Problem(404, f'pod "{pod}" not found in namespace "{namespace}"')
        return worker

    def _container(self, worker: PodWorker, container: str) -> ContainerGroup:
        if not _container(worker, container):
            where = f"{name_of(worker.pod)}_{namespace_of(worker.pod)}"
            raise Problem(404, f'container "{container}" not found in pod "{where}"')
        if worker.group is None:
            reason = "ContainerCreating"
            raise Problem(400, f'container "{container}" in pod "{name_of(worker.pod)}" is waiting to start: {reason}')
        return worker.group


def _container(worker: PodWorker, name: str) -> JsonObject:
    both = (*entries(worker.pod, "spec", "containers"), *entries(worker.pod, "spec", "initContainers"))
    nothing: JsonObject = {}
    return next((c for c in both if text(c, "name") == name), nothing)


def _check_log(status: ContainerStatus, pod: str, container: str, *, previous: bool) -> None:
    """Raises ``Problem`` when there is no run to show."""
    state = status.state
    if previous:
        if status.previous is None:
            raise Problem(400, f'previous terminated container "{container}" in pod "{pod}" not found')
        return
    if state.phase is Phase.WAITING and status.previous is None:
        where = f'container "{container}" in pod "{pod}" is waiting to start'
        match state.reason:
            case "ErrImagePull":
                raise Problem(400, f"{where}: image can't be pulled")
            case "ImagePullBackOff":
                raise Problem(400, f"{where}: trying and failing to pull image")
            case reason:
                raise Problem(400, f"{where}: {reason}")


async def _send_log(pieces: AsyncGenerator[bytes], send: Send) -> None:
    async with aclosing(pieces) as found:
        async for piece in found:
            await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _running(session: Awaitable[ExecSession]) -> ExecSession:
    try:
        return await session
    except RuntimeProblem as problem:
        raise Problem(500, str(problem)) from problem


async def _serve_upgrade(
    scope: Scope,
    send: Send,
    names: list[str],
    *,
    terminal: bool,
    serve: Callable[[Channels], Awaitable[None]],
) -> None:
    """Take the connection over and serve the session on it. Raises ``Problem`` for a request that asks for neither."""
    headers = _headers(scope)
    kind = headers.get("upgrade", [""])[0].lower()
    if kind == "websocket":
        offered = _listed(headers, "sec-websocket-protocol")
        chosen = choose(offered, WEBSOCKET_PROTOCOLS) if offered else "channel.k8s.io"
        if chosen is None:
            raise Problem(400, f"unable to negotiate websocket protocol: client offers {offered}")
        socket = await WebSocket.accept(SocketLink.of(scope), _key(headers), chosen if offered else "")
        channels = WebSocketChannels(socket, chosen)
        await channels.open(names)
        await _beside(channels.run(), serve(channels))
        return
    if kind != "spdy/3.1":
        raise Problem(400, "Upgrade request required")
    offered = _listed(headers, "x-stream-protocol-version") or ["channel.k8s.io"]
    chosen = choose(offered, SPDY_PROTOCOLS)
    if chosen is None:
        raise Problem(403, f"unable to upgrade: unable to negotiate protocol: client supports {offered}")
    if terminal and chosen.startswith(("v3.", "v4.", "v5.")):
        names = [*names, "resize"]
    link = SocketLink.of(scope)
    await upgrade(link, _switching(chosen))
    connection = SpdyConnection(link)

    async def session() -> None:
        streams: dict[str, SpdyStream] = {}
        try:
            async with asyncio.timeout(_STREAMS_S):
                while set(names) - set(streams):
                    stream = await connection.accept()
                    if stream is None:
                        return
                    streams[stream.headers.get("streamtype", "")] = stream
        except TimeoutError:
            await connection.close()
            return
        channels = SpdyChannels(connection, chosen, streams)
        reading.add_done_callback(lambda _: channels.lose())
        await serve(channels)

    reading = asyncio.ensure_future(connection.run())
    await _beside(reading, session())


async def _forward_spdy(connection: SpdyConnection, target: forwarding.Pod) -> None:
    await _beside(connection.run(), forwarding.over_spdy(connection, target))
    await connection.close()


async def _beside(reading: Awaitable[None], work: Awaitable[None]) -> None:
    """The work, while the wire is read."""
    task = asyncio.ensure_future(reading)
    try:
        await work
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _switching(protocol: str) -> list[tuple[str, str]]:
    return [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1"), ("X-Stream-Protocol-Version", protocol)]


def _headers(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return found


def _listed(headers: dict[str, list[str]], name: str) -> list[str]:
    return [part.strip() for value in headers.get(name, ()) for part in value.split(",") if part.strip()]


def _key(headers: dict[str, list[str]]) -> bytes:
    return headers.get("sec-websocket-key", [""])[0].encode("latin-1")


def _true(query: Mapping[str, Sequence[str]], name: str) -> bool:
    return query.get(name, [""])[0] in ("1", "true")
