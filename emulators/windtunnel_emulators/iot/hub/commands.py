"""Cloud-to-device messages: a queue per device, on disk, at least once, at most so many times.

A message that is on its way keeps the packet identifier that it was sent with, so that it can be sent again as the
same one when the connection, or the hub, was lost before its acknowledgement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.hub.errors import HubError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_emulators.store import SqlValue, Store

MOST_QUEUED = 50
LARGEST = 64 * 1024
"""Bytes of a message with its properties."""
LONGEST_S = 48 * 3600

_decode = msgspec.json.Decoder(dict[str, str]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One queued message. ``properties`` as a bag's: system ones by their names there (``$.mid``)."""

    id: int
    properties: Mapping[str, str]
    body: bytes
    enqueued: float
    expires: float
    deliveries: int
    packet: int | None


class Commands:
    """The queues of one hub."""

    def __init__(self, store: Store, hub: str) -> None:
        self._store = store
        self._hub = hub

    def enqueue(
        self, device: str, properties: Mapping[str, str], body: bytes, *, now: float, expires: float
    ) -> Command:
        """Raises ``HubError``: 403 for a full queue, 413 for what is too large."""
        size = len(body) + sum(len(name.encode()) + len(value.encode()) for name, value in properties.items())
        if size > LARGEST:
            raise HubError(
                413, "MessageTooLarge", f"The message takes {size} bytes; at most {LARGEST} may be sent to a device."
            )
        with self._store.transaction():
            if self.count(device) >= MOST_QUEUED:
                raise HubError(
                    403,
                    "DeviceMaximumQueueDepthExceeded",
                    f"{MOST_QUEUED} messages wait for device '{device}'; it must take some first, or they are purged.",
                )
            self._store.execute(
                "INSERT INTO iot_commands (hub, device, properties, body, enqueued, expires, deliveries)"
                " VALUES (?, ?, ?, ?, ?, ?, 0)",
                (self._hub, device, msgspec.json.encode(properties), body, now, min(expires, now + LONGEST_S)),
            )
            row = self._store.row("SELECT last_insert_rowid()")
        return Command(
            id=int(row[0] or 0) if row else 0,
            properties=properties,
            body=body,
            enqueued=now,
            expires=expires,
            deliveries=0,
            packet=None,
        )

    def count(self, device: str) -> int:
        """How many wait for a device, those on their way included."""
        row = self._store.row("SELECT count(*) FROM iot_commands WHERE hub = ? AND device = ?", (self._hub, device))
        return 0 if row is None else int(row[0] or 0)

    def waiting(self, device: str) -> Sequence[Command]:
        """All of a device, in order."""
        rows = self._store.rows(
            "SELECT id, properties, body, enqueued, expires, deliveries, packet FROM iot_commands"
            " WHERE hub = ? AND device = ? ORDER BY id",
            (self._hub, device),
        )
        return [_command(row) for row in rows]

    def overdue(self, now: float) -> Sequence[str]:
        """The devices for which messages wait that have expired."""
        rows = self._store.rows(
            "SELECT DISTINCT device FROM iot_commands WHERE hub = ? AND expires <= ?", (self._hub, now)
        )
        return [str(device) for (device,) in rows]

    def sent(self, id: int, packet: int) -> None:
        """A message is on its way, once more."""
        self._store.execute(
            "UPDATE iot_commands SET deliveries = deliveries + 1, packet = ? WHERE id = ?", (packet, id)
        )

    def remove(self, id: int) -> None:
        """A message was taken, or is given up; safe to repeat."""
        self._store.execute("DELETE FROM iot_commands WHERE id = ?", (id,))

    def purge(self, device: str) -> int:
        """Forget all of a device; returns how many."""
        return self._store.execute("DELETE FROM iot_commands WHERE hub = ? AND device = ?", (self._hub, device))


def _command(row: tuple[SqlValue, ...]) -> Command:
    id, properties, body, enqueued, expires, deliveries, packet = row
    assert isinstance(properties, bytes)
    assert isinstance(body, bytes)
    return Command(
        id=int(id or 0),
        properties=_decode(properties),
        body=body,
        enqueued=float(enqueued or 0),
        expires=float(expires or 0),
        deliveries=int(deliveries or 0),
        packet=None if packet is None else int(packet),
    )
