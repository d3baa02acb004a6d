"""Which clients are connected, as ``$edgeHub`` reports it: by id, with when they came and went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub.identity import short
from windtunnel_emulators.jsontypes import as_object

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.iot.hub.identity import Who
    from windtunnel_emulators.jsontypes import Json, JsonObject

_STATUS, _CAME, _WENT = "status", "lastConnectedTimeUtc", "lastDisconnectedTimeUtc"
_CONNECTED, _DISCONNECTED = "Connected", "Disconnected"
_ENCODED = str.maketrans({"%": "%25", ".": "%2E", "$": "%24", " ": "%20"})
"""What no name in a twin may have."""


class Presence:
    """The ``clients`` of the reported properties."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._clients: dict[str, dict[str, Json]] = {}

    def load(self, reported: Json) -> None:
        """What was reported before the hub was last ended: nobody is connected now."""
        for name, state in as_object(reported).items():
            found = as_object(state)
            if found.get(_STATUS) != _DISCONNECTED:
                found = {**found, _STATUS: _DISCONNECTED, _WENT: short(self._clock.now())}
            self._clients[name] = found

    def arrived(self, who: Who) -> None:
        state = self._clients.setdefault(_name(who), {})
        state[_STATUS], state[_CAME] = _CONNECTED, short(self._clock.now())

    def left(self, who: Who) -> None:
        state = self._clients.setdefault(_name(who), {})
        state[_STATUS], state[_WENT] = _DISCONNECTED, short(self._clock.now())

    def shown(self) -> JsonObject:
        return {name: dict(state) for name, state in self._clients.items()}


def _name(who: Who) -> str:
    return str(who).translate(_ENCODED)
