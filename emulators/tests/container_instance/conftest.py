"""ARM's front door with Microsoft.ContainerInstance, called without a socket, whose containers are scripted.

Images: ``run`` runs until it is stopped, ``exit/3`` ends with 3 at once, ``refuse`` cannot be started, ``hang`` is
pulled for ever, ``absent/...`` cannot be had. Each run writes one line that names its command.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import msgspec
import pytest

from windtunnel_emulators.arm.app import Arm
from windtunnel_emulators.arm.kernel import Kernel, build
from windtunnel_emulators.arm.provider import Caller
from windtunnel_emulators.clock import ManualClock, Pace
from windtunnel_emulators.identity.directory import Directory
from windtunnel_emulators.providers.container_instance import PROVIDER
from windtunnel_emulators.providers.resources import ENDPOINTS
from windtunnel_emulators.providers.resources import PROVIDER as RESOURCES
from windtunnel_emulators.registry.content import Content
from windtunnel_emulators.runtime.interface import Exit, Image, ImageError, StartError, Usage
from windtunnel_emulators.store import Store
from windtunnel_emulators.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from windtunnel_emulators.asgi import Message
    from windtunnel_emulators.identity.tokens import Tokens
    from windtunnel_emulators.providers.container_instance.service import ContainerInstances
    from windtunnel_emulators.runtime.interface import Attachment, ContainerSpec, Credentials
    from windtunnel_emulators.server import Listeners

TENANT = "11111111-2222-3333-4444-555555555555"
SUBSCRIPTION = "22222222-2222-2222-2222-222222222222"
BASE = "https://localhost:4580"
VERSION = "2023-05-01"
_DEADLINE_S = 10.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class ScriptedExec:
    """Echoes what it is sent in capitals, and ends at ``exit``."""

    def __init__(self, command: tuple[str, ...], terminal: tuple[int, int] | None) -> None:
        self.command = command
        self.terminal = terminal
        self.closed = False
        self._output: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._output.put_nowait(f"{' '.join(command)}\r\n".encode())

    async def send(self, data: bytes) -> None:
        self._output.put_nowait(None if data.startswith(b"exit") else data.upper())

    async def resize(self, rows: int, columns: int) -> None:
        self.terminal = (rows, columns)

    async def close_input(self) -> None: ...

    async def errors(self) -> AsyncIterator[bytes]:
        return
        yield b""

    async def output(self) -> AsyncIterator[bytes]:
        while (data := await self._output.get()) is not None:
            yield data

    async def wait(self) -> int:
        return 0

    async def close(self) -> None:
        self.closed = True


class ScriptedContainer:
    """One container of ``ScriptedRuntime``."""

    def __init__(self, spec: ContainerSpec, clock: ManualClock) -> None:
        self.spec = spec
        self.started: datetime = clock.now()
        self._clock = clock
        self._end: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.execs: list[ScriptedExec] = []

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

    def attach(self) -> Attachment:
        raise StartError("scripted containers are not attached to")

    async def execute(
        self, command: tuple[str, ...], *, terminal: tuple[int, int] | None = None, separate: bool = False
    ) -> ScriptedExec:
        if command[0] == "nonsense":
            raise StartError(f"there is no command {command[0]!r}")
        self.execs.append(ScriptedExec(command, terminal))
        return self.execs[-1]

    def usage(self) -> Usage:
        return Usage(cpu_seconds=0.0, memory_bytes=0)


class ScriptedRuntime:
    """Containers that do what their image's name says."""

    name = "scripted"

    def __init__(self, clock: ManualClock) -> None:
        self.containers: list[ScriptedContainer] = []
        self.pulls: list[tuple[str, tuple[Credentials, ...]]] = []
        self._clock = clock
        self._addresses: dict[str, str] = {}

    def limits(self) -> Mapping[str, str]:
        return {}

    async def start_up(self) -> None: ...

    async def close(self) -> None:
        for container in self.containers:
            container.end(137)

    async def pull(self, reference: str, credentials: tuple[Credentials, ...] = ()) -> Image:
        self.pulls.append((reference, credentials))
        if reference.startswith("hang"):
            await asyncio.Event().wait()
        if reference.startswith("absent"):
            raise ImageError(f"image {reference} is nowhere", denied=True)
        return Image(reference=reference, digest=f"sha256:{'ab' * 32}")

    async def start(self, spec: ContainerSpec) -> ScriptedContainer:
        if spec.image.reference.startswith("refuse"):
            raise StartError("it cannot be started")
        container = ScriptedContainer(spec, self._clock)
        self.containers.append(container)
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        with spec.log.open("a") as log:
            log.write(f"{self._clock.now():%Y-%m-%dT%H:%M:%S.%f}Z stdout ran {' '.join(spec.command) or 'as built'}\n")
        name, _, code = spec.image.reference.partition("/")
        if name == "exit":
            container.end(int(code))
        return container

    def allocate_address(self, owner: str, preferred: str | None = None) -> str:
        if owner not in self._addresses:
            used = set(self._addresses.values())
            free = (f"127.77.0.{number}" for number in range(1, 255))
            fresh = next(address for address in free if address not in used)
            self._addresses[owner] = preferred if preferred is not None and preferred not in used else fresh
        return self._addresses[owner]

    def release_address(self, owner: str) -> None:
        self._addresses.pop(owner, None)

    @property
    def running(self) -> list[ScriptedContainer]:
        return [container for container in self.containers if container.running]


class EveryToken:
    """Takes any token, as these tests are not about them."""

    def verify(self, authorization: str | None, **given: object) -> Caller:
        return Caller(tenant=TENANT, object_id="o", app_id="a", name="test", kind="Application")

    def sign(self, claims: dict[str, object]) -> str:
        """Readable, so that tests see what was signed."""
        return msgspec.json.encode(claims).decode()


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
    pace: Pace
    clock: ManualClock = field(default_factory=ManualClock)
    store: Store = field(default_factory=lambda: Store(None))

    async def start(self) -> None:
        directory = Directory.of(tenant=TENANT, subscription=SUBSCRIPTION, client_id=TENANT, client_secret="s")
        self.kernel: Kernel = build(
            store=self.store, clock=self.clock, pace=self.pace, directory=directory, subscription=SUBSCRIPTION
        )
        tokens = cast("Tokens", EveryToken())
        self.runtime = ScriptedRuntime(self.clock)
        self.world = World(
            store=self.store,
            resources=self.kernel.resources,
            clock=self.clock,
            pace=self.pace,
            folder=self.folder,
            runtime=self.runtime,
            content=Content(self.store, self.folder / "registry", clock=self.clock),
            tokens=tokens,
            listeners=cast("Listeners", None),
            tenant=TENANT,
            subscription=SUBSCRIPTION,
        )
        self.service: ContainerInstances = PROVIDER.service(self.world)
        self.kernel.catalogue.add(PROVIDER, self.service)
        self.kernel.catalogue.add(RESOURCES, RESOURCES.service(self.world))
        self.app = Arm(self.kernel, tokens, ENDPOINTS)
        await self.service.start()
        self.kernel.operations.resume()

    async def stop(self) -> None:
        await self.kernel.operations.stop()
        await self.service.stop()
        await self.runtime.close()

    async def crash(self) -> None:
        """End at once, without a chance to write anything, and start again."""
        self.kernel.resources.save_state = lambda *_: None  # type: ignore[method-assign]  # nothing is written from here
        await self.stop()
        await self.start()

    async def settled(self) -> None:
        async with asyncio.timeout(_DEADLINE_S):
            await self.kernel.operations.settled()

    async def eventually(self, holds: Callable[[], bool]) -> None:
        """Wait for what other tasks and threads bring about; fails after the deadline."""
        end = time.monotonic() + _DEADLINE_S
        while not holds():
            assert time.monotonic() < end, "it did not come about"
            await asyncio.sleep(0.001)  # there is no event: the condition is the test's own

    async def request(self, method: str, target: str, body: object = None, **headers: str) -> Reply:
        """``target`` with its query, which has an api-version when it says none."""
        path, _, query = target.partition("?")
        if "api-version" not in query:
            query = f"{query}&api-version={VERSION}".lstrip("&")
        raw = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
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

    def path(self, name: str, group: str = "rg") -> str:
        """The id of a container group."""
        scope = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}"
        return f"{scope}/providers/Microsoft.ContainerInstance/containerGroups/{name}"

    async def put(self, name: str, body: object, *, group: str = "rg") -> Reply:
        return await self.request("PUT", self.path(name, group), body)

    async def get(self, name: str) -> Reply:
        return await self.request("GET", self.path(name))

    async def delete(self, name: str) -> Reply:
        return await self.request("DELETE", self.path(name))

    async def post(self, name: str, action: str, body: object = None) -> Reply:
        return await self.request("POST", f"{self.path(name)}/{action}", body)

    async def created(self, name: str, body: object) -> Reply:
        """Create a group, wait until that is over, and read it."""
        reply = await self.put(name, body)
        assert reply.status in (200, 201), reply.body
        await self.settled()
        return await self.get(name)


@pytest.fixture
def pace() -> Pace:
    """Overridden where a test is about the pace."""
    return Pace.parse("fast")


@pytest.fixture
async def emulators(tmp_path: Path, pace: Pace) -> AsyncIterator[Emulators]:
    """Running, with a resource group ``rg`` in westus."""
    made = Emulators(folder=tmp_path, pace=pace)
    async with AsyncExitStack() as stack:
        await made.start()
        stack.push_async_callback(made.stop)
        group = f"/subscriptions/{SUBSCRIPTION}/resourcegroups/rg?api-version=2022-09-01"
        reply = await made.request("PUT", group, {"location": "westus"})
        assert reply.status == 201
        yield made


@pytest.fixture
def body() -> Callable[..., dict[str, Any]]:
    """Makes the body of a small valid group; what is given replaces its properties, None takes one away."""

    def make(image: str = "run", **properties: object) -> dict[str, Any]:
        container = {
            "name": "main",
            "properties": {
                "image": image,
                "ports": [{"port": 80}],
                "resources": {"requests": {"cpu": 1, "memoryInGB": 1.5}},
            },
        }
        everything = {"containers": [container], "osType": "Linux", "restartPolicy": "Always", **properties}
        kept = {name: value for name, value in everything.items() if value is not None}
        return {"location": "westus", "properties": kept}

    return make
