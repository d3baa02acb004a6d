"""When devices and modules came, went and last did something: in memory, written down about once a second.

Whether somebody is connected is never stored: after a restart nobody is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from datetime import datetime

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.iot.hub.identity import Identity, Who
    from windtunnel_emulators.iot.hub.registry import Identities
    from windtunnel_emulators.store import Store


class Activity:
    """The times of one hub's identities."""

    def __init__(self, identities: Identities, store: Store, clock: Clock) -> None:
        self._identities = identities
        self._store = store
        self._clock = clock
        self._changed: dict[Who, datetime] = {}

    def connected(self, who: Who) -> None:
        self._changed[who] = self._clock.now()

    def disconnected(self, who: Who) -> None:
        self._changed[who] = self._clock.now()

    def told(self, identity: Identity) -> Identity:
        """The identity with what is not written down yet."""
        moment = self._changed.get(identity.who)
        if moment is None:
            return identity
        return msgspec.structs.replace(identity, connection_updated=moment, last_activity=moment)

    def flush(self) -> None:
        """Write down what has changed."""
        if not self._changed:
            return
        with self._store.transaction():
            for who in self._changed:
                identity = self._identities.get(who)
                if identity is not None:
                    self._identities.save(self.told(identity), None)
        self._changed.clear()
