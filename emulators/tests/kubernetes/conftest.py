"""API servers for what works behind them: the embedded one, and a real one where ``KUBEBUILDER_ASSETS`` names it.

``cluster`` is either, by parameter; ``kubelets`` stands in for nodes: pods that are bound to one run, are ready at
once, and end when they are deleted.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.kubernetes.access.access import ClusterAccess, role_user
from windtunnel_emulators.kubernetes.api.server import ApiServer
from windtunnel_emulators.kubernetes.certificates import ClusterAuthority
from windtunnel_emulators.kubernetes.client.http import HttpClient
from windtunnel_emulators.kubernetes.client.interface import STRATEGIC_MERGE_PATCH, KubernetesProblem, StatusError
from windtunnel_emulators.kubernetes.client.kinds import NAMESPACE, NODE, POD
from windtunnel_emulators.kubernetes.client.meta import deleting, mapping, name_of, namespace_of, text, timestamp
from windtunnel_emulators.kubernetes.client.objects import Objects
from windtunnel_emulators.kubernetes.client.shared import SharedObjects
from windtunnel_emulators.kubernetes.engines.binaries import BinariesEngine, RunningBinaries
from windtunnel_emulators.kubernetes.engines.interface import ClusterDefinition
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Client

WITHIN_S = 20.0


@dataclass(kw_only=True)
class Cluster:
    """An API server, a namespace of the test's own, and clients of each identity."""

    connect: Callable[[str], Client]
    namespace: str
    admin: Objects
    real: bool
    clients: list[Client] = field(default_factory=list["Client"])

    def client(self, role: str) -> Client:
        made = self.connect(role)
        self.clients.append(made)
        return made

    async def until(self, look: Callable[[], Awaitable[object]], *, within_s: float = WITHIN_S) -> None:
        """Look again and again until it is true. Fails after the limit, with what was seen last."""
        seen: object = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while True:
                    seen = await look()
                    if seen is True:
                        return
                    await asyncio.sleep(0.02)
        pytest.fail(f"not within {within_s} s: {seen}")


@pytest.fixture(scope="session")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningBinaries, ClusterAuthority]]:
    """A real API server without controllers or scheduler, on a loop of its own; shared by all tests of a run."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets:
        pytest.skip("KUBEBUILDER_ASSETS names no folder with kube-apiserver and etcd")
    folder = tmp_path_factory.mktemp("binaries")
    programs = folder / "bin"
    programs.mkdir()
    for name in ("kube-apiserver", "etcd", "kubectl"):
        (programs / name).symlink_to(os.path.join(assets, name))
    authority = ClusterAuthority.create(folder / "keys.json", now=RealClock().now())
    engine = BinariesEngine(
        environment={"KUBEBUILDER_ASSETS": str(programs), "PATH": os.environ.get("PATH", "")}, clock=RealClock()
    )
    definition = ClusterDefinition(
        uid="controllers", name="controllers", version=engine.version(), folder=folder / "c", authority=authority
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="binaries", daemon=True)
    thread.start()
    running = asyncio.run_coroutine_threadsafe(engine.start(definition), loop).result(timeout=60)
    yield running, authority
    asyncio.run_coroutine_threadsafe(running.stop(), loop).result(timeout=30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=10)
    loop.close()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["embedded", "binaries"])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Either API server, with an empty namespace."""
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "embedded":
            connect = await _embedded(stack, tmp_path)
        else:
            connect = _real(*request.getfixturevalue("binaries"))
        admin = connect("admin")
        objects = Objects(admin)
        namespace = f"t{secrets.token_hex(4)}"
        await objects.create(NAMESPACE, {"metadata": {"name": namespace}})
        made = Cluster(
            connect=connect, namespace=namespace, admin=objects, real=request.param == "binaries", clients=[admin]
        )
        yield made
        if made.real:
            await _clean(objects, namespace)
        for client in made.clients:
            await client.close()


async def _embedded(stack: contextlib.AsyncExitStack, folder: Path) -> Callable[[str], Client]:
    store = Store(None)
    stack.callback(store.close)
    authority = ClusterAuthority.create(folder / "keys.json", now=RealClock().now())
    server = ApiServer(store=store, cluster="c1", clock=RealClock(), access=ClusterAccess(authority, RealClock()))
    await server.start()
    stack.push_async_callback(server.stop)
    return lambda role: server.client(role_user(role))


def _real(running: RunningBinaries, authority: ClusterAuthority) -> Callable[[str], Client]:
    return lambda role: HttpClient(running.server, context=authority.client_context(authority.client(role)))


async def _clean(objects: Objects, namespace: str) -> None:
    """The server goes on: nodes and pods of this test may not be met by the next."""
    for node in await objects.list(NODE):
        await objects.delete(NODE, None, name_of(node))
    for pod in await objects.list(POD):
        finalizers: JsonObject = {"metadata": {"finalizers": None}}
        with contextlib.suppress(StatusError):
            await objects.patch(POD, namespace_of(pod), name_of(pod), finalizers)
        await objects.delete(POD, namespace_of(pod), name_of(pod), grace_period_s=0)
    await objects.delete(NAMESPACE, None, namespace)


async def make_node(objects: Objects, name: str, *, cpu: str = "4", memory: str = "8Gi", **spec: Json) -> JsonObject:
    """A node that is ready, with room."""
    labels: JsonObject = {"kubernetes.io/hostname": name}
    await objects.create(NODE, {"metadata": {"name": name, "labels": labels}, "spec": dict(spec)})
    room: JsonObject = {"cpu": cpu, "memory": memory, "pods": "110"}
    status: JsonObject = {"capacity": room, "allocatable": room, "conditions": [_condition("Ready")]}
    await objects.patch(NODE, None, name, {"status": status}, subresource="status")
    # What admission adds to a node that is new, and the node lifecycle controller removes.
    wanted: JsonObject = {"spec": {"taints": spec.get("taints")}}
    return await objects.patch(NODE, None, name, wanted)


def _condition(type_: str, *, heard: bool = True) -> JsonObject:
    """One that holds; those of nodes say when the node was heard of last."""
    now = timestamp(RealClock().now())
    found: JsonObject = {"type": type_, "status": "True", "lastTransitionTime": now, "reason": "Test"}
    if heard:
        found["lastHeartbeatTime"] = now
    return found


class Kubelets:
    """What nodes do of pods, as far as controllers see it."""

    def __init__(self, client: Client) -> None:
        self.objects = SharedObjects(client, RealClock())
        self.ends: dict[str, str] = {}
        """Phases in which pods end at once, by the label ``app``."""
        self.silent: set[str] = set()
        """The nodes that do nothing."""
        self._pods = self.objects.informer(POD)
        self._queue: asyncio.Queue[JsonObject] = asyncio.Queue()
        self._addresses = itertools.count(1)
        self._tasks: list[asyncio.Task[None]] = []
        self._pods.add_handler(lambda _old, new: None if new is None else self._queue.put_nowait(new))

    async def start(self) -> None:
        await self.objects.start()
        self._tasks = [asyncio.create_task(self._run()) for _ in range(4)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.objects.stop()

    async def _run(self) -> None:
        while True:
            pod = await self._queue.get()
            node = text(pod, "spec", "nodeName")
            if not node or node in self.silent:
                continue
            with contextlib.suppress(KubernetesProblem):
                if deleting(pod):
                    await self.objects.delete(POD, namespace_of(pod), name_of(pod), grace_period_s=0)
                elif text(pod, "status", "phase") == "Pending":
                    await self._start(pod)

    async def _start(self, pod: JsonObject) -> None:
        number = next(self._addresses)
        now = timestamp(RealClock().now())
        end = self.ends.get(str(mapping(pod, "metadata", "labels").get("app")))
        state: JsonObject = {"running": {"startedAt": now}}
        if end is not None:
            code = 0 if end == "Succeeded" else 3
            state = {"terminated": {"exitCode": code, "startedAt": now, "finishedAt": now}}
        address = f"10.244.{number // 250}.{number % 250 + 1}"
        containers = mapping(pod, "spec").get("containers")
        status: JsonObject = {
            "phase": end or "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": now,
            "conditions": [] if end else [_condition("Ready", heard=False), _condition("ContainersReady", heard=False)],
            "containerStatuses": [
                {
                    "name": str(each["name"]),
                    "image": "x",
                    "imageID": "x",
                    "ready": end is None,
                    "restartCount": 0,
                    "state": state,
                }
                for each in (containers if isinstance(containers, list) else [])
                if isinstance(each, dict)
            ],
        }
        await self.objects.patch(
            POD,
            namespace_of(pod),
            name_of(pod),
            {"status": status},
            content_type=STRATEGIC_MERGE_PATCH,
            subresource="status",
        )


@pytest.fixture
async def kubelets(cluster: Cluster) -> AsyncIterator[Kubelets]:
    made = Kubelets(cluster.client("admin"))
    await made.start()
    yield made
    await made.stop()
