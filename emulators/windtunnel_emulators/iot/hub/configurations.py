"""Automatic configurations, in the store: content for all devices that fulfil a condition."""

from __future__ import annotations

import base64
from datetime import datetime  # msgspec reads it
from typing import TYPE_CHECKING, Any

import msgspec

from windtunnel_emulators.iot.hub.changes import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.iot.hub.changes import Changes
    from windtunnel_emulators.iot.hub.identity import Who
    from windtunnel_emulators.store import SqlValue, Store

KINDS = ("modulesContent", "deviceContent", "moduleContent")
"""Of edge devices, of devices, of modules."""


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration. Its id and its content never change."""

    id: str
    schema_version: str = "2.0"
    labels: dict[str, str] = {}
    kind: str
    content: dict[str, Any]
    condition: str = ""
    priority: int = 0
    metrics: dict[str, str] = {}
    """Queries by name."""
    created: datetime
    updated: datetime
    changes: int = 1

    @property
    def etag(self) -> str:
        return base64.b64encode(str(self.changes).encode()).decode()

    @property
    def rank(self) -> tuple[int, datetime, str]:
        """The highest wins: by priority, of two alike the newest."""
        return self.priority, self.created, self.id


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Configuration).decode


class Configurations:
    """The configurations of one hub; and what was last given to each device or module."""

    def __init__(self, store: Store, hub: str, changes: Changes) -> None:
        self._store = store
        self._hub = hub
        self._changes = changes

    def get(self, id: str) -> Configuration | None:
        row = self._store.row("SELECT document FROM iot_configurations WHERE hub = ? AND id = ?", (self._hub, id))
        return None if row is None else _configuration(row[0])

    def all(self) -> Sequence[Configuration]:
        """By id."""
        rows = self._store.rows("SELECT document FROM iot_configurations WHERE hub = ? ORDER BY id", (self._hub,))
        return [_configuration(document) for (document,) in rows]

    def save(self, configuration: Configuration) -> None:
        self._store.execute(
            "INSERT OR REPLACE INTO iot_configurations (hub, id, document) VALUES (?, ?, ?)",
            (self._hub, configuration.id, _encode(configuration)),
        )
        self._changes.tell(Change.CONFIGURATIONS)

    def remove(self, id: str) -> None:
        self._store.execute("DELETE FROM iot_configurations WHERE hub = ? AND id = ?", (self._hub, id))
        self._changes.tell(Change.CONFIGURATIONS)

    def deployed(self) -> dict[tuple[str, str], str]:
        """By device and module: the signature of what was last given to them."""
        rows = self._store.rows("SELECT device, module, signature FROM iot_deployed WHERE hub = ?", (self._hub,))
        return {(str(device), str(module)): str(signature) for device, module, signature in rows}

    def set_deployed(self, who: Who, signature: str | None) -> None:
        """None forgets it: what applies is given again."""
        if signature is None:
            self._store.execute(
                "DELETE FROM iot_deployed WHERE hub = ? AND device = ? AND module = ?", (self._hub, *who)
            )
        else:
            self._store.execute(
                "INSERT OR REPLACE INTO iot_deployed (hub, device, module, signature) VALUES (?, ?, ?, ?)",
                (self._hub, *who, signature),
            )


def _configuration(document: SqlValue) -> Configuration:
    assert isinstance(document, bytes)
    return _decode(document)
