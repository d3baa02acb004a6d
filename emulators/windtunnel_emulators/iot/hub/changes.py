"""Who wants to know that something of a hub has changed: automatic deployments, jobs."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Change(Enum):
    """What has changed, or happened."""

    STARTED = "started"
    STOPPED = "stopped"
    TWINS = "twins"
    """A twin, or who there is."""
    CONFIGURATIONS = "configurations"
    JOBS = "jobs"


class Changes:
    """Tells its listeners at once, in the middle of the change: they do their work later."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Change], None]] = []

    def listen(self, listener: Callable[[Change], None]) -> None:
        self._listeners.append(listener)

    def tell(self, change: Change) -> None:
        for listener in self._listeners:
            listener(change)
