"""ARM's own surface as data: which path answers which verb by which function."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from windtunnel_emulators.arm.kernel import Kernel
    from windtunnel_emulators.arm.paths import Address
    from windtunnel_emulators.arm.provider import Call
    from windtunnel_emulators.arm.responses import Answer

Handler: TypeAlias = "Callable[[Kernel, Call], Answer]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One path of ARM's own."""

    path: str
    """Segments; ``{name}`` stands for any one of them and becomes a parameter of the call."""
    methods: Mapping[str, Handler]
    versions: tuple[str, ...]
    """Published api-versions, newest last."""
    reads_body: bool = True
    """Whether a body is JSON; else it is not looked at."""
    anywhere: bool = False
    """Whether it stands below any subscription, group or resource, whose id becomes the parameter ``scope``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An endpoint and what its placeholders stand for."""

    endpoint: Endpoint
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])


class Endpoints:
    """Finds the endpoint of an address."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._fixed: dict[int, list[tuple[tuple[str, ...], Endpoint]]] = {}
        self._anywhere: list[tuple[tuple[str, ...], Endpoint]] = []
        for endpoint in endpoints:
            parts = tuple(p if p.startswith("{") else p.lower() for p in endpoint.path.split("/"))
            if endpoint.anywhere:
                self._anywhere.append((parts, endpoint))
            else:
                self._fixed.setdefault(len(parts), []).append((parts, endpoint))

    def find(self, address: Address) -> Found | None:
        """None when no endpoint has this path."""
        for parts, endpoint in self._fixed.get(len(address.segments), ()):
            parameters = _fits(parts, address.segments, address.lowered)
            if parameters is not None:
                return Found(endpoint=endpoint, parameters=parameters)
        for parts, endpoint in self._anywhere:
            start = len(address.segments) - len(parts)
            if start < 2:
                continue
            parameters = _fits(parts, address.segments[start:], address.lowered[start:])
            if parameters is not None:
                scope = "/" + "/".join(address.segments[:start])
                return Found(endpoint=endpoint, parameters={**parameters, "scope": scope})
        return None


def _fits(parts: tuple[str, ...], segments: tuple[str, ...], lowered: tuple[str, ...]) -> dict[str, str] | None:
    parameters: dict[str, str] = {}
    for part, segment, low in zip(parts, segments, lowered, strict=True):
        if part[0] == "{":
            parameters[part[1:-1]] = segment
        elif part != low:
            return None
    return parameters
