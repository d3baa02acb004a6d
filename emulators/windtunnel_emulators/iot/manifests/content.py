"""The content of a deployment: which desired properties it sets on which modules. Layers are merged here.

``{"modulesContent": {MODULE: {"properties.desired": {...}, "properties.desired.a.b": ...}}}``: the first key replaces
all desired properties of a module, a dotted one replaces what is at that path (wire-iot 7.3, 7.4).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub.identity import AGENT
from windtunnel_emulators.iot.manifests.errors import ContentProblem
from windtunnel_emulators.jsontypes import as_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject

DESIRED = "properties.desired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """What a deployment says of the desired properties of one module."""

    whole: JsonObject | None = None
    parts: Mapping[tuple[str, ...], Json] = field(default_factory=dict[tuple[str, ...], "Json"])
    """By path below the desired properties."""

    def applied(self, desired: JsonObject) -> JsonObject:
        """The desired properties with this put over them; ``desired`` stays as it is."""
        found = dict(desired if self.whole is None else self.whole)
        for path, value in sorted(self.parts.items(), key=lambda one: len(one[0])):
            found = _put(found, path, value)
        return found


Portions = dict[str, Portion]
"""By module."""


def read_portions(modules: Json, place: str = "") -> Portions:
    """The value of ``modulesContent``. Raises ``ContentProblem``."""
    if not isinstance(modules, dict):
        raise ContentProblem("modulesContent", "is not an object")
    return {name: read_portion(one, f"{place}{name}") for name, one in modules.items()}


def read_portion(content: Json, place: str) -> Portion:
    """What is said of one module. Raises ``ContentProblem``."""
    if not isinstance(content, dict):
        raise ContentProblem(place, "is not an object")
    whole: JsonObject | None = None
    parts: dict[tuple[str, ...], Json] = {}
    for key, value in content.items():
        if key == DESIRED:
            if not isinstance(value, dict):
                raise ContentProblem(f"{place}.{key}", "is not an object")
            whole = value
            continue
        path = tuple(key.removeprefix(f"{DESIRED}.").split("."))
        if not key.startswith(f"{DESIRED}.") or not all(path):
            raise ContentProblem(f"{place}.{key}", f"is neither {DESIRED} nor a path below it")
        parts[path] = value
    return Portion(whole=whole, parts=parts)


def is_layered(portions: Portions) -> bool:
    """Whether it is put over another deployment: something is set by its path, or the agent is given nothing whole."""
    agent = portions.get(AGENT)
    return (agent is not None and agent.whole is None) or any(one.parts for one in portions.values())


def merged(layers: Iterable[Portions]) -> dict[str, JsonObject]:
    """The desired properties of each module after these layers, the weakest first."""
    found: dict[str, JsonObject] = {}
    for portions in layers:
        for module, portion in portions.items():
            found[module] = portion.applied(found.get(module, {}))
    return found


def _put(value: JsonObject, path: tuple[str, ...], new: Json) -> JsonObject:
    """With another value at a path, null for none; the objects on the way are copied, or made."""
    first, rest = path[0], path[1:]
    if rest:
        return {**value, first: _put(as_object(value.get(first)), rest, new)}
    if new is None:
        return {name: one for name, one in value.items() if name != first}
    return {**value, first: new}
