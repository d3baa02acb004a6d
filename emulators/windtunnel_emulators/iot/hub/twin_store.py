"""The twins of one hub, in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.iot.hub.twins import Twin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from windtunnel_emulators.store import SqlValue, Store

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Twin).decode


class Twins:
    """Twins by whose they are. An identity and its twin are made and removed together."""

    def __init__(self, store: Store, hub: str) -> None:
        self._store = store
        self._hub = hub

    def get(self, who: Who) -> Twin | None:
        """None when there is no such identity."""
        row = self._store.row(
            "SELECT document FROM iot_twins WHERE hub = ? AND device = ? AND module = ?", (self._hub, *who)
        )
        return None if row is None else _twin(row[0])

    def save(self, who: Who, twin: Twin) -> None:
        self._store.execute(
            "INSERT OR REPLACE INTO iot_twins (hub, device, module, document) VALUES (?, ?, ?, ?)",
            (self._hub, *who, _encode(twin)),
        )

    def each(self, *, modules: bool) -> Iterator[tuple[Who, Twin]]:
        """All twins of devices, or all of modules, by id."""
        for device, module, document in self._store.rows(
            f"SELECT device, module, document FROM iot_twins WHERE hub = ? AND module {'<>' if modules else '='} ''"  # noqa: S608
            " ORDER BY device, module",
            (self._hub,),
        ):
            yield Who(str(device), str(module)), _twin(document)


def _twin(document: SqlValue) -> Twin:
    assert isinstance(document, bytes)
    return _decode(document)
