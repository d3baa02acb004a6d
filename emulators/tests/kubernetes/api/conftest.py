"""An embedded API server in this process whose access lets everybody do everything: the API is what is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.kubernetes.access.interface import MASTERS, Decision, User
from windtunnel_emulators.kubernetes.api.server import ApiServer
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Admission, Attributes, SpecialSubresource
    from windtunnel_emulators.kubernetes.api.registry import Registry
    from windtunnel_emulators.kubernetes.api.storage import Storage
    from windtunnel_emulators.kubernetes.client.interface import Client

ADMIN = User(name="admin", groups=(MASTERS,))


class Open:
    """``Access`` that refuses nothing and changes nothing."""

    async def start(self, storage: Storage, registry: Registry) -> None: ...

    async def stop(self) -> None: ...

    def server(self) -> User:
        return ADMIN

    async def authenticate(self, headers: Mapping[str, str], peer: bytes | None) -> User:
        return ADMIN

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        return Decision(allowed=True)

    async def mutate(self, admission: Admission) -> JsonObject:
        assert admission.object is not None
        return admission.object

    async def validate(self, admission: Admission) -> None: ...

    async def admit(self, admission: Admission) -> JsonObject | None:
        return admission.object

    def special(self, group: str, resource: str, subresource: str) -> SpecialSubresource | None:
        return None

    def part(
        self, group: str, resource: str, subresource: str
    ) -> Callable[[JsonObject, JsonObject], JsonObject] | None:
        return None

    def document(self, path: str) -> JsonObject | None:
        return None


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store.sqlite")
    yield opened
    opened.close()


@pytest.fixture
async def api(store: Store, clock: ManualClock) -> AsyncIterator[ApiServer]:
    server = ApiServer(store=store, cluster="c1", clock=clock, access=Open())
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def client(api: ApiServer) -> Client:
    return api.client(ADMIN)
