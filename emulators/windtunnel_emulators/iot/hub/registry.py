"""The identities of one hub, in the store: the rows, and nothing of what a request may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.hub.identity import Identity, Keys, Who

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from windtunnel_emulators.store import SqlValue, Store

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Identity).decode
_decode_keys = msgspec.json.Decoder(Keys).decode
_EMPTY = Keys("", "")


class Identities:
    """Devices and modules. A key is read only where it is needed."""

    def __init__(self, store: Store, hub: str) -> None:
        self._store = store
        self._hub = hub
        self._listeners: list[Callable[[Who], None]] = []

    def listen(self, changed: Callable[[Who], None]) -> None:
        """Have ``changed`` called with who was added, changed or removed; the transaction may still be open then."""
        self._listeners.append(changed)

    def get(self, who: Who) -> Identity | None:
        """None when there is none."""
        row = self._store.row(
            "SELECT document FROM iot_identities WHERE hub = ? AND device = ? AND module = ?", (self._hub, *who)
        )
        return None if row is None else _identity(row[0])

    def keys(self, who: Who) -> Keys:
        """The symmetric keys; empty ones for an identity that has none, or is not there."""
        row = self._store.row(
            "SELECT keys FROM iot_identities WHERE hub = ? AND device = ? AND module = ?", (self._hub, *who)
        )
        return _EMPTY if row is None else _keys(row[0])

    def devices(self, most: int) -> Sequence[tuple[Identity, Keys]]:
        """Devices by id, at most so many."""
        return self._with_keys("module = '' ORDER BY device LIMIT ?", (most,))

    def modules(self, device: str) -> Sequence[tuple[Identity, Keys]]:
        """The modules of a device, by id."""
        return self._with_keys("device = ? AND module <> '' ORDER BY module", (device,))

    def each(self) -> Iterator[Identity]:
        """All devices and modules, each device before its modules."""
        for (document,) in self._store.rows(
            "SELECT document FROM iot_identities WHERE hub = ? ORDER BY device, module", (self._hub,)
        ):
            yield _identity(document)

    def count(self) -> tuple[int, int]:
        """How many devices there are, and how many modules."""
        row = self._store.row(
            "SELECT count(*) FILTER (WHERE module = ''), count(*) FILTER (WHERE module <> '') FROM iot_identities"
            " WHERE hub = ?",
            (self._hub,),
        )
        return (0, 0) if row is None else (int(row[0] or 0), int(row[1] or 0))

    def save(self, identity: Identity, keys: Keys | None) -> None:
        """Write an identity whole; ``keys`` None leaves the keys that it has."""
        self._store.execute(
            "INSERT INTO iot_identities (hub, device, module, document, keys) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (hub, device, module) DO UPDATE SET document = excluded.document,"
            " keys = coalesce(excluded.keys, keys)",
            (self._hub, *identity.who, _encode(identity), None if keys is None else _encode(keys)),
        )
        # Without keys it is only told when the identity was last active.
        if keys is not None:
            self._tell(identity.who)

    def remove(self, who: Who) -> None:
        """Forget an identity with all that is kept for it; for a device, its modules too."""
        where = "hub = ? AND device = ? AND (? = '' OR module = ?)"
        values = (self._hub, who.device, who.module, who.module)
        with self._store.transaction():
            for table in ("iot_identities", "iot_twins", "iot_sessions", "iot_deployed"):
                self._store.execute(f"DELETE FROM {table} WHERE {where}", values)  # noqa: S608
            if not who.module:
                self._store.execute("DELETE FROM iot_commands WHERE hub = ? AND device = ?", (self._hub, who.device))
        self._tell(who)

    def _tell(self, who: Who) -> None:
        for listener in self._listeners:
            listener(who)

    def _with_keys(self, where: str, values: tuple[SqlValue, ...]) -> list[tuple[Identity, Keys]]:
        rows = self._store.rows(
            f"SELECT document, keys FROM iot_identities WHERE hub = ? AND {where}",  # noqa: S608
            (self._hub, *values),
        )
        return [(_identity(document), _keys(keys)) for document, keys in rows]


def _identity(document: SqlValue) -> Identity:
    assert isinstance(document, bytes)
    return _decode(document)


def _keys(stored: SqlValue) -> Keys:
    return _decode_keys(stored) if isinstance(stored, bytes) else _EMPTY
