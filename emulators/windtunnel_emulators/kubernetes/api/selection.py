"""Which objects a list or a watch is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.api.storage import Event, Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Selections of one ``key`` choose the same objects of a resource."""

    namespace: str | None = None
    """None for all namespaces."""
    name: str | None = None
    labels: str = ""
    fields: str = ""
    matches: Callable[[JsonObject], bool] | None = field(default=None, compare=False)
    """What the selectors say of an object; None when there are none."""

    def chooses(self, stored: Stored) -> bool:
        if self.namespace is not None and stored.key[0] != self.namespace:
            return False
        if self.name is not None and stored.key[1] != self.name:
            return False
        return self.matches is None or self.matches(stored.object)

    def choose(self, objects: Iterable[Stored]) -> list[Stored]:
        return [stored for stored in objects if self.chooses(stored)]

    def transition(self, event: Event) -> str:
        """What the event is to a watch of this selection: ``ADDED``, ``MODIFIED``, ``DELETED`` or nothing, empty."""
        before = event.old is not None and self.chooses(event.old)
        after = not event.deleted and self.chooses(event.new)
        if before:
            return "MODIFIED" if after else "DELETED"
        return "ADDED" if after else ""
