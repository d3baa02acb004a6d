"""Which configurations are meant for a device or a module, and what of them applies: no store, no change.

Of several that target the same, the one of the highest priority applies, of two alike the newest. For edge devices that
is the base, the highest that is no layer; the layers above it are put over it, the lowest first (wire-iot 7.3, 7.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub.identity import AGENT
from windtunnel_emulators.iot.manifests.content import Portion, is_layered, read_portion, read_portions
from windtunnel_emulators.iot.service.collections import read_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_emulators.iot.hub.configurations import Configuration
    from windtunnel_emulators.iot.manifests.content import Portions
    from windtunnel_emulators.iot.query.query import Collection, Query
    from windtunnel_emulators.jsontypes import Json, JsonObject

EDGE, DEVICE, MODULE = "modulesContent", "deviceContent", "moduleContent"
APPLIED, TARGETED = "Applied", "Targeted"


class Candidate:
    """A configuration, read once for many devices."""

    def __init__(self, configuration: Configuration) -> None:
        """The configuration was checked when it was made."""
        self.configuration = configuration
        self.query: Query = read_target(configuration.condition)
        content: Json = configuration.content
        self.portions: Portions = (
            read_portions(content) if configuration.kind == EDGE else {"": read_portion(content, configuration.kind)}
        )
        self.layered = configuration.kind == EDGE and is_layered(self.portions)

    def targets(self, document: JsonObject, *, is_edge: bool, collection: Collection) -> bool:
        if self.query.source is not collection:
            return False
        return (is_edge or self.configuration.kind != EDGE) and self.query.takes(document)

    @property
    def is_shown_applied(self) -> bool:
        """A layer that gives the agent nothing shows as targeted, although its twins are set."""
        return not self.layered or bool(self.portions[AGENT].parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What shall be of a device, or a module."""

    statuses: Mapping[str, JsonObject]
    """By configuration: as the twin shows it."""
    applied: Sequence[Candidate] = ()
    """The weakest first."""

    @property
    def signature(self) -> str:
        """What tells one plan from another."""
        ids = (f"{one.configuration.id}@{one.configuration.created.isoformat()}" for one in self.applied)
        return " ".join(ids)

    def desired(self, before: Mapping[str, JsonObject]) -> dict[str, JsonObject]:
        """The desired properties of each module that the plan is about (of the device itself: ``""``).

        A module of which something is set whole gets that and no more; of others, what is not named stays.
        """
        found: dict[str, JsonObject] = {}
        for candidate in self.applied:
            for module, portion in candidate.portions.items():
                found[module] = portion.applied(found.get(module, self._start(module, before)))
        return found

    def _start(self, module: str, before: Mapping[str, JsonObject]) -> JsonObject:
        portions = [one.portions.get(module, Portion()) for one in self.applied]
        return {} if any(one.whole is not None for one in portions) else before.get(module, {})


def plan(candidates: Sequence[Candidate]) -> Plan:
    """The plan for those that target one device or module, of one kind."""
    ranked = sorted(candidates, key=lambda one: one.configuration.rank)
    base = next((one for one in reversed(ranked) if not one.layered), None)
    applied: list[Candidate] = []
    if base is not None:
        applied = [base, *(one for one in ranked[ranked.index(base) + 1 :] if one.layered)]
    return Plan(
        statuses={
            one.configuration.id: {"status": APPLIED if one in applied and one.is_shown_applied else TARGETED}
            for one in ranked
        },
        applied=applied,
    )
