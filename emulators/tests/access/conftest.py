"""A tenant with everything that its token service needs, and a client that calls ASGI applications without a socket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import pytest

from windtunnel_emulators.clock import ManualClock, Pace
from windtunnel_emulators.identity.directory import Directory
from windtunnel_emulators.identity.service import TokenService
from windtunnel_emulators.identity.tokens import Tokens
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from windtunnel_emulators.asgi import ASGI, Message

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT_ID = "aaaaaaaa-2222-3333-4444-555555555555"
SECRET = "s3cret~value"
BASE = "https://localhost:4580"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = msgspec.json.decode(self.body)
        return value

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """Calls one ASGI application as a server would."""

    def __init__(self, app: ASGI, base: str = BASE) -> None:
        self.app = app
        self.base = base

    async def get(self, target: str, **headers: str) -> Reply:
        return await self.request("GET", target, headers=headers)

    async def post(self, target: str, form: Mapping[str, str] | bytes, **headers: str) -> Reply:
        body = form if isinstance(form, bytes) else urlencode(form).encode()
        return await self.request("POST", target, headers=headers, body=body)

    async def request(self, method: str, target: str, *, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        """``target`` is path and query; underscores of header names stand for dashes."""
        url = urlsplit(self.base)
        path, _, query = target.partition("?")
        sent = {"host": url.netloc} | {name.replace("_", "-").lower(): value for name, value in headers.items()}
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": url.scheme,
            "path": path,
            "raw_path": quote(path, safe="/%").encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items() if value != "(none)"],
            "client": ("127.0.0.1", 40000),
            "server": ("127.0.0.1", url.port),
        }
        pieces: list[Message] = [
            {"type": "http.request", "body": body[i : i + 30000], "more_body": True} for i in range(0, len(body), 30000)
        ]
        pieces.append({"type": "http.request", "body": b"", "more_body": False})
        messages: list[Message] = []

        async def receive() -> Message:
            return pieces.pop(0)

        async def send(message: Message) -> None:
            messages.append(message)

        await self.app(scope, receive, send)
        start, *rest = messages
        assert start["type"] == "http.response.start"
        return Reply(
            status=start["status"],
            headers={name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]},
            body=b"".join(message.get("body", b"") for message in rest),
        )


@pytest.fixture(scope="session")
def key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One signing key for all tests: making one takes a tenth of a second."""
    return tmp_path_factory.mktemp("identity")


@pytest.fixture(scope="session")
def directory() -> Directory:
    return Directory.of(tenant=TENANT, subscription="sub", client_id=CLIENT_ID, client_secret=SECRET)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store(None)
    yield store
    store.close()


@pytest.fixture
def tokens(key_folder: Path, clock: ManualClock, directory: Directory) -> Tokens:
    return Tokens(folder=key_folder, clock=clock, directory=directory)


@pytest.fixture
def service(directory: Directory, tokens: Tokens, store: Store, clock: ManualClock) -> TokenService:
    return TokenService(directory=directory, tokens=tokens, store=store, clock=clock, pace=Pace.parse("fast"))


@pytest.fixture
def client(service: TokenService) -> Client:
    return Client(service)


@pytest.fixture
def client_of() -> type[Client]:
    """For tests of another application than the token service."""
    return Client
