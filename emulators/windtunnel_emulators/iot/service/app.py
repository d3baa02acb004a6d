"""The service API as an ASGI application: who calls, which route, the answer. MQTT over WebSockets comes here too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub.errors import HubError, argument_invalid
from windtunnel_emulators.iot.service import (
    bulk,
    configurations,
    devices,
    edge_content,
    feedback,
    jobs,
    methods,
    modules,
    query,
    scope,
    twins,
    unbuilt,
)
from windtunnel_emulators.iot.service.access import Access, check_rights
from windtunnel_emulators.iot.service.answers import logged, send_answer, send_error
from windtunnel_emulators.iot.service.deploying import Deployer
from windtunnel_emulators.iot.service.job_runner import JobRunner
from windtunnel_emulators.iot.service.requests import Request, headers_of, path_segments, query_of, read_body
from windtunnel_emulators.iot.service.routes import find
from windtunnel_emulators.iot.service.upgrades import WEB_SOCKET, upgrade

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.asgi import Receive, Scope, Send
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.service.requests import Answer
    from windtunnel_emulators.iot.service.routes import Route

ROUTES: tuple[Route, ...] = (
    *bulk.ROUTES,
    *query.ROUTES,
    *devices.ROUTES,
    *modules.ROUTES,
    *twins.ROUTES,
    *methods.ROUTES,
    *feedback.ROUTES,
    *scope.ROUTES,
    *edge_content.ROUTES,
    *configurations.ROUTES,
    *jobs.ROUTES,
    *unbuilt.ROUTES,
)
"""In order: the first that fits counts. A path of fixed words comes before one with a placeholder in their place."""


class ServiceApi:
    """The application of one hub."""

    def __init__(self, hub: Hub, verify: Callable[[str, frozenset[str]], object]) -> None:
        """``verify`` checks an Entra token for audiences (``Access``)."""
        self._hub = hub
        self._access = Access(hub, verify)
        self._deployer = Deployer(hub)
        self._runner = JobRunner(hub)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await logged(self._hub.clock, scope, send, lambda noted: self._respond(scope, receive, noted))

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer; True when the connection was taken over instead."""
        try:
            segments = path_segments(scope)
            if segments == WEB_SOCKET:
                return await upgrade(self._hub, scope, send)
            answer = await self._answer(scope, segments, receive)
        except HubError as error:
            await send_error(send, error, self._hub.clock.now())
            return False
        except RecursionError:
            await send_error(send, argument_invalid("The request is nested too deeply."), self._hub.clock.now())
            return False
        await send_answer(send, answer)
        return False

    async def _answer(self, scope: Scope, segments: tuple[str, ...], receive: Receive) -> Answer:
        headers, query = headers_of(scope), query_of(scope)
        caller = self._access.caller(headers.get("authorization", ""), "/".join(segments))
        found = find(ROUTES, scope["method"], segments)
        if found is True:
            raise HubError(405, "MethodNotAllowed", f"{scope['method']} is nothing that this path knows.")
        if isinstance(found, bool):
            raise HubError(404, "NotFound", f"There is nothing at '/{'/'.join(segments)[:200]}'.")
        check_rights(
            caller,
            found.route.needs,
            own=found.parameters.get("device") if found.route.own else None,
        )
        if not query.get("api-version"):
            raise argument_invalid("The query parameter api-version is required.")
        request = Request(
            method=scope["method"],
            segments=segments,
            parameters=found.parameters,
            query=query,
            headers=headers,
            body=await read_body(receive),
            caller=caller,
        )
        return await found.route.act(self._hub, request)
