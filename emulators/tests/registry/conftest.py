"""Microsoft.ContainerRegistry behind ARM's front door, and the registries that it makes, called without a socket."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from windtunnel_emulators.arm.app import Arm
from windtunnel_emulators.arm.kernel import build
from windtunnel_emulators.clock import ManualClock, Pace
from windtunnel_emulators.identity.directory import Directory
from windtunnel_emulators.identity.keys import SigningKey
from windtunnel_emulators.identity.tokens import Tokens
from windtunnel_emulators.providers.container_registry import PROVIDER
from windtunnel_emulators.providers.container_registry.service import RegistryService
from windtunnel_emulators.providers.resources import ENDPOINTS
from windtunnel_emulators.providers.resources import PROVIDER as RESOURCES
from windtunnel_emulators.registry.content import Content
from windtunnel_emulators.registry.manifests import OCI_IMAGE
from windtunnel_emulators.store import Store
from windtunnel_emulators.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from windtunnel_emulators.asgi import ASGI, Receive, Scope, Send
    from windtunnel_emulators.runtime.interface import Runtime
    from windtunnel_emulators.server import Listeners

TENANT = "11111111-2222-3333-4444-555555555555"
SUBSCRIPTION = "22222222-2222-2222-2222-222222222222"
CLIENT_ID = "aaaaaaaa-2222-3333-4444-555555555555"
SECRET = "s3cret~value"
BASE = "https://localhost:4580"
VERSION = "2023-07-01"
TASKS_VERSION = "2025-03-01-preview"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_DEADLINE_S = 10.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Oci:
    """What clients of a registry send, and how its answers are read; tests have it as the fixture ``oci``."""

    @staticmethod
    def sha256(data: bytes) -> str:
        return f"sha256:{hashlib.sha256(data).hexdigest()}"

    @staticmethod
    def descriptor(data: bytes, media_type: str, **more: object) -> dict[str, object]:
        return {"mediaType": media_type, "digest": Oci.sha256(data), "size": len(data), **more}

    @staticmethod
    def image(config: bytes, *layers: bytes, **more: object) -> bytes:
        """An OCI image manifest of blobs."""
        return json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI_IMAGE,
                "config": Oci.descriptor(config, CONFIG_TYPE),
                "layers": [Oci.descriptor(layer, LAYER_TYPE) for layer in layers],
                **more,
            }
        ).encode()

    @staticmethod
    def basic(user: str, password: str) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}

    @staticmethod
    async def push_blob(client: httpx.AsyncClient, repository: str, data: bytes) -> str:
        digest = Oci.sha256(data)
        answer = await client.post(f"/v2/{repository}/blobs/uploads/", params={"digest": digest}, content=data)
        assert answer.status_code == 201, answer.text
        return digest

    @staticmethod
    async def push(
        client: httpx.AsyncClient, repository: str, tag: str, *layers: bytes, config: bytes = b"{}", **more: object
    ) -> str:
        """Push an image; returns its digest. Without a tag it is pushed by its digest."""
        for blob in (config, *layers):
            await Oci.push_blob(client, repository, blob)
        body = Oci.image(config, *layers, **more)
        path = f"/v2/{repository}/manifests/{tag or Oci.sha256(body)}"
        answer = await client.put(path, content=body, headers={"Content-Type": OCI_IMAGE})
        assert answer.status_code == 201, answer.text
        return answer.headers["Docker-Content-Digest"]

    @staticmethod
    def problem(answer: httpx.Response) -> tuple[int, str]:
        """Status and code of a registry's refusal."""
        return answer.status_code, answer.json()["errors"][0]["code"]

    @staticmethod
    def refusal(answer: httpx.Response) -> tuple[int, str]:
        """Status and code of ARM's refusal."""
        return answer.status_code, answer.json()["error"]["code"]


def provider_path(group: str = "rg") -> str:
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.ContainerRegistry"


def registry_id(name: str = "registry1") -> str:
    return f"{provider_path()}/registries/{name}"


@pytest.fixture
def oci() -> Oci:
    return Oci()


class QuickTokens(Tokens):
    """Tokens with a key that is loaded once for all tests: each loading takes longer than most of them."""

    shared: SigningKey

    @property
    def key(self) -> SigningKey:
        return self.shared


class StagedListeners:
    """Ports that are numbers only; the applications are called directly."""

    def __init__(self) -> None:
        self.apps: dict[str, ASGI] = {}
        self.ports: dict[str, int] = {}
        self.moved = 0
        """How far ports move at the next opening, as when another process has taken them."""

    def reserve(self, name: str) -> int:
        assert name not in self.ports
        self.ports[name] = 5000 + len(self.ports)
        return self.ports[name]

    async def open(self, name: str, app: ASGI, *, port: int = 0, tls: bool = True) -> int:
        assert name not in self.apps
        if name not in self.ports:
            self.reserve(name)
        self.ports[name] += self.moved
        self.apps[name] = app
        return self.ports[name]

    async def close(self, name: str, *, forget: bool = False) -> None:
        self.apps.pop(name, None)
        self.ports.pop(name, None)

    def port(self, name: str) -> int | None:
        return self.ports.get(name) if name in self.apps else None

    def at(self, server: str) -> ASGI:
        names = [name for name, port in self.ports.items() if server == f"localhost:{port}"]
        return self.apps[names[0]]


@dataclass
class Cloud:
    """One emulator process after the other on the same state."""

    folder: Path
    key: SigningKey
    pace: Pace
    service_class: type[RegistryService]
    clock: ManualClock = field(default_factory=ManualClock)
    listeners: StagedListeners = field(default_factory=StagedListeners)
    store: Store = field(default_factory=lambda: Store(None))
    """In memory, and kept over a restart: how files behave is for the store's own tests."""

    async def start(self) -> None:
        directory = Directory.of(tenant=TENANT, subscription=SUBSCRIPTION, client_id=CLIENT_ID, client_secret=SECRET)
        self.tokens = QuickTokens(folder=self.folder, clock=self.clock, directory=directory)
        self.tokens.shared = self.key
        self.kernel = build(
            store=self.store, clock=self.clock, pace=self.pace, directory=directory, subscription=SUBSCRIPTION
        )
        self.content = Content(self.store, self.folder / "registry", clock=self.clock)
        self.world = World(
            store=self.store,
            resources=self.kernel.resources,
            clock=self.clock,
            pace=self.pace,
            folder=self.folder,
            runtime=cast("Runtime", None),
            content=self.content,
            tokens=self.tokens,
            listeners=cast("Listeners", self.listeners),
            tenant=TENANT,
            subscription=SUBSCRIPTION,
        )
        self.service = self.service_class(self.world)
        self.kernel.catalogue.add(PROVIDER, self.service)
        self.kernel.catalogue.add(RESOURCES, RESOURCES.service(self.world))
        self._arm = Arm(self.kernel, self.tokens, ENDPOINTS)
        await self.service.start()
        self.kernel.operations.resume()
        token = self.tokens.issue(directory.application, "https://management.azure.com/", lifetime=10**6)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self._front_door),
            base_url=BASE,
            headers={"Authorization": f"Bearer {token}"},
        )

    async def stop(self) -> None:
        await self.client.aclose()
        await self.kernel.operations.stop()
        await self.service.stop()

    async def restart(self) -> None:
        """Stop, with all work interrupted, and start again."""
        await self.stop()
        self.listeners.apps.clear()
        await self.start()

    async def _front_door(self, scope: Scope, receive: Receive, send: Send) -> None:
        word = scope["path"].lstrip("/").partition("/")[0]
        await self.service.routes.get(word, self._arm)(scope, receive, send)

    async def settled(self) -> None:
        async with asyncio.timeout(_DEADLINE_S):
            await self.kernel.operations.settled()

    async def eventually(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(_DEADLINE_S):
            while not holds():  # noqa: ASYNC110 - whatever is waited for has no event of its own
                await asyncio.sleep(0.001)

    async def call(
        self, method: str, path: str, body: object = None, *, version: str = VERSION, **query: str
    ) -> httpx.Response:
        """A request of ARM's; ``path`` is below the resource group's provider unless it is a whole one."""
        whole = path if path.startswith("/") else f"{provider_path()}/{path}"
        parameters = {"api-version": version, **{f"${name}": value for name, value in query.items()}}
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if content else {}
        return await self.client.request(method, whole, params=parameters, content=content, headers=headers)

    async def create(self, name: str = "registry1", sku: str = "Premium", **properties: object) -> dict[str, Any]:
        """A new registry."""
        body = {"location": "westus", "sku": {"name": sku}, "properties": properties}
        answer = await self.call("PUT", f"registries/{name}", body)
        assert answer.status_code == 200, answer.text
        await self.eventually(lambda: f"registry {registry_id(name).lower()}" in self.listeners.apps)
        found: dict[str, Any] = answer.json()
        return found

    def registry(self, name: str = "registry1", **headers: str) -> httpx.AsyncClient:
        """A client of a registry's own port, without credentials unless given."""
        resource = self.kernel.resources.get(registry_id(name))
        assert resource is not None
        server = str(resource.properties["loginServer"])
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.listeners.at(server)), base_url=f"https://{server}", headers=headers
        )

    async def admin(self, name: str = "registry1") -> tuple[str, str]:
        """The admin user's name and password."""
        answer = await self.call("POST", f"registries/{name}/listCredentials")
        assert answer.status_code == 200, answer.text
        found = answer.json()
        return found["username"], found["passwords"][0]["value"]

    @staticmethod
    def registry_id(name: str = "registry1") -> str:
        return registry_id(name)

    async def signed_in(self, name: str = "registry1") -> httpx.AsyncClient:
        """A client with the admin user's credentials."""
        user, password = await self.admin(name)
        return self.registry(name, **Oci.basic(user, password))


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return SigningKey.load_or_create(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def pace() -> Pace:
    return Pace.parse("fast")


@pytest.fixture
def service_class() -> type[RegistryService]:
    """Overridden where a test decides what a build does."""
    return RegistryService


@pytest.fixture
async def cloud(
    tmp_path: Path, signing_key: SigningKey, pace: Pace, service_class: type[RegistryService]
) -> AsyncIterator[Cloud]:
    """Running, with a resource group ``rg`` in westus."""
    made = Cloud(folder=tmp_path, key=signing_key, pace=pace, service_class=service_class)
    async with AsyncExitStack() as stack:
        await made.start()
        stack.push_async_callback(made.stop)
        answer = await made.call("PUT", f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg", {"location": "westus"})
        assert answer.status_code == 201, answer.text
        yield made


@pytest.fixture
def content(tmp_path: Path) -> Content:
    return Content(Store(None), tmp_path, clock=ManualClock())
