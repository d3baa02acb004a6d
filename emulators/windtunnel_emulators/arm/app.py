"""ARM's front door as a plain ASGI application: one grammar, so no framework.

The order of the checks is ARM's: size, token, api-version, subscription, namespace and type, version of the type; then
the body is read and the request is answered.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from windtunnel_emulators.arm import calls, checks, longrunning, requests
from windtunnel_emulators.arm.catalogue import action, match
from windtunnel_emulators.arm.endpoints import Endpoints
from windtunnel_emulators.arm.errors import ArmError, by_gateway
from windtunnel_emulators.arm.ids import ResourceId
from windtunnel_emulators.arm.journal import GROUP_TYPE
from windtunnel_emulators.arm.paths import parse
from windtunnel_emulators.arm.provider import Call
from windtunnel_emulators.arm.responses import Answer, Writer, new_request_id, problem
from windtunnel_emulators.asgi import ClientGone
from windtunnel_emulators.files import unwritable
from windtunnel_emulators.identity.audiences import resource_manager
from windtunnel_emulators.logs import log_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from windtunnel_emulators.arm.catalogue import Called, Catalogue, Loaded
    from windtunnel_emulators.arm.endpoints import Endpoint
    from windtunnel_emulators.arm.kernel import Kernel
    from windtunnel_emulators.arm.paths import Address
    from windtunnel_emulators.asgi import Receive, Scope, Send
    from windtunnel_emulators.identity.tokens import Tokens
    from windtunnel_emulators.jsontypes import Json

    Handle = Callable[[Call], Awaitable[Answer]]

_CORE = "microsoft.resources"
_OF_PROVIDERS = frozenset(("register", "unregister", "resourcetypes", "providerpermissions"))
_WITH_BODY = frozenset(("PUT", "PATCH", "POST"))
_REMEMBERED = 2048
_REMEMBERED_LENGTH = 512  # bytes of path and query; longer ones are worked out each time, so that memory stays small
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """What a method, a path and a query come to; it follows from them alone, so it is worked out once."""

    handle: Handle
    version: str
    query: Mapping[str, str]
    group: str | None
    id: ResourceId | None = None
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    reads_body: bool = True


class Arm:
    """The application."""

    def __init__(self, kernel: Kernel, tokens: Tokens, endpoints: Iterable[Endpoint]) -> None:
        self._kernel = kernel
        self._tokens = tokens
        self._endpoints = Endpoints(endpoints)
        self._writer = Writer()
        self._routes: dict[tuple[str, bytes, bytes], _Route] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        started = self._kernel.clock.monotonic()
        request_id = new_request_id()
        method: str = scope["method"]
        given = requests.Headers(scope["headers"])
        try:
            answer = await self._answer(scope, receive, method, given)
        except ArmError as refused:
            answer = problem(refused)
        except ClientGone:
            return
        except Exception as unexpected:
            answer = problem(_unexpected(unexpected, request_id, f"{method} {scope['path']}"))
        await self._writer.send(send, method, given, request_id, answer)
        log_request(scope, answer.status, self._kernel.clock.monotonic() - started, request_id)

    async def _answer(self, scope: Scope, receive: Receive, method: str, given: requests.Headers) -> Answer:
        kernel = self._kernel
        try:
            requests.check_length(given)
            base_url = requests.base_url(scope, given)
            caller = self._tokens.verify(given.get("authorization"), audiences=resource_manager(base_url))
            route = self._route(method, scope.get("raw_path") or scope["path"].encode(), scope["query_string"])
            body: Json = None
            if method in _WITH_BODY and route.reads_body:
                body = requests.json(await requests.body(receive))
        except ArmError as refused:
            refused.headers.setdefault("x-ms-failure-cause", "gateway")
            raise
        return await route.handle(
            Call(
                method=method,
                subscription=kernel.subscription,
                group=route.group,
                id=route.id,
                parameters=route.parameters,
                api_version=route.version,
                query=route.query,
                headers=given,
                body=body,
                caller=caller,
                base_url=base_url,
                now=kernel.clock.now(),
                group_location=None,
            )
        )

    def _route(self, method: str, raw_path: bytes, raw_query: bytes) -> _Route:
        """Who answers. Raises what ARM says of paths that lead nowhere, and of wrong versions."""
        key = (method, raw_path, raw_query)
        found = self._routes.get(key)
        if found is None:
            found = self._found(method, raw_path, raw_query)
            if len(raw_path) + len(raw_query) <= _REMEMBERED_LENGTH:
                if len(self._routes) >= _REMEMBERED:
                    self._routes.clear()
                self._routes[key] = found
        return found

    def _found(self, method: str, raw_path: bytes, raw_query: bytes) -> _Route:
        address = parse(raw_path)
        query = requests.query(raw_query)
        version = checks.api_version_of(query)
        if address.subscription is not None:
            checks.subscription(address.subscription, self._kernel.subscription)
        route = partial(_Route, version=version, query=query, group=address.group)
        if method in ("GET", "HEAD"):
            operation = longrunning.polled(address.lowered)
            if operation is not None:
                return route(handle=self._poll(address, operation))
        if address.namespace is not None and address.rest and address.scope is None:
            loaded = self._kernel.catalogue.find(address.namespace)
            own = loaded is None or loaded.provider.namespace.lower() == _CORE or address.lowered[-1] in _OF_PROVIDERS
            if loaded is not None and not own:
                return self._provided(route, method, address, version, loaded)
        found = self._endpoints.find(address)
        if found is None:
            raise _nowhere(address, version, self._kernel.catalogue)
        checks.core_version(version, found.endpoint.versions)
        handler = found.endpoint.methods.get(method)
        if handler is None:
            raise calls.method_not_allowed(method)

        async def core(call: Call) -> Answer:
            return handler(self._kernel, call)

        return route(handle=core, parameters=found.parameters, reads_body=found.endpoint.reads_body)

    def _provided(
        self, route: Callable[..., _Route], method: str, address: Address, version: str, loaded: Loaded
    ) -> _Route:
        """A request below ``providers/{namespace}`` of a provider that is loaded."""
        namespace = loaded.provider.namespace
        if address.group is None:
            called = action(loaded.provider.actions, method, address.rest)
            if called is not None:
                return route(
                    handle=self._provider_action(method, version, loaded, called), parameters=called.parameters
                )
        matched = match(loaded, address.rest)
        if address.subscription is None or matched is None:
            raise calls.type_not_found(namespace, version)
        kind = matched.kind
        checks.provider_version(kind, version, None)
        words = kind.type.name.split("/")
        if (address.group is None and matched.names) or (len(words) > 1 and not matched.names):
            raise calls.type_not_found(namespace, version)
        id = None
        if matched.names:
            id = ResourceId(
                subscription=self._kernel.subscription,
                group=address.group or "",
                namespace=namespace,
                types=tuple(words[: len(matched.names)]),
                names=matched.names,
            )

        async def provided(call: Call) -> Answer:
            return await calls.answer(self._kernel, call, matched)

        return route(handle=provided, id=id)

    def _provider_action(self, method: str, version: str, loaded: Loaded, called: Called) -> Handle:
        if called.action.method != method:
            raise calls.method_not_allowed(method)
        if version.lower() not in {v.lower() for v in loaded.versions}:
            raise ArmError(
                400,
                "NoRegisteredProviderFound",
                f"No registered resource provider found for API version '{version}' for type '{called.action.path}'."
                f" The supported api-versions are '{', '.join(reversed(loaded.versions))}'.",
            )

        async def act(call: Call) -> Answer:
            reply = await called.action.act(call, None, loaded.service)
            return Answer(status=reply.status, body=reply.body, headers=reply.headers)

        return act

    def _poll(self, address: Address, id: str) -> Handle:
        async def poll(call: Call) -> Answer:
            kernel = self._kernel
            operation = kernel.operations.get(id)
            if operation is None:
                raise longrunning.unknown(id)
            if operation.type == GROUP_TYPE:
                headers = longrunning.group_location(operation, base_url=call.base_url, pace=kernel.pace)
                return longrunning.result(operation, headers)
            kind = kernel.catalogue.kind(operation.type)
            if kind is None:
                raise longrunning.unknown(id)
            path = "/" + "/".join(address.segments)
            if address.lowered[-2].startswith("operationresult") and kind.type.links.location:
                here = f"{call.base_url}{path}?api-version={call.api_version}"
                waiting = {"Location": here, **longrunning.retry(kernel.pace, kind.type.links.retry_after_s)}
                return longrunning.result(operation, waiting)
            resource = kernel.resources.get(operation.target)
            return longrunning.status(operation, kind, resource, path, kernel.pace)

        return poll


def _unexpected(unexpected: Exception, request_id: str, what: str) -> ArmError:
    why = unwritable(unexpected)
    if why is not None:
        _log.error("request %s failed: %s: %s", request_id, what, why)
        return ArmError(507, "InsufficientStorage", why)
    # A defect: nothing a client sends may lead here, and the tests say so.
    _log.error("request %s failed: %s", request_id, what, exc_info=unexpected)
    return ArmError(
        500,
        "InternalServerError",
        f"The server encountered an internal error. The emulators' log has it under request {request_id}.",
    )


def _nowhere(address: Address, version: str, catalogue: Catalogue) -> ArmError:
    """404, as precise as ARM says it."""
    if "providers" in address.lowered[:-1]:
        last = len(address.lowered) - 1 - address.lowered[::-1].index("providers")
        namespace = address.segments[last + 1] if last + 1 < len(address.segments) else ""
        if namespace and catalogue.find(namespace) is None:
            return by_gateway(404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")
        if namespace:
            return calls.type_not_found(namespace, version)
    return by_gateway(404, "NotFound", f"There is nothing at '/{'/'.join(address.segments)}'.")
