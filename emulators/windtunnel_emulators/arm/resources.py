"""ARM's resources: the rows that say what is there.

A resource is read as an immutable value and written whole. ``etag`` changes with every write that a client can see;
what a service finds out (``save_state``) does not count as one.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from windtunnel_emulators.arm.paths import resource_id
from windtunnel_emulators.arm.provider import Resource
from windtunnel_emulators.store import Remembered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from windtunnel_emulators.arm.catalogue import Catalogue
    from windtunnel_emulators.arm.groups import Group, Groups
    from windtunnel_emulators.arm.ids import ResourceId
    from windtunnel_emulators.arm.journal import StoredOperation
    from windtunnel_emulators.arm.operations import Operations
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.store import SqlValue, Store

_COLUMNS = "id, document, etag, busy"
_Found: TypeAlias = "list[Resource]"  # inside the class, ``list`` is the method


class _Document(msgspec.Struct, array_like=True):
    """The JSON of a row; fields are only ever added at the end, with a default."""

    location: str | None
    tags: dict[str, str] | None
    properties: dict[str, Any]
    envelope: dict[str, Any]
    secrets: dict[str, Any]
    state: dict[str, Any]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Document).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A resource with what the generic list tells besides."""

    resource: Resource
    created: datetime
    changed: datetime


class Resources:
    """The resources of all groups, whoever asks."""

    def __init__(self, store: Store, clock: Clock, groups: Groups) -> None:
        self._store = store
        self._clock = clock
        self._groups = groups
        self._remembered = Remembered(store, self._read)
        self._operations: Operations | None = None
        self._catalogue: Catalogue | None = None

    def bind(self, operations: Operations, catalogue: Catalogue) -> None:
        """Give it what is made after it: the operations of ``begin``, and the types, of which some are not listed."""
        self._operations = operations
        self._catalogue = catalogue

    def get(self, id: ResourceId | str) -> Resource | None:
        """The resource, whatever the case of its id; None when there is none."""
        return self._remembered.get(id.lower() if isinstance(id, str) else id.key)

    def _read(self, key: str) -> Resource | None:
        row = self._store.row(f"SELECT {_COLUMNS} FROM resources WHERE key = ?", (key,))  # noqa: S608
        return None if row is None else _resource(row)

    def list(
        self,
        type: str,
        *,
        subscription: str | None = None,
        group: str | None = None,
        parent: ResourceId | str | None = None,
    ) -> _Found:
        """The resources of a full type, by id: all, or those of a subscription, of a group in it, of a parent."""
        where, values = _condition(type, subscription, group, parent)
        rows = self._store.rows(
            f"SELECT {_COLUMNS} FROM resources WHERE {where} ORDER BY key",  # noqa: S608
            values,
        )
        return [_resource(row) for row in rows]

    def count(
        self,
        type: str,
        *,
        subscription: str | None = None,
        group: str | None = None,
        parent: ResourceId | str | None = None,
    ) -> int:
        """How many ``list`` would give."""
        where, values = _condition(type, subscription, group, parent)
        row = self._store.row(f"SELECT count(*) FROM resources WHERE {where}", values)  # noqa: S608
        return int(row[0] or 0) if row else 0

    def tracked(self, *, subscription: str, group: str | None = None) -> Iterator[Listed]:
        """What ``/resources`` lists, by id."""
        scope = f"/subscriptions/{subscription}/resourcegroups/{group or ''}".lower()
        rows = self._store.rows(
            f"SELECT {_COLUMNS}, created, changed FROM resources"  # noqa: S608
            " WHERE tracked = 1 AND "
            + ("scope = ?" if group else "substr(scope, 1, length(?1)) = ?1")
            + " ORDER BY key",
            (scope,),
        )
        for row in rows:
            yield Listed(
                resource=_resource(row[:4]),
                created=datetime.fromisoformat(str(row[4])),
                changed=datetime.fromisoformat(str(row[5])),
            )

    def in_group(self, group: Group) -> Sequence[Resource]:
        """Everything in a group, what is nested included."""
        rows = self._store.rows(
            f"SELECT {_COLUMNS} FROM resources WHERE scope = ? ORDER BY key",  # noqa: S608
            (group.key,),
        )
        return [_resource(row) for row in rows]

    def below(self, id: ResourceId) -> Sequence[Resource]:
        """Everything nested in a resource, at any depth."""
        prefix = id.key + "/"
        rows = self._store.rows(
            f"SELECT {_COLUMNS} FROM resources WHERE key >= ? AND key < ? ORDER BY key",  # noqa: S608
            (prefix, id.key + "0"),  # "0" follows "/"
        )
        return [_resource(row) for row in rows]

    def save(self, resource: Resource) -> Resource:
        """Write a resource and give it a new etag; ``busy`` stays as the store has it."""
        id = resource.id
        key = id.key
        etag = str(uuid.uuid4())
        now = self._clock.now().isoformat()
        parent = id.parent
        self._store.execute(
            "INSERT INTO resources (key, id, scope, type, parent, tracked, document, etag, created, changed)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET document = excluded.document, etag = excluded.etag,"
            " changed = excluded.changed",
            (
                key,
                str(id),
                f"/subscriptions/{id.subscription}/resourcegroups/{id.group}".lower(),
                id.type.lower(),
                "" if parent is None else parent.key,
                int(self._is_tracked(id)),
                pack(resource),
                etag,
                now,
                now,
            ),
        )
        return replace(resource, etag=etag)

    def save_state(self, id: ResourceId | str, state: JsonObject) -> None:
        """Keep what a service found out about a resource; nothing happens when the resource is gone."""
        with self._store.transaction():
            found = self.get(id)
            if found is not None:
                self._store.execute(
                    "UPDATE resources SET document = ? WHERE key = ?",
                    (pack(replace(found, state=state)), found.id.key),
                )

    def remove(self, id: ResourceId | str) -> None:
        """Forget a resource and all that is nested in it, without any work; safe when it is gone."""
        key = id.lower() if isinstance(id, str) else id.key
        self._store.execute(
            "DELETE FROM resources WHERE key = ? OR (key >= ? AND key < ?)", (key, key + "/", key + "0")
        )

    def set_busy(self, id: ResourceId, operation: str | None, verb: str | None) -> None:
        """Note which work is going on; only ``Operations`` calls this."""
        self._store.execute("UPDATE resources SET operation = ?, busy = ? WHERE key = ?", (operation, verb, id.key))

    def group(self, subscription: str, name: str) -> Group | None:
        """A resource group, for its location and tags."""
        return self._groups.get(subscription, name)

    def save_group(self, group: Group) -> None:
        """Write a resource group that a service keeps for itself, as AKS keeps one for a cluster's machines."""
        self._groups.save(group)

    def drop_group(self, group: Group) -> None:
        """Take away such a group with all that is in it, without any work; safe when it is gone."""
        with self._store.transaction():
            for resource in self.in_group(group):
                self.remove(resource.id)
            self._groups.remove(group)

    def operation_in_progress(self, id: ResourceId | str) -> StoredOperation | None:
        """The work that is going on on a resource; None when there is none."""
        key = id.lower() if isinstance(id, str) else id.key
        held = self.held_by(key)
        return None if held is None else self._bound().get(held)

    def held_by(self, key: str) -> str | None:
        """The id of the operation that is going on on a resource."""
        row = self._store.row("SELECT operation FROM resources WHERE key = ?", (key,))
        return None if row is None or row[0] is None else str(row[0])

    def begin(self, resource: Resource, verb: str) -> StoredOperation:
        """Save a resource and start a work on it outside a request. Raises ``ArmError`` 409 while it is busy."""
        return self._bound().begin(resource, verb)

    def _is_tracked(self, id: ResourceId) -> bool:
        kind = None if self._catalogue is None else self._catalogue.kind(id.type)
        return kind is None or kind.type.tracked

    def _bound(self) -> Operations:
        if self._operations is None:
            raise RuntimeError("resources have no operations before the kernel is put together")
        return self._operations


def _condition(
    type: str, subscription: str | None, group: str | None, parent: ResourceId | str | None
) -> tuple[str, list[SqlValue]]:
    where = ["type = ?"]
    values: list[SqlValue] = [type.lower()]
    if parent is not None:
        where.append("parent = ?")
        values.append(parent.lower() if isinstance(parent, str) else parent.key)
    elif group is not None:
        if subscription is None:
            raise ValueError("a group is named within a subscription")
        where.append("scope = ?")
        values.append(f"/subscriptions/{subscription}/resourcegroups/{group}".lower())
    elif subscription is not None:
        prefix = f"/subscriptions/{subscription}/".lower()
        where.append("scope >= ? AND scope < ?")
        values += [prefix, prefix[:-1] + "0"]
    return " AND ".join(where), values


def pack(resource: Resource) -> bytes:
    """All of a resource but its id, etag and verb, as JSON."""
    return _encode(
        _Document(
            resource.location,
            None if resource.tags is None else dict(resource.tags),
            resource.properties,
            resource.envelope,
            resource.secrets,
            resource.state,
        )
    )


def unpack(id: str, document: bytes, *, etag: str = "", busy: str | None = None) -> Resource:
    """What ``pack`` made, as a resource again."""
    found = _decode(document)
    return Resource(
        id=resource_id(id),
        location=found.location,
        tags=found.tags,
        properties=found.properties,
        envelope=found.envelope,
        secrets=found.secrets,
        state=found.state,
        etag=etag,
        busy=busy,
    )


def _resource(row: Sequence[SqlValue]) -> Resource:
    id, document, etag, busy = row
    if not isinstance(document, bytes):
        raise TypeError("a resource's document is a BLOB")
    return unpack(str(id), document, etag=str(etag), busy=None if busy is None else str(busy))
