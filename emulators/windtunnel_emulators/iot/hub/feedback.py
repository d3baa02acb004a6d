"""Feedback on messages to devices: what became of those whose sender asked to be told (``iothub-ack``).

Records wait until a service takes them, a batch at a time under a lock. A batch that is not completed in time comes
again, at most so many times.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.hub.errors import HubError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from windtunnel_emulators.store import Store

ACK = "iothub-ack"
LEVELS = ("none", "positive", "negative", "full")
CONTENT_TYPE = "application/vnd.microsoft.iothub.feedback.json"
LOCK_S = 60.0
LIFETIME_S = 3600.0
MOST_DELIVERIES = 10
"""The three as a hub has them by default; what ARM keeps of them (``cloudToDevice.feedback``) is not followed."""
_MOST = 64
"""Records in one batch."""


class Outcome(StrEnum):
    """What became of a message, as IoT Hub names it."""

    SUCCESS = "Success"
    EXPIRED = "Expired"
    DELIVERIES = "DeliveryCountExceeded"
    PURGED = "Purged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records that one reader has for now."""

    lock: str
    body: bytes
    """A list in JSON."""
    enqueued: datetime
    """Of the oldest record."""


class Feedback:
    """The records of one hub."""

    def __init__(self, store: Store, hub: str) -> None:
        self._store = store
        self._hub = hub
        self._listeners: set[Callable[[], None]] = set()

    def listen(self, call: Callable[[], None]) -> Callable[[], None]:
        """``call`` is called whenever there may be something to take; what is returned ends that."""
        self._listeners.add(call)
        return lambda: self._listeners.discard(call)

    def add(
        self, properties: Mapping[str, str], outcome: Outcome, *, device: str, generation: str, now: datetime
    ) -> None:
        """Note what became of a message with these properties, if its sender wants to know."""
        level = properties.get(ACK, "none").lower()
        wanted = "positive" if outcome is Outcome.SUCCESS else "negative"
        if level not in (wanted, "full"):
            return
        record = {
            "originalMessageId": properties.get("$.mid", ""),
            "enqueuedTimeUtc": _text(now),
            "statusCode": outcome.value,
            "description": outcome.value,
            "deviceId": device,
            "deviceGenerationId": generation,
        }
        self._store.execute(
            "INSERT INTO iot_feedback (hub, record, enqueued, locked, deliveries) VALUES (?, ?, ?, 0, 0)",
            (self._hub, msgspec.json.encode(record), now.timestamp()),
        )
        self._tell()

    def take(self, now: datetime) -> Batch | None:
        """The oldest records, locked; None when there are none. Those that are too old, or came too often, go."""
        moment = now.timestamp()
        with self._store.transaction():
            self._store.execute(
                "DELETE FROM iot_feedback WHERE hub = ? AND (enqueued <= ? OR (deliveries >= ? AND locked <= ?))",
                (self._hub, moment - LIFETIME_S, MOST_DELIVERIES, moment),
            )
            rows = self._store.rows(
                "SELECT id, record, enqueued FROM iot_feedback WHERE hub = ? AND locked <= ? ORDER BY id LIMIT ?",
                (self._hub, moment, _MOST),
            )
            if not rows:
                return None
            lock = uuid.uuid4().hex
            for id, _, _ in rows:
                self._store.execute(
                    "UPDATE iot_feedback SET lock = ?, locked = ?, deliveries = deliveries + 1 WHERE id = ?",
                    (lock, moment + LOCK_S, id),
                )
        records = [msgspec.Raw(record) for _, record, _ in rows if isinstance(record, bytes)]
        return Batch(
            lock=lock,
            body=msgspec.json.encode(records),
            enqueued=datetime.fromtimestamp(float(rows[0][2] or 0), UTC),
        )

    def complete(self, lock: str) -> bool:
        """A batch was taken; False when its lock was lost."""
        return bool(self._store.execute("DELETE FROM iot_feedback WHERE hub = ? AND lock = ?", (self._hub, lock)))

    def abandon(self, lock: str) -> bool:
        """A batch is to come again; False when its lock was lost."""
        given = self._store.execute(
            "UPDATE iot_feedback SET lock = NULL, locked = 0 WHERE hub = ? AND lock = ?", (self._hub, lock)
        )
        if given:
            self._tell()
        return bool(given)

    def _tell(self) -> None:
        for call in tuple(self._listeners):
            call()


def lock_lost(lock: str) -> HubError:
    return HubError(
        412,
        "DeviceMessageLockLost",
        f"There is no batch with the lock '{lock[:80]}'; it may have come again meanwhile.",
    )


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
