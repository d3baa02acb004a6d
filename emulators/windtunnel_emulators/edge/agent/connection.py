"""The agent's connection to the hub in the cloud, as ``$edgeAgent``; it is kept up by ``upstream.client``."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.edge.upstream.client import CloudClient
from windtunnel_emulators.iot.hub.identity import AGENT, Who
from windtunnel_emulators.iot.hub.topics import Feed

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.edge.interface import Refused
    from windtunnel_emulators.edge.upstream.place import Place
    from windtunnel_emulators.edge.upstream.scope import Scope
    from windtunnel_emulators.jsontypes import JsonObject

_FEEDS = frozenset((Feed.TWIN_ANSWERS, Feed.DESIRED, Feed.METHODS))
_log = logging.getLogger(__name__)


class Methods(Protocol):
    """Who answers direct methods."""

    async def call(self, name: str, payload: bytes) -> tuple[int, bytes]:
        """Its status, and JSON."""
        ...


class AgentConnection:
    """Implements ``agent.AgentCloud`` and ``upstream.client.ClientListener``."""

    def __init__(self, place: Place, scope: Scope) -> None:
        who = Who(scope.device, AGENT)
        self._who = who
        self._scope = scope
        self._link = place.link
        self._client = CloudClient(who, place, lambda: scope.signer(who), self, feeds=_FEEDS)
        self._up = asyncio.Event()
        self._connected: Callable[[], None] = _nothing
        self._desired: Callable[[JsonObject], None] = _nobody
        self._methods: Methods | None = None
        self._opened = False
        scope.listen(self._scope_changed)

    def open(self) -> None:
        """Begin to connect, as soon as the agent's key is known."""
        self._opened = True
        self._scope_changed()

    def _scope_changed(self) -> None:
        if self._opened and self._scope.signer(self._who) is not None:
            self._client.open()
            self._client.wake()

    async def close(self) -> None:
        await self._client.close()

    def answer(self, methods: Methods) -> None:
        """Have direct methods answered."""
        self._methods = methods

    # For the agent.

    @property
    def is_connected(self) -> bool:
        return self._up.is_set()

    def listen(self, *, connected: Callable[[], None], desired: Callable[[JsonObject], None]) -> None:
        self._connected, self._desired = connected, desired

    async def twin(self) -> JsonObject:
        return await self._client.twin_get()

    async def report(self, patch: JsonObject) -> None:
        await self._client.report(patch)

    # What the client tells.

    async def wait(self) -> None:
        """Returns once there is a connection, or at once where the link is not there."""
        if self._link.is_up:
            await self._up.wait()

    def connected(self) -> None:
        self._up.set()
        self._connected()

    def disconnected(self) -> None:
        self._up.clear()

    def refused(self, problem: Refused) -> None:
        _log.error("the hub does not let the agent in: %s", problem)

    def desired(self, patch: JsonObject) -> None:
        self._desired(patch)

    async def method(self, name: str, payload: bytes) -> tuple[int, bytes]:
        if self._methods is None:
            return 503, b'{"message":"The agent is starting."}'
        return await self._methods.call(name, payload)

    async def command(self, bag: str, body: bytes) -> None:
        """Modules get none; the hub has nowhere to send one to."""
        _log.warning("a message from the cloud to the agent is dropped: %d bytes, %s", len(body), bag[:200])


def _nothing() -> None:
    """Until somebody listens."""


def _nobody(patch: JsonObject) -> None:
    del patch
