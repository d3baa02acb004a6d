"""What is served at port 443 of an edge device, as an ASGI application: methods between modules, MQTT in WebSockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.asgi import respond_json
from windtunnel_emulators.edge.hub import module_calls
from windtunnel_emulators.edge.hub.hub import LONGEST_KEEP_ALIVE_S
from windtunnel_emulators.iot.hub.errors import HubError, argument_invalid
from windtunnel_emulators.iot.service.answers import logged, send_error
from windtunnel_emulators.iot.service.requests import headers_of, path_segments, query_of, read_body
from windtunnel_emulators.iot.service.upgrades import WEB_SOCKET, upgrade

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import Receive, Scope, Send
    from windtunnel_emulators.edge.hub.hub import EdgeHub


class EdgeApi:
    """The application of one edge device."""

    def __init__(self, hub: EdgeHub) -> None:
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await logged(self._hub.clock, scope, send, lambda noted: self._respond(scope, receive, noted))

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer; True when the connection was taken over instead."""
        try:
            segments = path_segments(scope)
            if segments == WEB_SOCKET:
                return await upgrade(self._hub, scope, send, longest_keep_alive=LONGEST_KEEP_ALIVE_S)
            target = module_calls.target_of(segments)
            if target is None:
                raise HubError(404, "NotFound", f"There is nothing at '/{'/'.join(segments)[:200]}' of an edge device.")
            if scope["method"] != "POST":
                raise HubError(405, "MethodNotAllowed", "Methods are called by POST.")
            module_calls.check_caller(self._hub, headers_of(scope))
            if not query_of(scope).get("api-version"):
                raise argument_invalid("The query parameter api-version is required.")
            status, body = await module_calls.invoke(self._hub, target, await read_body(receive))
        except HubError as error:
            await send_error(send, error, self._hub.clock.now())
            return False
        await respond_json(send, status, body)
        return False
