"""What a hub is, as its owner (ARM's provider, or a test) tells it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from windtunnel_emulators.iot.hub.certificates import Chains
    from windtunnel_emulators.iot.hub.policies import Policies

SUFFIX = ".azure-devices.net"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One hub. What may change while it runs is a function."""

    key: str
    """Under which its rows are kept: another for each hub that is made, whatever its name."""
    name: str
    address: str
    """The loopback address that it has for itself."""
    folder: Path
    partitions: int
    policies: Policies
    chains: Chains
    consumer_groups: Callable[[], Sequence[str]] = lambda: ("$Default",)
    """Of the built-in endpoint."""
    retention_days: Callable[[], int] = lambda: 1
    most_deliveries: Callable[[], int] = lambda: 10
    command_lifetime: Callable[[], timedelta] = lambda: timedelta(hours=1)
    most_configurations: Callable[[], int] = lambda: 100
    events_path: str = ""
    """Of the built-in endpoint; without one, the hub's name."""
    created: Callable[[], datetime | None] = lambda: None

    @property
    def host_name(self) -> str:
        """As on Azure."""
        return f"{self.name.lower()}{SUFFIX}"

    @property
    def events_name(self) -> str:
        """The name of the built-in endpoint, as Event Hubs' clients call it (``EntityPath``)."""
        return self.events_path or self.name.lower()

    @property
    def names(self) -> frozenset[str]:
        """What clients may call it in user names and tokens."""
        return frozenset((self.host_name, self.name.lower(), self.address, "localhost"))
