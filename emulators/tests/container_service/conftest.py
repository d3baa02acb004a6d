"""ARM's front door with Microsoft.ContainerService, called without a socket, on clusters that only note what they are
told. What clusters do with it is tested in ``tests/kubernetes/engines``."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import msgspec
import pytest

from aks_bodies import GROUP, SUBSCRIPTION, cluster_body
from windtunnel_emulators.arm.app import Arm
from windtunnel_emulators.arm.kernel import Kernel, build
from windtunnel_emulators.arm.provider import Caller
from windtunnel_emulators.clock import ManualClock, Pace
from windtunnel_emulators.identity.directory import Directory
from windtunnel_emulators.kubernetes.engines.interface import EngineProblem
from windtunnel_emulators.providers.container_service import PROVIDER
from windtunnel_emulators.providers.container_service.service import ContainerService
from windtunnel_emulators.providers.resources import ENDPOINTS
from windtunnel_emulators.providers.resources import PROVIDER as RESOURCES
from windtunnel_emulators.registry.content import Content
from windtunnel_emulators.store import Store
from windtunnel_emulators.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from windtunnel_emulators.asgi import Message
    from windtunnel_emulators.identity.tokens import Tokens
    from windtunnel_emulators.kubernetes.cluster import Cluster, Surroundings
    from windtunnel_emulators.kubernetes.engines.interface import Engine
    from windtunnel_emulators.kubernetes.plan import ClusterPlan
    from windtunnel_emulators.runtime.interface import Runtime
    from windtunnel_emulators.server import Listeners

TENANT = "11111111-2222-3333-4444-555555555555"
BASE = "https://localhost:4580"
VERSION = "2025-10-01"
_DEADLINE_S = 10.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class NotedEngine:
    """``Engine`` as far as ARM asks for it."""

    name = "noted"

    def __init__(self) -> None:
        self.offered: tuple[str, ...] | None = None
        self.swept: list[frozenset[str]] = []

    def versions(self) -> tuple[str, ...] | None:
        return self.offered

    async def sweep(self, known: frozenset[str]) -> None:
        self.swept.append(known)


class NotedCluster:
    """``Cluster`` that keeps the plans it was given; ``gate`` holds its work back, ``problem`` fails it."""

    def __init__(self, plan: ClusterPlan, around: Surroundings | None = None) -> None:
        self.plan = plan
        self.plans: list[ClusterPlan] = []
        self.running: object | None = None
        self.deleted = False
        self.rotated = 0
        self.autoscaled: dict[str, int] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.problem: str | None = None

    async def start(self) -> None:
        await self.apply(self.plan)

    async def apply(self, plan: ClusterPlan) -> None:
        await self.gate.wait()
        if self.problem is not None:
            raise EngineProblem(self.problem)
        self.plan = plan
        self.plans.append(plan)
        self.running = object()

    async def stop(self) -> None:
        self.running = None

    async def delete(self) -> None:
        await self.stop()
        self.deleted = True

    async def rotate(self) -> None:
        self.rotated += 1

    def kubeconfig(self, role: str, *, user: str) -> str:
        return f"# {role} {user}\n"


class EveryToken:
    """Takes any token, as these tests are not about them."""

    def verify(self, authorization: str | None, **given: object) -> Caller:
        return Caller(tenant=TENANT, object_id="o", app_id="a", name="test", kind="Application")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str:
        return str(self.body["error"]["code"])

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])


@dataclass
class Emulators:
    """One emulator process after the other on the same state."""

    folder: Path
    pace: Pace = field(default_factory=lambda: Pace.parse("fast"))
    clock: ManualClock = field(default_factory=ManualClock)
    store: Store = field(default_factory=lambda: Store(None))
    engine: NotedEngine = field(default_factory=NotedEngine)
    clusters: list[NotedCluster] = field(default_factory=list[NotedCluster])

    async def start(self) -> None:
        directory = Directory.of(tenant=TENANT, subscription=SUBSCRIPTION, client_id=TENANT, client_secret="s")
        self.kernel: Kernel = build(
            store=self.store, clock=self.clock, pace=self.pace, directory=directory, subscription=SUBSCRIPTION
        )
        tokens = cast("Tokens", EveryToken())
        world = World(
            store=self.store,
            resources=self.kernel.resources,
            clock=self.clock,
            pace=self.pace,
            folder=self.folder,
            runtime=cast("Runtime", None),
            content=Content(self.store, self.folder / "registry", clock=self.clock),
            tokens=tokens,
            listeners=cast("Listeners", None),
            tenant=TENANT,
            subscription=SUBSCRIPTION,
            engine=cast("Engine", self.engine),
        )
        self.service = ContainerService(world, make_cluster=self._make)
        self.kernel.catalogue.add(PROVIDER, self.service)
        self.kernel.catalogue.add(RESOURCES, RESOURCES.service(world))
        self.app = Arm(self.kernel, tokens, ENDPOINTS)
        await self.service.start()
        self.kernel.operations.resume()

    def _make(self, plan: ClusterPlan, around: Surroundings) -> Cluster:
        self.clusters.append(NotedCluster(plan))
        return cast("Cluster", self.clusters[-1])

    @property
    def cluster(self) -> NotedCluster:
        """The one that was made last."""
        return self.clusters[-1]

    async def stop(self) -> None:
        await self.kernel.operations.stop()
        await self.service.stop()

    async def settled(self) -> None:
        async with asyncio.timeout(_DEADLINE_S):
            await self.kernel.operations.settled()

    async def request(self, method: str, target: str, body: object = None, **headers: str) -> Reply:
        """``target`` with its query, which has an api-version when it says none."""
        path, _, query = target.removeprefix(BASE).partition("?")
        if "api-version" not in query:
            query = f"{query}&api-version={VERSION}".lstrip("&")
        raw = b"" if body is None else msgspec.json.encode(body)
        sent = {"host": BASE.removeprefix("https://"), "authorization": "Bearer x", **headers}
        scope = {
            "type": "http",
            "method": method,
            "scheme": "https",
            "path": path,
            "raw_path": quote(path, safe="/%").encode(),
            "query_string": query.encode(),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 40000),
            "server": ("127.0.0.1", 4580),
        }
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        await self.app(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in messages[1:])
        return Reply(
            status=messages[0]["status"],
            headers={name.decode(): value.decode() for name, value in messages[0]["headers"]},
            body=msgspec.json.decode(content) if content else None,
        )

    async def call(self, method: str, below: str = "", body: object = None, *, name: str = "k1") -> Reply:
        """A request on a cluster, or on what is below it."""
        path = f"{GROUP}/providers/Microsoft.ContainerService/managedClusters/{name}"
        return await self.request(method, f"{path}/{below}" if below else path, body)

    async def created(self, body: object = None, *, name: str = "k1") -> Reply:
        """Create a cluster, wait until that is over, and read it."""
        reply = await self.call("PUT", body=body or cluster_body(), name=name)
        assert reply.status == 201, reply.body
        await self.settled()
        return await self.call("GET", name=name)

    async def changed(self, method: str, below: str, body: object = None) -> Reply:
        """Change something, and wait until that is over."""
        reply = await self.call(method, below, body)
        assert reply.status in (200, 201, 202), reply.body
        await self.settled()
        return reply


@pytest.fixture
async def emulators(tmp_path: Path) -> AsyncIterator[Emulators]:
    """Running, with a resource group ``rg`` in eastus."""
    made = Emulators(folder=tmp_path)
    async with AsyncExitStack() as stack:
        await made.start()
        stack.push_async_callback(made.stop)
        reply = await made.request("PUT", f"{GROUP}?api-version=2022-09-01", {"location": "eastus"})
        assert reply.status == 201
        yield made
