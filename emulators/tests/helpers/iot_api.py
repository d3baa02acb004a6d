"""A client of a hub's service API, without a socket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.iot.service.app import ServiceApi

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mqtt_peers import Peer
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.hub.identity import Who

HOST = "hub1.azure-devices.net"
_DEADLINE_S = 10.0


class Place(Protocol):
    """Where there is a hub."""

    hub: Hub

    def peer(self, who: Who) -> Peer: ...

    async def connected(self, device: str = "d", module: str = "", **options: Any) -> Peer: ...


def entra(authorization: str, _: frozenset[str]) -> None:
    if authorization != "Bearer good":
        raise ArmError(401, "InvalidAuthenticationToken", "The access token is invalid.")


class Api:
    """A client that may do everything."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=ServiceApi(place.hub, entra)),
            base_url=f"https://{HOST}",
            headers={"Authorization": "Bearer good"},
            params={"api-version": "2021-04-12"},
        )

    async def __call__(
        self, method: str, path: str, body: object = None, *, etag: str | None = None, status: int | None = 200
    ) -> Any:
        headers = {} if etag is None else {"If-Match": etag}
        answer = await self.client.request(method, path, json=body, headers=headers)
        assert status is None or answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def refused(self, method: str, path: str, body: object = None, *, etag: str | None = None) -> tuple[int, str]:
        """The status and the name of the error."""
        headers = {} if etag is None else {"If-Match": etag}
        answer = await self.client.request(method, path, json=body, headers=headers)
        assert set(answer.json()) == {"Message", "ExceptionMessage"}, answer.text
        return answer.status_code, answer.headers["iothub-errorcode"]

    async def eventually(self, question: Callable[[], Awaitable[Any]], expected: object) -> None:
        """What is done behind a change is done soon."""
        end = asyncio.get_running_loop().time() + _DEADLINE_S
        while (found := await question()) != expected:
            assert asyncio.get_running_loop().time() < end, f"{found} is not {expected}"
            await asyncio.sleep(0.001)
