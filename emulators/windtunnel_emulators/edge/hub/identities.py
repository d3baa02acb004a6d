"""Who may connect to an edge device, as its hub needs it; ``edge.upstream`` knows, and keeps it for when offline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.iot.hub.authentication import KnownIdentities

if TYPE_CHECKING:
    from windtunnel_emulators.iot.hub.identity import Who


class Identities(KnownIdentities, Protocol):
    """The edge device, its modules, and the child devices in its scope, with their keys. Nobody else is in it."""

    async def refresh(self, who: Who) -> None:
        """Ask the cloud about one identity, which a client says it is and which does not fit what is known.

        Returns once the answer is in, or at once where it cannot be had; never raises for that.
        """
        ...
