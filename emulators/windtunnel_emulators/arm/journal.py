"""The rows of long-running operations: what was asked, how it went. Kept for a day after the end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from windtunnel_emulators.arm.paths import resource_id
from windtunnel_emulators.arm.resources import pack, unpack
from windtunnel_emulators.jsontypes import as_object

if TYPE_CHECKING:
    from windtunnel_emulators.arm.errors import ArmError
    from windtunnel_emulators.arm.ids import ResourceId
    from windtunnel_emulators.arm.provider import Resource
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.store import SqlValue, Store

GROUP_TYPE = "Microsoft.Resources/resourceGroups"
"""What an operation on a group has for its type."""

IN_PROGRESS = "InProgress"
SUCCEEDED = "Succeeded"
FAILED = "Failed"
CANCELED = "Canceled"

_KEPT = timedelta(days=1)
_COLUMNS = (
    "id, target, target_id, type, verb, removal, location, api_version, status, started, ended, error, error_status"
)
_json = msgspec.json.Decoder(dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """One resource that an operation takes away."""

    id: ResourceId
    verb: str | None
    """The work that frees what it holds; None when there is nothing to free."""
    resource: Resource | None
    """The resource as it was, when it is gone from the store already; else the store has it."""


class _RemovedRow(msgspec.Struct, array_like=True):
    id: str
    verb: str | None
    document: msgspec.Raw
    """``null`` when the store still has the resource; msgspec reads no ``Raw | None``."""


_NOTHING = msgspec.Raw(b"null")
_removed = msgspec.json.Decoder(list[_RemovedRow])


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOperation:
    """One piece of long-running work, as the store has it."""

    id: str
    target: str
    """Key of the resource or group that it works on."""
    target_id: str
    """Its id as it is printed."""
    type: str
    verb: str
    removal: tuple[Removed, ...] | None = None
    """What it takes away, itself included; None for work that changes a resource."""
    location: str
    api_version: str
    status: str = IN_PROGRESS
    started: datetime
    ended: datetime | None = None
    error: JsonObject | None = None
    """The inside of ARM's error body."""
    error_status: int | None = None


class Journal:
    """Reads and writes operations."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, id: str) -> StoredOperation | None:
        """None for one that never was, or ended more than a day ago."""
        row = self._store.row(f"SELECT {_COLUMNS} FROM operations WHERE id = ?", (id,))  # noqa: S608
        return None if row is None else _operation(row)

    def in_progress(self) -> list[StoredOperation]:
        """Oldest first."""
        rows = self._store.rows(
            f"SELECT {_COLUMNS} FROM operations WHERE status = ? ORDER BY started",  # noqa: S608
            (IN_PROGRESS,),
        )
        return [_operation(row) for row in rows]

    def latest(self, most: int) -> list[StoredOperation]:
        """Newest first."""
        rows = self._store.rows(f"SELECT {_COLUMNS} FROM operations ORDER BY started DESC, id LIMIT ?", (most,))  # noqa: S608
        return [_operation(row) for row in rows]

    def add(self, operation: StoredOperation) -> None:
        """Write an operation that begins."""
        removal = None
        if operation.removal is not None:
            removal = msgspec.json.encode(
                [
                    (str(r.id), r.verb, None if r.resource is None else msgspec.Raw(pack(r.resource)))
                    for r in operation.removal
                ]
            )
        self._store.execute(
            f"INSERT INTO operations ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL)",  # noqa: S608
            (
                operation.id,
                operation.target,
                operation.target_id,
                operation.type,
                operation.verb,
                removal,
                operation.location,
                operation.api_version,
                operation.status,
                operation.started.isoformat(),
            ),
        )

    def end(self, id: str, status: str, now: datetime, problem: ArmError | None = None) -> None:
        """Write how an operation ended; nothing happens to one that has ended already."""
        self._store.execute(
            "UPDATE operations SET status = ?, ended = ?, error = ?, error_status = ? WHERE id = ? AND ended IS NULL",
            (
                status,
                now.isoformat(),
                None if problem is None else msgspec.json.encode(as_object(problem.body()["error"])),
                None if problem is None else problem.status,
                id,
            ),
        )

    def prune(self, now: datetime) -> None:
        """Forget what ended more than a day ago."""
        self._store.execute(
            "DELETE FROM operations WHERE status <> ? AND ended < ?", (IN_PROGRESS, (now - _KEPT).isoformat())
        )


def _operation(row: tuple[SqlValue, ...]) -> StoredOperation:
    (id, target, target_id, type_, verb, removal, location, api_version, status, started, ended, error, code) = row
    return StoredOperation(
        id=str(id),
        target=str(target),
        target_id=str(target_id),
        type=str(type_),
        verb=str(verb),
        removal=_removal(removal) if isinstance(removal, bytes) else None,
        location=str(location),
        api_version=str(api_version),
        status=str(status),
        started=datetime.fromisoformat(str(started)),
        ended=None if ended is None else datetime.fromisoformat(str(ended)),
        error=_json.decode(error) if isinstance(error, bytes) else None,
        error_status=None if code is None else int(code),
    )


def _removal(blob: bytes) -> tuple[Removed, ...]:
    return tuple(
        Removed(
            id=resource_id(row.id),
            verb=row.verb,
            resource=None if row.document == _NOTHING else unpack(row.id, bytes(row.document)),
        )
        for row in _removed.decode(blob)
    )
