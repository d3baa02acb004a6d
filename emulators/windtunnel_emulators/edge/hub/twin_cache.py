"""Twins as an edge device last knew them, and what local clients have reported since, on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.iot.hub.twins import merged, plain
from windtunnel_emulators.jsontypes import JsonObject, as_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from windtunnel_emulators.jsontypes import Json
    from windtunnel_emulators.store import SqlValue, Store

_VERSION = "$version"


class CachedTwin(msgspec.Struct, frozen=True, kw_only=True):
    """One twin. ``reported`` is the cloud's; ``pending`` is what has to be merged into it there, None for nothing."""

    desired: dict[str, Any] = {}
    desired_version: int = 0
    reported: dict[str, Any] = {}
    reported_version: int = 0
    """As local clients are told."""
    pending: dict[str, Any] | None = None

    @property
    def local(self) -> JsonObject:
        """Reported properties as local clients see them."""
        return self.reported if self.pending is None else merged(self.reported, self.pending)

    def shown(self) -> JsonObject:
        """The twin as clients are answered."""
        return {
            "desired": {**self.desired, _VERSION: self.desired_version},
            "reported": {**self.local, _VERSION: self.reported_version},
        }

    def pulled(self, twin: JsonObject) -> CachedTwin:
        """With what the cloud has now; what waits to be sent still does."""
        desired, reported = as_object(twin.get("desired")), as_object(twin.get("reported"))
        return CachedTwin(
            desired=plain(desired),
            desired_version=version_of(desired) or 0,
            reported=plain(reported),
            reported_version=(version_of(reported) or 0) + (self.pending is not None),
            pending=self.pending,
        )


EMPTY = CachedTwin()


class TwinCache:
    """The twins of one edge device and of whoever is behind it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, who: Who) -> CachedTwin | None:
        """None for one that was never read."""
        row = self._store.row("SELECT document FROM edge_twins WHERE device = ? AND module = ?", who)
        return None if row is None else _twin(row[0])

    def save(self, who: Who, twin: CachedTwin) -> None:
        self._store.execute("INSERT OR REPLACE INTO edge_twins VALUES (?, ?, ?)", (*who, msgspec.json.encode(twin)))

    def drop(self, who: Who) -> None:
        """Safe when there is none."""
        self._store.execute("DELETE FROM edge_twins WHERE device = ? AND module = ?", who)

    def each(self) -> Iterator[tuple[Who, CachedTwin]]:
        """All twins, by id."""
        rows = self._store.rows("SELECT device, module, document FROM edge_twins ORDER BY device, module")
        for device, module, document in rows:
            yield Who(str(device), str(module)), _twin(document)


_decode = msgspec.json.Decoder(CachedTwin).decode


def version_of(section: JsonObject) -> int | None:
    """The ``$version`` of a section or patch; None without a whole number."""
    found: Json = section.get(_VERSION)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _twin(document: SqlValue) -> CachedTwin:
    assert isinstance(document, bytes)
    return _decode(document)
