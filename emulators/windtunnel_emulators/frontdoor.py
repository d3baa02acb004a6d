"""The front door: one HTTPS port behind which ARM, the token service, the control API and mounted paths share a name.

Which part answers is a matter of the path's first word, and for the token service of its rule for tenants.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from windtunnel_emulators.asgi import respond, respond_json
from windtunnel_emulators.logs import log_request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from windtunnel_emulators.asgi import ASGI, Message, Receive, Scope, Send
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.faults import Fault, Faults
    from windtunnel_emulators.jsontypes import JsonObject

_ARM = frozenset(("subscriptions", "providers", "tenants"))
_OWN = "_windtunnel"
_SLASHES = re.compile(r"/{2,}")


class FrontDoor:
    """The ASGI application of the front door's port."""

    def __init__(
        self,
        *,
        arm: ASGI,
        identity: ASGI,
        owned_by_identity: Callable[[str], bool],
        routes: Mapping[str, ASGI],
        control: Callable[[], Awaitable[ASGI]],
        health: Callable[[], JsonObject],
        faults: Faults,
        clock: Clock,
    ) -> None:
        """``routes`` are apps by the first word of a path; ``control`` makes the control API when it is first used."""
        self._faults = faults
        self._arm = arm
        self._identity = identity
        self._owned_by_identity = owned_by_identity
        self._routes = {word.strip("/").lower(): app for word, app in routes.items()}
        self._make_control = control
        self._control: ASGI | None = None
        self._health = health
        self._clock = clock
        self._open = asyncio.Event()
        self._open.set()

    @asynccontextmanager
    async def closed(self) -> AsyncGenerator[None]:
        """Within it, requests wait outside, but those to the control API."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request, or a WebSocket, to the part that it is for."""
        path: str = scope["path"]
        word = path.lstrip("/").partition("/")[0].lower()
        if not self._open.is_set() and word != _OWN:
            await self._open.wait()
        if scope["type"] == "http" and word != _OWN:
            fault = self._faults.match(scope["method"], path)
            if fault is not None and await self._went_wrong(fault, scope, send):
                return
        if scope["type"] == "http" and word in _ARM:
            await self._arm(scope, receive, send)
            return
        mounted = self._routes.get(word)
        if scope["type"] == "websocket":
            if mounted is None:
                await receive()  # its connect, which is refused with HTTP's 403
                await send({"type": "websocket.close", "code": 1008})
                return
            await mounted(scope, receive, send)
            return
        if mounted is not None:
            await self._logged(mounted, scope, receive, send)
        elif word == _OWN:
            await self._logged(self._own, scope, receive, send)
        elif self._owned_by_identity(path):
            await self._logged(self._identity, {**scope, "path": _SLASHES.sub("/", path)}, receive, send)
        else:
            await self._arm(scope, receive, send)

    async def _went_wrong(self, fault: Fault, scope: Scope, send: Send) -> bool:
        """Do what a rule orders; False when the request is to be answered all the same, only later."""
        if fault.delay_ms:
            await self._clock.sleep(fault.delay_ms / 1000)
        if fault.abort:
            scope["state"]["abort"]()
            # Nothing is sent any more; the answer only ends the request for the server.
            await respond(send, 503)
        elif fault.status is None:
            return False
        else:
            headers = [] if fault.retry_after_s is None else [(b"retry-after", b"%d" % fault.retry_after_s)]
            error: JsonObject = {"code": fault.code, "message": fault.message}
            await respond_json(send, fault.status, {"error": error}, headers=headers)
        log_request(scope, fault.status or 0, fault.delay_ms / 1000, "(a fault rule)")
        return True

    async def _own(self, scope: Scope, receive: Receive, send: Send) -> None:
        """``/_windtunnel``: health here, so that asking for it imports nothing; the rest by the control API."""
        below = _SLASHES.sub("/", scope["path"]).removeprefix(f"/{_OWN}")
        if below == "/health" and scope["method"] in ("GET", "HEAD"):
            await respond_json(send, 200, self._health(), headers=[(b"cache-control", b"no-store")])
            return
        if self._control is None:
            self._control = await self._make_control()
        await self._control(scope, receive, send)

    async def _logged(self, app: ASGI, scope: Scope, receive: Receive, send: Send) -> None:
        started = self._clock.monotonic()
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, noted)
        finally:
            log_request(scope, status, self._clock.monotonic() - started)
