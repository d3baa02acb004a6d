"""Resource groups as the store keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.store import Remembered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.store import SqlValue, Store

_COLUMNS = "subscription, name, location, tags, managed_by, deleting, created, changed"
_tags = msgspec.json.Decoder(dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One resource group."""

    subscription: str
    name: str
    location: str
    tags: Mapping[str, str] | None = None
    managed_by: str | None = None
    deleting: bool = False
    created: datetime | None = None
    changed: datetime | None = None

    @property
    def id(self) -> str:
        """As ARM prints it."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.name}"

    @property
    def key(self) -> str:
        """What groups are compared and stored by."""
        return self.id.lower()


class Groups:
    """The groups of all subscriptions."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._remembered = Remembered(store, self._read)

    def get(self, subscription: str, name: str) -> Group | None:
        """The group, whatever the case it is asked for in; None when there is none."""
        return self.at(f"/subscriptions/{subscription}/resourcegroups/{name}".lower())

    def at(self, key: str) -> Group | None:
        """The group with a key."""
        return self._remembered.get(key)

    def _read(self, key: str) -> Group | None:
        row = self._store.row(f"SELECT {_COLUMNS} FROM groups WHERE key = ?", (key,))  # noqa: S608
        return None if row is None else _group(row)

    def list(self, subscription: str) -> list[Group]:
        """All groups of a subscription, by name."""
        rows = self._store.rows(
            f"SELECT {_COLUMNS} FROM groups WHERE key >= ? AND key < ? ORDER BY key",  # noqa: S608
            (f"/subscriptions/{subscription}/".lower(), f"/subscriptions/{subscription}0".lower()),  # "0" follows "/"
        )
        return [_group(row) for row in rows]

    def save(self, group: Group) -> None:
        """Write a group, keeping when it was created."""
        now = self._clock.now().isoformat()
        tags = None if group.tags is None else msgspec.json.encode(group.tags)
        self._store.execute(
            "INSERT INTO groups (key, subscription, name, location, tags, managed_by, deleting, created, changed)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET location = excluded.location,"
            " tags = excluded.tags, managed_by = excluded.managed_by, deleting = excluded.deleting,"
            " changed = excluded.changed",
            (
                group.key,
                group.subscription,
                group.name,
                group.location,
                tags,
                group.managed_by,
                int(group.deleting),
                now,
                now,
            ),
        )

    def remove(self, group: Group) -> None:
        """Forget a group; its resources are the caller's to remove first."""
        self._store.execute("DELETE FROM groups WHERE key = ?", (group.key,))


def _group(row: tuple[SqlValue, ...]) -> Group:
    subscription, name, location, tags, managed_by, deleting, created, changed = row
    return Group(
        subscription=str(subscription),
        name=str(name),
        location=str(location),
        tags=_tags.decode(tags) if isinstance(tags, bytes) else None,
        managed_by=None if managed_by is None else str(managed_by),
        deleting=bool(deleting),
        created=datetime.fromisoformat(str(created)),
        changed=datetime.fromisoformat(str(changed)),
    )
