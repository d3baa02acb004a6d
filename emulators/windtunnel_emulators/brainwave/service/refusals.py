"""``Refused``: an answer that is no prediction, with the gRPC status that makes clients do the right thing.

Microsoft's clients try five times, over 15 seconds, whatever the status is, with the one exception INVALID_ARGUMENT: so
that is what every request gets that will not be better the second time.
"""

from __future__ import annotations

from enum import Enum

from windtunnel_emulators.brainwave.errors import BrainwaveError


class Status(Enum):
    """gRPC's statuses, as far as they are used here."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    INTERNAL = "INTERNAL"


class Refused(BrainwaveError):
    """Why, and what the caller can do."""

    def __init__(self, message: str, *, status: Status = Status.INVALID_ARGUMENT, way_out: str | None = None) -> None:
        super().__init__(message, way_out=way_out)
        self.status = status

    @property
    def details(self) -> str:
        """One text: gRPC has room for no more."""
        return f"{self.message}. {self.way_out}" if self.way_out else self.message
