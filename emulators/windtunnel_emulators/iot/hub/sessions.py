"""What a client has subscribed to, kept on disk: the Python client never subscribes again (wire-iot, trap 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.iot.hub.identity import Who
    from windtunnel_emulators.store import Store

_decode = msgspec.json.Decoder(dict[str, int]).decode


class Sessions:
    """The subscriptions of a hub's clients: the filter and the quality of service that it was granted."""

    def __init__(self, store: Store, hub: str) -> None:
        self._store = store
        self._hub = hub

    def get(self, who: Who) -> dict[str, int] | None:
        """None for a client that has no session."""
        row = self._store.row(
            "SELECT filters FROM iot_sessions WHERE hub = ? AND device = ? AND module = ?", (self._hub, *who)
        )
        return None if row is None else _decode(row[0] if isinstance(row[0], bytes) else b"{}")

    def save(self, who: Who, filters: Mapping[str, int]) -> None:
        self._store.execute(
            "INSERT OR REPLACE INTO iot_sessions (hub, device, module, filters) VALUES (?, ?, ?, ?)",
            (self._hub, *who, msgspec.json.encode(filters)),
        )

    def drop(self, who: Who) -> None:
        """Safe when there is none."""
        self._store.execute("DELETE FROM iot_sessions WHERE hub = ? AND device = ? AND module = ?", (self._hub, *who))
