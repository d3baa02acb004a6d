"""The routes of the service API: method and path, who may, and which noun answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub.policies import REGISTRY_READ, REGISTRY_WRITE, SERVICE_CONNECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.service.requests import Answer, Request

Act = Callable[["Hub", "Request"], Awaitable["Answer"]]

READ = frozenset((REGISTRY_READ,))
WRITE = frozenset((REGISTRY_WRITE,))
SERVICE = frozenset((SERVICE_CONNECT,))
READ_OR_SERVICE = READ | SERVICE


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One kind of request."""

    method: str
    path: str
    """Segments; ``{name}`` stands for any one of them, ``{device}`` for whom it is about."""
    act: Act
    needs: frozenset[str]
    """Rights of which the caller needs one."""
    own: bool = False
    """The device that the path names may do it too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The route of a request."""

    route: Route
    parameters: dict[str, str]


def find(routes: Iterable[Route], method: str, segments: Sequence[str]) -> Found | bool:
    """The route; True when the path is there with other methods, False when it is not. Routes come in order."""
    known = False
    for route in routes:
        parameters = _fits(route.path.split("/"), segments)
        if parameters is not None:
            if route.method == method:
                return Found(route=route, parameters=parameters)
            known = True
    return known


def _fits(parts: Sequence[str], segments: Sequence[str]) -> dict[str, str] | None:
    if len(parts) != len(segments):
        return None
    parameters: dict[str, str] = {}
    for part, segment in zip(parts, segments, strict=True):
        if part.startswith("{"):
            parameters[part[1:-1]] = segment
        elif part.lower() != segment.lower():
            return None
    return parameters
