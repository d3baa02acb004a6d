"""The routes of a deployment, ready to be asked where a message goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from windtunnel_emulators.edge.interface import DEFAULT_PRIORITY, Target
from windtunnel_emulators.edge.routing.compiling import compile_condition
from windtunnel_emulators.edge.routing.errors import Fault, RouteError
from windtunnel_emulators.edge.routing.facts import Facts
from windtunnel_emulators.edge.routing.parser import parse_route

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_emulators.edge.interface import Message
    from windtunnel_emulators.edge.routing.compiling import Evaluate
    from windtunnel_emulators.edge.routing.tree import Statement
    from windtunnel_emulators.jsontypes import Json

_TWINS = "/twinchangenotifications/"
_HIGHEST, _LOWEST = 0, 9
_LONGEST = 2**32 - 1
_MOST_SOURCES: Final = 4096
"""How many sources' routes are remembered; modules are few, and their outputs too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route of a deployment."""

    name: str
    statement: Statement
    priority: int = DEFAULT_PRIORITY
    ttl: float | None = None
    """Seconds that its messages live; None for as long as the device's default says."""
    prefix: str
    """What a source begins with, in lower case."""
    condition: Evaluate | None

    @classmethod
    def parse(cls, name: str, value: Json) -> Route:
        """A route as a deployment has it: a text, or an object with ``route``, ``priority``, ``timeToLiveSecs``.

        Raises ``RouteError``.
        """
        fields = value if isinstance(value, dict) else {"route": value}
        text = fields.get("route")
        if not isinstance(text, str):
            raise RouteError(name, "the route is no text")
        try:
            statement = parse_route(text)
            prefix = source_prefix("".join(f"/{item}" for item in statement.source))
            condition = statement.condition
            compiled = None if condition is None else compile_condition(condition, of_twins=prefix == _TWINS)
        except Fault as fault:
            raise RouteError(name, f"{fault} (of: {text[:200]})") from None
        ttl = _integer(name, "timeToLiveSecs", fields.get("timeToLiveSecs"), 0, 0, _LONGEST)
        return cls(
            name=name,
            statement=statement,
            priority=_integer(name, "priority", fields.get("priority"), DEFAULT_PRIORITY, _HIGHEST, _LOWEST),
            ttl=float(ttl) if ttl else None,
            prefix=prefix,
            condition=compiled,
        )


def source_prefix(path: str) -> str:
    """What the source of a message, with a slash behind it, begins with to be matched by a path."""
    return path.strip().rstrip("*/").lower() + "/"


@dataclass(frozen=True, slots=True)
class RouteTable:
    """All routes. Implements ``Router``."""

    routes: tuple[Route, ...]
    default_ttl: float | None = None
    """Seconds, for routes that say none; None for no limit."""
    _by_source: dict[str, tuple[tuple[Route, Target], ...]] = field(
        default_factory=dict[str, "tuple[tuple[Route, Target], ...]"], init=False, repr=False, compare=False
    )

    @classmethod
    def parse(cls, routes: Mapping[str, Json], default_ttl: float | None = None) -> RouteTable:
        """The routes of ``properties.desired.routes`` of ``$edgeHub``. A negative default is no limit.

        Raises ``RouteError``, of the first route that has one.
        """
        limit = None if default_ttl is None or default_ttl < 0 else default_ttl
        return cls(tuple(Route.parse(name, value) for name, value in routes.items()), limit)

    def endpoints(self) -> frozenset[str]:
        """Wherever a message can go: ``$upstream`` and ``MODULE/INPUT``."""
        return frozenset(route.statement.endpoint for route in self.routes)

    def targets(self, message: Message) -> Sequence[Target]:
        """One target per distinct endpoint; of several routes to it, the one of the smallest priority is taken."""
        found: dict[str, Target] = {}
        facts: Facts | None = None
        for route, target in self._of(message.source):
            best = found.get(target.endpoint)
            if best is not None and best.priority <= target.priority:
                continue
            if route.condition is not None:
                if facts is None:
                    facts = Facts(message)
                if route.condition(facts) is not True:
                    continue
            found[target.endpoint] = target
        return tuple(found.values())

    def _of(self, source: str) -> tuple[tuple[Route, Target], ...]:
        known = self._by_source.get(source)
        if known is None:
            if len(self._by_source) >= _MOST_SOURCES:
                self._by_source.clear()
            place = f"{source.strip().rstrip('/')}/".lower()
            known = tuple((route, self._target(route)) for route in self.routes if place.startswith(route.prefix))
            self._by_source[source] = known
        return known

    def _target(self, route: Route) -> Target:
        return Target(
            endpoint=route.statement.endpoint,
            priority=route.priority,
            ttl=self.default_ttl if route.ttl is None else route.ttl,
        )


def _integer(name: str, what: str, value: Json, default: int, least: int, most: int) -> int:
    if value is None or (value == default and not isinstance(value, bool)):
        return default
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or not isinstance(value, int | float) or not least <= value <= most:
        raise RouteError(name, f"its {what} is {value!r}; it must be an integer from {least} to {most}")
    return int(value)
