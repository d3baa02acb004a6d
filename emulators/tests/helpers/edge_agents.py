"""An agent with all that it acts on in memory: its hub, the images, the containers; time is moved by the test."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from windtunnel_emulators.clock import ManualClock, Pace
from windtunnel_emulators.edge.agent.agent import Agent
from windtunnel_emulators.edge.agent.backup import Backup
from windtunnel_emulators.edge.agent.machine import Machine, Place
from windtunnel_emulators.edge.agent.records import Records
from windtunnel_emulators.edge.interface import EdgeProblem, Unreachable
from windtunnel_emulators.iot.hub.twins import merged, plain
from windtunnel_emulators.runtime.interface import Exit, Image, ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from windtunnel_emulators.edge.agent.create_options import Options
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.runtime.interface import ContainerSpec, Credentials, Runtime


class FakeContainer:
    """Runs until it is ended."""

    def __init__(self, spec: ContainerSpec, clock: ManualClock) -> None:
        self.spec = spec
        self.started = clock.now()
        self._clock = clock
        self._end: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> bool:
        return not self._end.done()

    def end(self, code: int) -> None:
        if self.running:
            reason = "Completed" if code == 0 else "Error"
            self._end.set_result(Exit(code=code, reason=reason, started=self.started, finished=self._clock.now()))

    async def wait(self) -> Exit:
        return await asyncio.shield(self._end)

    async def stop(self, grace_s: float) -> Exit:
        self.end(143)
        return await self.wait()


class FakeRuntime:
    """Remembers what it has started, in order."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.containers: list[FakeContainer] = []

    async def start(self, spec: ContainerSpec) -> FakeContainer:
        self.containers.append(FakeContainer(spec, self.clock))
        return self.containers[-1]

    @property
    def running(self) -> list[str]:
        return [one.spec.id for one in self.containers if one.running]

    def last(self, module: str) -> FakeContainer:
        return [one for one in self.containers if one.spec.id == module][-1]


class FakeImages:
    """Has every image but those that are ``missing``."""

    def __init__(self) -> None:
        self.missing: set[str] = set()
        self.gate = asyncio.Event()
        """Pulls wait until it is set."""
        self.gate.set()
        self.pulls: list[tuple[str, tuple[Credentials, ...]]] = []

    async def get(self, reference: str, credentials: tuple[Credentials, ...], *, kept_only: bool) -> Image:
        self.pulls.append((reference, credentials))
        await self.gate.wait()
        if reference in self.missing:
            raise ImageError(f"image {reference} is nowhere", denied=True)
        return Image(reference=reference, digest=f"sha256:{reference}")

    async def kept(self, reference: str, digest: str) -> Image | None:
        return Image(reference=reference, digest=digest)


class FakeSurroundings:
    """A place for everybody."""

    async def enter(self, module: str) -> Place:
        return Place(address="127.9.9.9", environment={"IOTEDGE_MODULEID": module}, mounts=())

    async def publish(self, module: str, options: Options) -> None: ...
    async def leave(self, module: str) -> None: ...


class FakeHub:
    """The agent's connection, and the twin of ``$edgeAgent`` behind it."""

    def __init__(self) -> None:
        self.reachable = True
        self.desired: JsonObject = {"$version": 1}
        self.reported: JsonObject = {"$version": 1}
        self.patches: list[JsonObject] = []
        self.pulls = 0
        self.problem: EdgeProblem | None = None
        self._connected: Callable[[], None] = _nothing
        self._patched: Callable[[JsonObject], None] = _nobody

    async def wait(self) -> None: ...
    async def twin(self) -> JsonObject:
        self._check()
        self.pulls += 1
        return copy.deepcopy({"desired": self.desired, "reported": self.reported})

    async def report(self, patch: JsonObject) -> None:
        self._check()
        self.patches.append(patch)
        self.reported = {**merged(plain(self.reported), patch), "$version": 1}

    def listen(self, *, connected: Callable[[], None], desired: Callable[[JsonObject], None]) -> None:
        self._connected, self._patched = connected, desired

    def _check(self) -> None:
        if self.problem is not None:
            raise self.problem
        if not self.reachable:
            raise Unreachable("The hub is away.")

    # What services and networks do.

    def desire(self, patch: JsonObject, *, told: bool = True) -> None:
        version = self.desired["$version"]
        assert isinstance(version, int)
        self.desired = {**merged(plain(self.desired), patch), "$version": version + 1}
        if told:
            self._patched({**patch, "$version": version + 1})

    def come_back(self) -> None:
        self.reachable = True
        self._connected()

    @property
    def status(self) -> Any:
        return self.reported.get("lastDesiredStatus")

    def module(self, name: str) -> Any:
        modules: Any = self.reported.get("modules", {})
        return modules.get(name)


class FakeRegistry:
    """The modules' identities."""

    def __init__(self) -> None:
        self.agreed: list[set[str]] = []

    async def agree(self, modules: Collection[str]) -> None:
        self.agreed.append(set(modules))


@dataclass
class Bench:
    """A device's agent that may be stopped and started again on the same folder."""

    folder: Path
    clock: ManualClock = field(default_factory=ManualClock)
    hub: FakeHub = field(default_factory=FakeHub)

    def start(self) -> None:
        self.runtime = FakeRuntime(self.clock)
        self.images = FakeImages()
        self.registry = FakeRegistry()
        self.machine = Machine(
            runtime=cast("Runtime", self.runtime),  # of which the machine uses one method
            images=self.images,
            surroundings=FakeSurroundings(),
            records=Records(self.folder / "modules.json"),
            clock=self.clock,
            folder=self.folder,
            owner="edge",
        )
        self.agent = Agent(
            cloud=self.hub,
            machine=self.machine,
            identities=self.registry,
            backup=Backup(self.folder),
            clock=self.clock,
            pace=Pace.parse("azure"),
        )
        self._run = asyncio.get_running_loop().create_task(self.agent.run())

    async def kill(self) -> None:
        """Nothing is told to anybody; modules end with their device."""
        self._run.cancel()
        await asyncio.gather(self._run, return_exceptions=True)
        watches = [one.watch for one in self.machine.modules.values() if one.watch is not None]
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
        for container in self.runtime.containers:
            container.end(137)

    async def stop(self) -> None:
        self._run.cancel()
        await asyncio.gather(self._run, return_exceptions=True)
        await self.agent.stop(1.0)

    async def settle(self) -> None:
        await self.clock.advance(0)


def _nothing() -> None: ...
def _nobody(patch: JsonObject) -> None: ...


def deployment(**modules: JsonObject) -> JsonObject:
    """Desired properties of ``$edgeAgent``."""
    return {
        "schemaVersion": "1.1",
        "runtime": {
            "type": "docker",
            "settings": {
                "registryCredentials": {"r": {"address": "registry:1", "username": "u", "password": "secret"}}
            },
        },
        "systemModules": {
            "edgeAgent": {"type": "docker", "settings": {"image": "agent:1"}},
            "edgeHub": {
                "type": "docker",
                "status": "running",
                "restartPolicy": "always",
                "settings": {"image": "hub:1"},
            },
        },
        "modules": dict(modules),
    }


def module(image: str = "score:1", **fields: Any) -> JsonObject:
    """One module of it."""
    return {
        "type": "docker",
        "status": "running",
        "restartPolicy": "always",
        "settings": {"image": image, "createOptions": "{}"},
        **fields,
    }
