"""The workload API on a module's own socket: signatures, trust, encryption, certificates, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import ssl
import stat
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from windtunnel_emulators.certificates import make_authority
from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.edge.interface import EdgeProblem
from windtunnel_emulators.edge.workload.api import WorkloadApi
from windtunnel_emulators.edge.workload.secrets import Secrets
from windtunnel_emulators.edge.workload.sockets import Sockets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from windtunnel_emulators.jsontypes import Json

KEY = base64.b64encode(b"a module's key").decode()
VERSION = {"api-version": "2019-01-30"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Keys:
    """Of the modules ``m`` and ``$edgeHub``."""

    async def key(self, module: str) -> str:
        if module == "unknown":
            raise EdgeProblem("the device does not know module unknown's identity yet")
        return KEY


class Listing:
    def modules(self) -> list[Json]:
        return [{"id": "m"}]


@dataclass
class Device:
    """One device's sockets."""

    folder: Path

    def __post_init__(self) -> None:
        self.ca = self.folder / "ca.pem"
        self.ca.write_bytes(make_authority(now=datetime.now(UTC), domains=()).certificate)
        self.start()

    def start(self) -> None:
        self.sockets = Sockets(self.folder / "sockets")
        self.secrets = Secrets(self.folder / "secrets", self.ca)

    async def open(self, module: str) -> Path:
        api = WorkloadApi(module, secrets=self.secrets, keys=Keys(), listing=Listing(), clock=RealClock())
        return await self.sockets.open(module, api)

    async def ask(self, module: str, method: str, path: str, body: object = None, **others: Any) -> httpx.Response:
        """As the module itself."""
        options: dict[str, Any] = {"json": body, "params": VERSION, **others}
        transport = httpx.AsyncHTTPTransport(uds=str(await self.open(module)))
        async with httpx.AsyncClient(transport=transport, base_url="http://workload") as client:
            return await client.request(method, path, **options)


@pytest.fixture
async def device(tmp_path: Path) -> AsyncIterator[Device]:
    made = Device(tmp_path)
    yield made
    await made.sockets.close_all()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def test_data_is_signed_with_the_modules_key(device: Device) -> None:
    body = {"keyId": "primary", "algo": "HMACSHA256", "data": encoded(b"some\n123")}
    answer = await device.ask("m", "POST", "/modules/m/genid/any/sign", body)
    wanted = hmac.digest(b"a module's key", b"some\n123", hashlib.sha256)
    assert (answer.status_code, answer.json()) == (200, {"digest": encoded(wanted)})
    answer = await device.ask("$edgeHub", "POST", "/modules/%24edgeHub/genid/1/sign", body)
    assert answer.status_code == 200


async def test_a_module_decrypts_what_it_has_encrypted_and_nobody_else(device: Device) -> None:
    plain = {"plaintext": encoded(b"a secret"), "initializationVector": encoded(b"iv")}
    answer = await device.ask("m", "POST", "/modules/m/genid/1/encrypt", plain)
    sealed = {"ciphertext": answer.json()["ciphertext"], "initializationVector": encoded(b"iv")}
    await device.sockets.close_all()
    device.start()  # the key outlives the process
    answer = await device.ask("m", "POST", "/modules/m/genid/2/decrypt", sealed)
    assert answer.json() == {"plaintext": encoded(b"a secret")}
    other = await device.ask("other", "POST", "/modules/other/genid/1/decrypt", sealed)
    wrong = await device.ask(
        "m", "POST", "/modules/m/genid/1/decrypt", {**sealed, "initializationVector": encoded(b"x")}
    )
    assert (other.status_code, wrong.status_code) == (400, 400)


async def test_a_server_certificate_is_trusted_by_the_trust_bundle(device: Device) -> None:
    answer = await device.ask("m", "GET", "/trust-bundle")
    bundle = answer.json()["certificate"]
    assert bundle.count("BEGIN CERTIFICATE") == 2
    assert bundle.startswith(device.ca.read_text().strip())
    made = await device.ask("m", "POST", "/modules/m/genid/1/certificate/server", {"commonName": "127.0.0.1"})
    assert made.status_code == 201
    found = made.json()
    (device.folder / "chain.pem").write_text(found["certificate"])
    (device.folder / "key.pem").write_text(found["privateKey"]["bytes"])
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(device.folder / "chain.pem", device.folder / "key.pem")
    trusting = ssl.create_default_context(cadata=bundle)
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()
    with ours, theirs:
        thread = threading.Thread(target=lambda: serving.wrap_socket(theirs, server_side=True).close())
        thread.start()
        with trusting.wrap_socket(ours, server_hostname="127.0.0.1") as wrapped:
            assert wrapped.getpeercert()
        thread.join()
    identity = await device.ask("m", "POST", "/modules/m/certificate/identity", {})
    assert identity.status_code == 201
    assert identity.json()["expiration"].endswith("Z")


async def test_the_authority_of_a_device_stays(device: Device) -> None:
    before = (await device.ask("m", "GET", "/trust-bundle")).json()
    await device.sockets.close_all()
    device.start()
    assert (await device.ask("m", "GET", "/trust-bundle")).json() == before


async def test_modules_are_listed(device: Device) -> None:
    assert (await device.ask("m", "GET", "/modules")).json() == {"modules": [{"id": "m"}]}


SIGN = {"keyId": "primary", "algo": "HMACSHA256", "data": "QQ=="}
REFUSED: list[tuple[str, str, object, int, str]] = [
    ("POST", "/modules/other/genid/1/sign", SIGN, 403, "This socket is module m's."),
    ("POST", "/modules/m/genid/1/sign", {**SIGN, "algo": "MD5"}, 400, "algo is not HMACSHA256."),
    ("POST", "/modules/m/genid/1/sign", {**SIGN, "keyId": "other"}, 404, "the key 'primary' only"),
    ("POST", "/modules/m/genid/1/sign", {**SIGN, "data": "!"}, 400, "data is not base64."),
    ("POST", "/modules/m/genid/1/sign", {"algo": "HMACSHA256"}, 400, "data is missing."),
    ("POST", "/modules/m/genid/1/sign", [], 400, "The body is no JSON object."),
    ("GET", "/modules/m/genid/1/sign", None, 405, "Only POST is allowed here."),
    ("POST", "/trust-bundle", {}, 405, "Only GET is allowed here."),
    ("GET", "/identities", None, 404, "There is nothing at /identities."),
    ("POST", "/modules/m/genid/1/certificate/server", {}, 400, "commonName is missing."),
    ("POST", "/modules/m/genid/1/decrypt", {"ciphertext": "QQ=="}, 400, "was not made by this module"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "said"), REFUSED)
async def test_refusals(device: Device, method: str, path: str, body: object, status: int, said: str) -> None:
    answer = await device.ask("m", method, path, body)
    assert answer.status_code == status
    assert said in answer.json()["message"]


async def test_what_is_no_request_of_the_api_is_refused(device: Device) -> None:
    answer = await device.ask("m", "GET", "/trust-bundle", params={})
    assert (answer.status_code, answer.json()["message"]) == (400, "The query has no api-version.")
    for content in (b"{", b'{"a":"\xff"}'):
        answer = await device.ask("m", "POST", "/modules/m/genid/1/sign", None, json=None, content=content)
        assert answer.status_code == 400
    answer = await device.ask("m", "POST", "/modules/m/genid/1/sign", None, json=None, content=b" " * (1 << 21))
    assert answer.status_code == 413


async def test_a_key_that_is_not_known_is_said(device: Device) -> None:
    answer = await device.ask("unknown", "POST", "/modules/unknown/genid/1/sign", SIGN)
    assert answer.status_code == 500
    assert "does not know module unknown's identity yet" in answer.json()["message"]


async def test_sockets_are_in_a_closed_folder_and_are_swept_after_a_kill(device: Device) -> None:
    path = await device.open("m")
    assert await device.open("m") == path
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    killed, device.sockets = device.sockets, Sockets(device.folder / "sockets")
    device.sockets.sweep()
    assert not path.parent.exists()
    await killed.close_all()
    (device.folder / "sockets").write_text(str(device.folder))
    device.sockets.sweep()
    assert device.folder.exists(), "a folder that is none of ours is left alone"
    assert Path(await device.open("m")).exists()
