"""What the tests of the router share: a small Kubernetes API, replicas that answer as told, routers between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from windtunnel_scoring.router import objects
from windtunnel_scoring.router.api import Api
from windtunnel_scoring.router.credentials import Credentials
from windtunnel_scoring.router.definition import ServiceDefinition, VersionDefinition
from windtunnel_scoring.router.objects import Secrets
from windtunnel_scoring.router.runtime import Router
from windtunnel_scoring.router.settings import RouterSettings
from windtunnel_scoring.serving import beside, bind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from windtunnel_scoring.jsontypes import Json, JsonObject
    from windtunnel_scoring.telemetry.interface import Telemetry

DEADLINE_S = 20.0
_PATH = re.compile(r"/(?:api/v1|apis/[^/]+/v1)(?:/namespaces/([^/]+))?/([a-z]+)(?:/([^/]+))?(?:/(scale))?")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds, for a limited time."""
    ends = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < ends, f"not in time: {what}"
        await asyncio.sleep(0.002)


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[[Callable[[], bool], str], Awaitable[None]]:
    """Waits until something holds, for a limited time."""
    return eventually


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


async def read_message(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """First line, headers and body of a request or an answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = b""
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    elif headers.get("transfer-encoding") == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    return first, headers, body


async def send(
    port: int, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Reply:
    """One request on a connection of its own."""
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            given = {"host": "router", **({"content-length": str(len(body))} if body else {}), **(headers or {})}
            lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
            writer.write(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + body)
            first, answered, content = await read_message(reader)
        finally:
            writer.close()
    return Reply(status=int(first.split(" ")[1]), headers=answered, body=content)


@pytest.fixture(name="send")
def send_fixture() -> Callable[..., Awaitable[Reply]]:
    """One request on a connection of its own."""
    return send


class FakeApi:
    """List, watch and scale, as a Kubernetes API does them; ``objects`` are by kind and ``namespace/name``."""

    def __init__(self) -> None:
        self.port = 0
        self.objects: dict[str, dict[str, JsonObject]] = {}
        self.version = 0
        self.oldest = 0
        """Watches from before this version get 410."""
        self.patches: list[tuple[str, Json]] = []
        self.requests: list[str] = []
        self.authorizations: list[str] = []
        self._events: list[tuple[int, str, str, JsonObject]] = []
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Also an outage: all connections break."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.sleep(0)

    async def put(self, plural: str, obj: JsonObject) -> None:
        key = objects.key_of(obj)
        known = key in self.objects.setdefault(plural, {})
        self.version += 1
        metadata = cast("JsonObject", obj["metadata"])
        stored: JsonObject = {**obj, "metadata": {**metadata, "resourceVersion": str(self.version)}}
        self.objects[plural][key] = stored
        await self._tell(plural, "MODIFIED" if known else "ADDED", stored)

    async def delete(self, plural: str, key: str) -> None:
        self.version += 1
        gone = self.objects[plural].pop(key)
        metadata = cast("JsonObject", gone["metadata"])
        await self._tell(plural, "DELETED", {**gone, "metadata": {**metadata, "resourceVersion": str(self.version)}})

    async def forget(self) -> None:
        """Compact: watches that go on from an older version are refused, and those that run are told so."""
        self._events.clear()
        self.oldest = self.version + 1
        self.version += 1
        for writer in self._writers:
            writer.transport.abort()

    async def _tell(self, plural: str, kind: str, obj: JsonObject) -> None:
        self._events.append((self.version, plural, kind, obj))
        async with self._changed:
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        try:
            first, headers, body = await read_message(reader)
            method, target, _ = first.split(" ")
            self.requests.append(f"{method} {target}")
            self.authorizations.append(headers.get("authorization", ""))
            url = urlsplit(target)
            found = _PATH.fullmatch(unquote(url.path))
            assert found is not None, target
            namespace, plural, name, scale = found.groups()
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            if scale:
                await self._scale(writer, f"{namespace}/{name}", json.loads(body))
            elif query.get("watch"):
                await self._watch(writer, namespace, plural, query)
            else:
                items = [item for item in self.objects.get(plural, {}).values() if _selected(item, namespace, query)]
                page, start = int(query.get("limit", "1000")), int(query.get("continue", "0"))
                metadata: JsonObject = {"resourceVersion": str(self.version)}
                if len(items) > start + page:
                    metadata["continue"] = str(start + page)
                _answer(writer, 200, {"metadata": metadata, "items": [*items[start : start + page]]})
            await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _scale(self, writer: asyncio.StreamWriter, key: str, patch: JsonObject) -> None:
        self.patches.append((key, patch))
        deployment = self.objects["deployments"][key]
        spec = cast("JsonObject", patch["spec"])
        await self.put("deployments", {**deployment, "spec": {**cast("JsonObject", deployment["spec"]), **spec}})
        _answer(writer, 200, {"kind": "Scale", **patch})

    async def _watch(
        self, writer: asyncio.StreamWriter, namespace: str | None, plural: str, query: Mapping[str, str]
    ) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        since = int(query["resourceVersion"])
        if since < self.oldest:
            gone: JsonObject = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            _chunk(writer, {"type": "ERROR", "object": gone})
            writer.write(b"0\r\n\r\n")
            return
        while True:
            for version, kind_of, kind, obj in list(self._events):
                if version > since and kind_of == plural and _selected(obj, namespace, query):
                    _chunk(writer, {"type": kind, "object": obj})
                    since = version
            await writer.drain()
            async with self._changed:
                await self._changed.wait()


def _selected(obj: JsonObject, namespace: str | None, query: Mapping[str, str]) -> bool:
    metadata = cast("JsonObject", obj["metadata"])
    if namespace is not None and metadata.get("namespace") != namespace:
        return False
    name, _, value = query.get("labelSelector", "").partition("=")
    labels = cast("JsonObject", metadata.get("labels", {}))
    return not name or (name in labels and (not value or labels[name] == value))


def _answer(writer: asyncio.StreamWriter, status: int, value: Json) -> None:
    data = json.dumps(value).encode()
    writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)


def _chunk(writer: asyncio.StreamWriter, value: Json) -> None:
    data = json.dumps(value).encode() + b"\n"
    # In two pieces, as a network may deliver them.
    for piece in (data[:10], data[10:]):
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))


@dataclass
class FakeReplica:
    """A container that answers what the test says; counts what it works on."""

    name: str
    status: int = 200
    body: bytes = b'{"ok": true}'
    closes: bool = False
    """Closes the connection instead of answering."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Answers wait for it."""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list[tuple[str, dict[str, str], bytes]])
    working: int = 0
    most: int = 0
    answered: int = 0
    connections: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    async def start(self) -> None:
        self.gate.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def refuse(self) -> None:
        """New connections fail, open ones break."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                request = await read_message(reader)
                self.requests.append(request)
                self.working += 1
                self.most = max(self.most, self.working)
                try:
                    await self.gate.wait()
                    if self.closes:
                        break
                    head = f"HTTP/1.1 {self.status} X\r\ncontent-length: {len(self.body)}\r\nx-replica: {self.name}"
                    writer.write(f"{head}\r\n\r\n".encode() + self.body)
                    await writer.drain()
                    self.answered += 1
                finally:
                    self.working -= 1
        self._writers.discard(writer)
        writer.transport.abort()

    @property
    def open(self) -> bool:
        """Whether some connection is."""
        return bool(self._writers)


class Town:
    """A cluster as far as a router sees it: services, their pods, and routers."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.replicas: dict[str, FakeReplica] = {}
        self.routers: list[Router] = []
        self.port = 0
        """Of the last router."""
        self.ports: list[tuple[int, int]] = []
        self._stack = contextlib.AsyncExitStack()

    async def service(
        self, *versions: VersionDefinition, name: str = "svc", namespace: str = "azureml", **settings: object
    ) -> None:
        """Write a service; one default version, named like it, unless told otherwise."""
        given = versions or (VersionDefinition(name=name, is_default=True),)
        definition = ServiceDefinition(name=name, versions=given, **settings)  # type: ignore[arg-type]  # mixed
        await self.api.put("configmaps", objects.config_map(definition, namespace))
        secrets = Secrets(primary_key="first", secondary_key="second", token_key="signs")
        await self.api.put("secrets", objects.secret(name, secrets, namespace))

    async def deployment(self, version: str = "svc", replicas: int = 1, name: str = "svc") -> None:
        """Write the Deployment of a version."""
        metadata: JsonObject = {
            "name": objects.deployment_name(name, version),
            "namespace": "azureml",
            "labels": objects.labels(name, version),
        }
        await self.api.put("deployments", {"metadata": metadata, "spec": {"replicas": replicas}})

    async def replica(self, name: str, *, version: str = "svc", service: str = "svc") -> FakeReplica:
        """Start a pod that is ready."""
        replica = FakeReplica(name)
        await replica.start()
        self.replicas[name] = replica
        await self.pod(name, version=version, service=service)
        return replica

    async def pod(
        self,
        name: str,
        *,
        version: str = "svc",
        service: str = "svc",
        ready: bool = True,
        terminating: bool = False,
        port: int | None = None,
    ) -> None:
        """Write the pod of a replica."""
        metadata: JsonObject = {
            "name": name,
            "namespace": "azureml",
            "uid": f"uid-{name}",
            "labels": objects.labels(service, version),
            "annotations": {objects.ADDRESS_ANNOTATION: "127.0.0.1"},
        }
        if terminating:
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        number = self.replicas[name].port if port is None else port
        container: JsonObject = {"name": "score", "ports": [{"name": "scoring", "containerPort": number}]}
        condition: JsonObject = {"type": "Ready", "status": "True" if ready else "False"}
        await self.api.put(
            "pods",
            {
                "metadata": metadata,
                "spec": {"containers": [container]},
                "status": {"podIP": "10.244.0.9", "conditions": [condition]},
            },
        )

    async def router(
        self, name: str = "router-1", namespaces: tuple[str, ...] = (), telemetry: Telemetry | None = None
    ) -> Router:
        """Start a router."""
        outer, inner = bind("127.0.0.1", 0), bind("127.0.0.1", 0)
        numbers = (_port(outer), _port(inner))
        where = Credentials(host="127.0.0.1", port=self.api.port, tls=None, namespace="azureml", token="sesame")
        router = Router(Api(where), "azureml", RouterSettings(pod_name=name, namespaces=namespaces), telemetry)
        await self._stack.enter_async_context(router.running(inner))
        await self._stack.enter_async_context(beside(router.app, outer))
        self.routers.append(router)
        self.ports.append(numbers)
        self.port = numbers[0]
        await eventually(lambda: _listens(numbers[0]) and _listens(numbers[1]), "the router listens")
        return router

    async def peer(self, name: str, inner_port: int) -> None:
        """Write the pod of a router."""
        metadata: JsonObject = {
            "name": name,
            "namespace": "azureml",
            "uid": f"uid-{name}",
            "labels": {"app.kubernetes.io/name": "azureml-fe"},
            "annotations": {objects.ADDRESS_ANNOTATION: "127.0.0.1"},
        }
        container: JsonObject = {"name": "router", "ports": [{"name": "inner", "containerPort": inner_port}]}
        await self.api.put(
            "pods",
            {
                "metadata": metadata,
                "spec": {"containers": [container]},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            },
        )

    async def ready(self, count: int, version: str = "svc", name: str = "svc") -> None:
        """Wait until the last router knows so many ready replicas."""
        router = self.routers[-1]

        def known() -> bool:
            service = router.directory.services.get(name)
            found = service.versions.get(version) if service is not None else None
            return found is not None and found.slots.ready == count

        await eventually(known, f"{count} replicas of {version}")

    async def score(
        self, body: bytes = b"{}", *, name: str = "svc", method: str = "POST", path: str = "score", **headers: str
    ) -> Reply:
        """A request with the right key, unless told otherwise."""
        given = {"authorization": "Bearer first", **{k.replace("_", "-"): v for k, v in headers.items()}}
        target = f"/api/v1/service/{name}/{path}"
        return await send(self.port, method, target, body, {k: v for k, v in given.items() if v})

    async def close(self) -> None:
        for replica in self.replicas.values():
            replica.gate.set()
        await self._stack.aclose()
        for replica in self.replicas.values():
            replica.refuse()
        await eventually(lambda: all(r.working == 0 and not r.open for r in self.replicas.values()), "replicas end")


def _port(bound: socket.socket) -> int:
    return int(bound.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    made = FakeApi()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def town(api: FakeApi) -> AsyncIterator[Town]:
    made = Town(api)
    yield made
    await made.close()
