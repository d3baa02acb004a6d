"""ARM's front door with a provider of the tests' own, called without a socket.

``Fake.Things/things`` has a location, tags, nested ``parts`` and works that do what the thing's properties say:

    {"size": 1}                 created at once: 201, then 200
    {"work": "run"}             created by a work that ends when the test calls ``service.finish``
    {"work": "fail"}            created by a work that Azure would refuse
    {"work": "break"}           created by a work with a defect
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from windtunnel_emulators.arm.app import Arm
from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.kernel import Kernel, build
from windtunnel_emulators.arm.provider import (
    Action,
    Caller,
    Change,
    Links,
    Provider,
    Removal,
    Reply,
    Resource,
    ResourceType,
)
from windtunnel_emulators.clock import ManualClock, Pace
from windtunnel_emulators.identity.directory import Directory
from windtunnel_emulators.jsontypes import as_object, as_str
from windtunnel_emulators.providers.resources import ENDPOINTS
from windtunnel_emulators.providers.resources import PROVIDER as RESOURCES
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from windtunnel_emulators.arm.provider import Call, View
    from windtunnel_emulators.asgi import Message
    from windtunnel_emulators.identity.tokens import Tokens
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.world import World

    Open = Callable[..., AbstractAsyncContextManager["Door"]]

SUBSCRIPTION = "5b5b5b5b-0000-4000-8000-000000000001"
TENANT = "5b5b5b5b-0000-4000-8000-000000000002"
VERSIONS = ("2020-01-01", "2024-01-01")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Things:
    """The service: what ran, and what is held up until the test lets it go on."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.cancelled: list[str] = []
        self.begun = asyncio.Event()
        """Set when a work on a thing has begun."""
        self._held: dict[str, asyncio.Event] = {}

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def finish(self, name: str) -> None:
        """Let the work on a thing end."""
        self._held.setdefault(name, asyncio.Event()).set()

    async def hold(self, name: str) -> None:
        self.begun.set()
        event = self._held.setdefault(name, asyncio.Event())
        try:
            await event.wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise


def _put(call: Call, existing: Resource | None, service: Things) -> Change:
    assert call.id is not None
    body = as_object(call.body)
    properties = as_object(body.get("properties"))
    if "bad" in properties:
        raise ArmError(400, "BadThing", "A thing must not be bad.", target="properties.bad")
    work = as_str(properties.get("work")) or None
    state = "Succeeded" if work is None else "Pending"
    made = Resource(
        id=call.id,
        location=as_str(body.get("location")) or None,
        tags=cast("dict[str, str] | None", body.get("tags")),
        properties={**properties, "provisioningState": state},
        secrets={"key": "s3cret"},
        envelope={"sku": {"name": "Basic"}},
        etag=existing.etag if existing else "",
    )
    return Change(resource=made, status=200 if existing else 201, work=work)


def _patch(call: Call, existing: Resource | None, service: Things) -> Change:
    assert existing is not None
    body = as_object(call.body)
    tags = cast("dict[str, str] | None", body.get("tags"))
    return Change(resource=replace(existing, tags=existing.tags if tags is None else tags), status=200)


def _delete(call: Call, resource: Resource, service: Things) -> Removal:
    if resource.properties.get("deletable") is False:
        raise ArmError(409, "ScopeLocked", "The thing is locked.")
    if resource.properties.get("slow"):
        return Removal(status=202, work="free", at_once=False, announce=True)
    if resource.properties.get("held"):
        return Removal(status=200, show=True, work="free")
    return Removal(status=200, show=True)


def _view(resource: Resource, service: Things, view: View) -> JsonObject:
    return {"properties": {**resource.properties, "view": view.value, "nothing": None}, **resource.envelope}


def _done(resource: Resource) -> Resource:
    return replace(resource, properties={**resource.properties, "provisioningState": "Succeeded"})


async def _run(resource: Resource, service: Things) -> Resource:
    service.ran.append(f"run {resource.id.name}")
    await service.hold(resource.id.name)
    return _done(resource)


async def _fail(resource: Resource, service: Things) -> Resource:
    raise ArmError(400, "ThingImpossible", "This thing cannot be.")


async def _break(resource: Resource, service: Things) -> Resource:
    raise ZeroDivisionError


async def _free(resource: Resource, service: Things) -> Resource:
    service.ran.append(f"free {resource.id.name}")
    if resource.properties.get("slow"):
        await service.hold(resource.id.name)
    if resource.properties.get("stuck"):
        raise ArmError(409, "ThingStuck", "The thing holds on.")
    return resource


def _failed(resource: Resource, problem: ArmError) -> Resource:
    return replace(resource, properties={**resource.properties, "provisioningState": "Failed"})


async def _poke(call: Call, resource: Resource | None, service: Things) -> Reply:
    return Reply(status=200, body={"poked": resource.id.name if resource else "nobody", "by": call.caller.name})


async def _again(call: Call, resource: Resource | None, service: Things) -> Reply:
    return Reply(status=202, work="run")


async def _part(call: Call, resource: Resource | None, service: Things) -> Reply:
    return Reply(status=200, body={"piece": call.parameters["piece"]})


async def _usages(call: Call, resource: Resource | None, service: Things) -> Reply:
    return Reply(status=200, body={"value": [], "location": call.parameters["location"]})


def _provider(service: Things) -> Provider[Things]:
    things: ResourceType[Things] = ResourceType(
        name="things",
        api_versions=VERSIONS,
        locations=("West US 2", "East US"),
        view=_view,
        put=_put,
        patch=_patch,
        delete=_delete,
        works={"run": _run, "fail": _fail, "break": _break, "free": _free},
        failed=_failed,
        actions=(
            Action(method="POST", path="poke", act=_poke),
            Action(method="POST", path="again", act=_again, refuse_busy=True),
            Action(method="GET", path="pieces/{piece}/log", act=_part),
        ),
        collection_actions=(Action(method="POST", path="checkThem", act=_poke, needs_resource=False),),
        links=Links(location=True, in_progress="Working"),
    )
    parts: ResourceType[Things] = ResourceType(
        name="things/parts",
        api_versions=VERSIONS,
        locations=(),
        view=_view,
        put=_put,
        delete=_delete,
        works={"free": _free},
        tracked=False,
    )
    return Provider(
        namespace="Fake.Things",
        types=(things, parts),
        service=lambda world: service,
        actions=(Action(method="GET", path="locations/{location}/usages", act=_usages),),
    )


class AnyToken:
    """Checks nothing: tokens have tests of their own."""

    def verify(self, authorization: str | None, **asked: object) -> Caller:
        if authorization != "Bearer good":
            raise ArmError(401, "AuthenticationFailed", "No.", headers={"WWW-Authenticate": "Bearer"})
        return Caller(tenant=TENANT, object_id="o", app_id="a", name="tester", kind="User")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return msgspec.json.decode(self.content) if self.content else None

    @property
    def code(self) -> str:
        return str(self.body["error"]["code"])


@dataclass
class Door:
    """The front door, its parts and a client."""

    kernel: Kernel
    arm: Arm
    clock: ManualClock
    service: Things
    base: str = "https://localhost:4580"
    sent: list[Message] = field(default_factory=list[Any])

    async def raw(
        self,
        method: str,
        path: bytes,
        query: bytes = b"",
        chunks: tuple[bytes, ...] = (b"",),
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request as a server would hand it over."""
        pieces = list(chunks)
        status, given, content = 0, dict[str, str](), b""

        async def receive() -> Message:
            if not pieces:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        async def send(message: Message) -> None:
            nonlocal status, given, content
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {n.decode(): v.decode("latin-1") for n, v in message["headers"]}
            else:
                content += message.get("body", b"")

        sent = {"host": self.base.removeprefix("https://"), "authorization": "Bearer good", **(headers or {})}
        scope = {
            "type": "http",
            "method": method,
            "scheme": "https",
            "server": ("127.0.0.1", 4580),
            "path": path.decode("latin-1"),
            "raw_path": path,
            "query_string": query,
            "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in sent.items()],
        }
        await self.arm(scope, receive, send)
        return Answer(status, given, content)

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        version: str | None = VERSIONS[-1],
        query: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send JSON to a path below the subscription (or anywhere, when it begins with two slashes)."""
        absolute = path.removeprefix("/") if path.startswith("//") else f"/subscriptions/{SUBSCRIPTION}{path}"
        content = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        parts = [f"api-version={version}"] if version else []
        return await self.raw(
            method, absolute.encode(), "&".join([*parts, *([query] if query else [])]).encode(), (content,), headers
        )

    async def group(self, name: str = "g", **more: object) -> Answer:
        """Make a group."""
        return await self.core("PUT", f"/resourceGroups/{name}", {"location": "eastus", **more})

    async def core(self, method: str, path: str, body: object = None, **more: Any) -> Answer:
        """Ask Microsoft.Resources."""
        return await self.call(method, path, body, version="2024-11-01", **more)

    async def thing(self, name: str = "t", group: str = "g", **properties: object) -> Answer:
        """Make a thing."""
        body = {"location": "westus2", "properties": properties}
        return await self.call("PUT", f"/resourceGroups/{group}/providers/Fake.Things/things/{name}", body)

    async def get(self, name: str = "t", group: str = "g") -> Answer:
        """Read a thing."""
        return await self.call("GET", f"/resourceGroups/{group}/providers/Fake.Things/things/{name}")

    async def follow(self, link: str) -> Answer:
        """Follow a link that an answer had."""
        path, _, query = link.removeprefix(self.base).partition("?")
        return await self.raw("GET", path.encode(), query.encode())

    def everything(self) -> list[object]:
        """All rows of the store, to see that a refusal changed none."""
        tables = self.kernel.store.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return [self.kernel.store.rows(f"SELECT * FROM {name!s}") for (name,) in tables]


@pytest.fixture
def opened() -> Open:
    """Opens a front door on a store, as a process would."""

    @asynccontextmanager
    async def door(store: Store, *, pace: str = "fast", clock: ManualClock | None = None) -> AsyncGenerator[Door]:
        clock = clock or ManualClock()
        directory = Directory.of(tenant=TENANT, subscription=SUBSCRIPTION, client_id="c", client_secret="s")
        kernel = build(store=store, clock=clock, pace=Pace.parse(pace), directory=directory, subscription=SUBSCRIPTION)
        service = Things()
        nobody = cast("World", None)
        kernel.catalogue.add(RESOURCES, RESOURCES.service(nobody))
        kernel.catalogue.add(_provider(service), service)
        kernel.operations.resume()
        try:
            yield Door(kernel, Arm(kernel, cast("Tokens", AnyToken()), ENDPOINTS), clock, service)
        finally:
            await kernel.operations.stop()

    return door


@pytest.fixture
async def door(opened: Open) -> AsyncIterator[Door]:
    """A front door on an empty store in memory, with the group ``g``."""
    store = Store(None)
    async with opened(store) as made:
        await made.group()
        yield made
    store.close()
