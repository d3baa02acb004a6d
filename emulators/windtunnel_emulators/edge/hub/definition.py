"""What an edge device's hub is, as the process that runs it tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub.identity import EDGE_HUB, Who

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST_CLIENTS = 100
"""At one time (``MaxConnectedClients`` of edge-hub)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeDefinition:
    """One edge device's hub."""

    device: str
    hub: str
    """The host name of the hub in the cloud: ``NAME.azure-devices.net``."""
    address: str
    """The loopback address that the device has for itself."""
    other_names: frozenset[str] = frozenset()
    """What clients may call the device or its hub besides, in user names and tokens."""
    most_clients: int = MOST_CLIENTS
    trusted: Callable[[], Sequence[bytes]] = lambda: ()
    """Authorities whose certificates child devices may show, in PEM or DER."""

    @property
    def own(self) -> Who:
        """The hub's own identity."""
        return Who(self.device, EDGE_HUB)

    @property
    def names(self) -> frozenset[str]:
        """In lower case."""
        return frozenset(name.lower() for name in (self.hub, self.address, *self.other_names))
