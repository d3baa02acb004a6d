"""Jobs: the same change of twins, or call of a method, for many devices; what became of it for each. In the store."""

from __future__ import annotations

from datetime import datetime  # msgspec reads it
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

from windtunnel_emulators.iot.hub.changes import Change
from windtunnel_emulators.iot.hub.identity import Who

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from windtunnel_emulators.iot.hub.changes import Changes
    from windtunnel_emulators.store import SqlValue, Store


class Status(Enum):
    """Of a job: how far it is. The words are the service's."""

    SCHEDULED = "scheduled"
    """It waits for its time."""
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        return self in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


class DeviceStatus(Enum):
    """Of one device's part of a job."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One job."""

    id: str
    type: str
    condition: str
    created: datetime
    start: datetime
    most_s: int
    """Seconds from its start that it may take."""
    status: Status
    method: dict[str, Any] | None = None
    """The call of a method, as it was written."""
    twin: dict[str, Any] | None = None
    """The change of twins, as it was written."""
    ended: datetime | None = None


class DeviceJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job's part of one device or module."""

    job: str
    device: str
    module: str = ""
    status: DeviceStatus = DeviceStatus.PENDING
    created: datetime
    updated: datetime
    started: datetime | None = None
    ended: datetime | None = None
    response: dict[str, Any] | None = None
    """What a method answered: ``status`` and ``payload``."""
    error: dict[str, str] | None = None
    """``code`` and ``description``."""

    @property
    def who(self) -> Who:
        return Who(self.device, self.module)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Job).decode
_decode_device = msgspec.json.Decoder(DeviceJob).decode


class Jobs:
    """The jobs of one hub."""

    def __init__(self, store: Store, hub: str, changes: Changes) -> None:
        self._store = store
        self._hub = hub
        self._changes = changes

    def get(self, id: str) -> Job | None:
        row = self._store.row("SELECT document FROM iot_jobs WHERE hub = ? AND id = ?", (self._hub, id))
        return None if row is None else _decode(_bytes(row[0]))

    def all(self) -> Sequence[Job]:
        """The newest first."""
        rows = self._store.rows("SELECT document FROM iot_jobs WHERE hub = ?", (self._hub,))
        found = [_decode(_bytes(document)) for (document,) in rows]
        return sorted(found, key=lambda one: (one.created, one.id), reverse=True)

    def save(self, job: Job) -> None:
        self._store.execute(
            "INSERT OR REPLACE INTO iot_jobs (hub, id, document) VALUES (?, ?, ?)", (self._hub, job.id, _encode(job))
        )
        self._changes.tell(Change.JOBS)

    def remove(self, id: str) -> None:
        with self._store.transaction():
            self._store.execute("DELETE FROM iot_jobs WHERE hub = ? AND id = ?", (self._hub, id))
            self._store.execute("DELETE FROM iot_device_jobs WHERE hub = ? AND job = ?", (self._hub, id))

    def devices(self, job: str) -> Sequence[DeviceJob]:
        """The parts of a job, by device and module."""
        rows = self._store.rows(
            "SELECT document FROM iot_device_jobs WHERE hub = ? AND job = ? ORDER BY device, module", (self._hub, job)
        )
        return [_decode_device(_bytes(document)) for (document,) in rows]

    def each_device(self) -> Iterator[DeviceJob]:
        """The parts of all jobs, by job, device and module."""
        for (document,) in self._store.rows(
            "SELECT document FROM iot_device_jobs WHERE hub = ? ORDER BY job, device, module", (self._hub,)
        ):
            yield _decode_device(_bytes(document))

    def save_device(self, part: DeviceJob) -> None:
        self._store.execute(
            "INSERT OR REPLACE INTO iot_device_jobs (hub, job, device, module, document) VALUES (?, ?, ?, ?, ?)",
            (self._hub, part.job, part.device, part.module, _encode(part)),
        )


def _bytes(value: SqlValue) -> bytes:
    assert isinstance(value, bytes)
    return value
