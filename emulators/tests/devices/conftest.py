"""ARM's front door with Microsoft.Devices, called without a socket; the hubs that it makes really listen."""

from __future__ import annotations

import asyncio
import base64
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from windtunnel_emulators.arm.app import Arm
from windtunnel_emulators.arm.kernel import build
from windtunnel_emulators.arm.provider import Caller
from windtunnel_emulators.clock import Pace, RealClock
from windtunnel_emulators.identity.directory import Directory
from windtunnel_emulators.providers.devices import PROVIDER
from windtunnel_emulators.providers.resources import ENDPOINTS
from windtunnel_emulators.providers.resources import PROVIDER as RESOURCES
from windtunnel_emulators.server import Listeners
from windtunnel_emulators.store import Store
from windtunnel_emulators.tls import CertificateAuthority
from windtunnel_emulators.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from windtunnel_emulators.identity.tokens import Tokens
    from windtunnel_emulators.providers.devices.service import IotHubs
    from windtunnel_emulators.registry.content import Content
    from windtunnel_emulators.runtime.interface import Runtime

TENANT = "11111111-2222-3333-4444-555555555555"
SUBSCRIPTION = "22222222-2222-2222-2222-222222222222"
VERSION = "2023-06-30"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
_DEADLINE_S = 30.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class EveryToken:
    """Takes any token, as these tests are not about them."""

    def verify(self, authorization: str | None, **given: object) -> Caller:
        return Caller(tenant=TENANT, object_id="o", app_id="a", name="test", kind="Application")


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def text(self) -> str:
        """Base64 of its PEM, as clients of ARM send it."""
        return base64.b64encode(self.certificate.public_bytes(serialization.Encoding.PEM)).decode()


@dataclass
class Emulators:
    """One emulator process after the other on the same state."""

    folder: Path
    authority: CertificateAuthority
    clock: RealClock = field(default_factory=RealClock)

    async def start(self) -> None:
        self.store = Store(self.folder / "state.db")
        directory = Directory.of(tenant=TENANT, subscription=SUBSCRIPTION, client_id=TENANT, client_secret="s")
        pace = Pace.parse("fast")
        self.kernel = build(
            store=self.store, clock=self.clock, pace=pace, directory=directory, subscription=SUBSCRIPTION
        )
        tokens = cast("Tokens", EveryToken())
        self.listeners = Listeners(self.store, self.authority.server_context())
        self.world = World(
            store=self.store,
            resources=self.kernel.resources,
            clock=self.clock,
            pace=pace,
            folder=self.folder,
            runtime=cast("Runtime", None),
            content=cast("Content", None),
            tokens=tokens,
            listeners=self.listeners,
            tenant=TENANT,
            subscription=SUBSCRIPTION,
        )
        self.service: IotHubs = PROVIDER.service(self.world)
        self.kernel.catalogue.add(PROVIDER, self.service)
        self.kernel.catalogue.add(RESOURCES, RESOURCES.service(self.world))
        self.app = Arm(self.kernel, tokens, ENDPOINTS)
        await self.service.start()
        self.kernel.operations.resume()

    async def stop(self) -> None:
        await self.kernel.operations.stop()
        await self.service.stop()
        await self.listeners.close_all()
        self.store.close()

    async def settled(self) -> None:
        async with asyncio.timeout(_DEADLINE_S):
            await self.kernel.operations.settled()

    async def request(self, method: str, target: str, body: object = None, **headers: str) -> httpx.Response:
        """Below the subscription, unless the target has a subscription."""
        path, _, query = target.partition("?")
        if not path.startswith(("/subscriptions", "/providers")):
            path = f"/subscriptions/{SUBSCRIPTION}{path}"
        transport = httpx.ASGITransport(app=self.app)
        sent = {"authorization": "Bearer x", **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with httpx.AsyncClient(transport=transport, base_url="https://localhost:4580") as client:
            return await client.request(method, f"{path}?{query or f'api-version={VERSION}'}", json=body, headers=sent)

    def hub(self, name: str, below: str = "") -> str:
        """The id of a hub, or what is below it."""
        return f"{GROUP}/providers/Microsoft.Devices/IotHubs/{name}{below}"

    def certificate(self, name: str, issuer: Issued | None = None) -> Issued:
        """One that may sign others, by itself or by ``issuer``."""
        key, now = ec.generate_private_key(ec.SECP256R1()), self.clock.now()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(
            issuer_name=issuer.certificate.subject if issuer else subject,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(hours=1),
            not_valid_after=now + timedelta(days=1),
        ).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return Issued(certificate=builder.sign(issuer.key if issuer else key, hashes.SHA256()), key=key)

    async def made(self, name: str, **properties: Any) -> dict[str, Any]:
        """A hub that is whole, as it is shown then."""
        body = {"location": "westus2", "sku": {"name": "S1", "capacity": 1}, "properties": properties}
        answer = await self.request("PUT", self.hub(name), body)
        assert answer.status_code == 201, answer.text
        await self.settled()
        found: dict[str, Any] = (await self.request("GET", self.hub(name))).json()
        assert found["properties"]["state"] == "Active", found
        return found


@pytest.fixture(scope="session")
def authority_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one authority for all: making it takes the longest."""
    folder = tmp_path_factory.mktemp("authority") / "tls"
    CertificateAuthority.load_or_create(folder, now=RealClock().now(), environment={})
    return folder


@pytest.fixture(autouse=True)
def addresses_of_this_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that run side by side do not take each other's addresses while their emulators start again."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    monkeypatch.setattr("windtunnel_emulators.iot.hub.addresses.FIRST_BLOCK", 32 + 16 * (worker % 13))


@pytest.fixture
async def emulators(tmp_path: Path, authority_folder: Path) -> AsyncIterator[Emulators]:
    """Running, with a resource group ``rg``."""
    (tmp_path / "tls").symlink_to(authority_folder)
    made = Emulators(folder=tmp_path, authority=CertificateAuthority(authority_folder))
    async with AsyncExitStack() as stack:
        await made.start()
        stack.push_async_callback(made.stop)
        answer = await made.request("PUT", "/resourcegroups/rg?api-version=2022-09-01", {"location": "westus2"})
        assert answer.status_code == 201
        yield made
