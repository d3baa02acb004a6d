"""Messages from devices, per partition, in a file of their own: acknowledged once they are on the disk.

Bags are kept as they came and taken apart by who reads them. How the file is written: ``groupcommit``.

Offsets count bytes, as Event Hubs' do; sequence numbers count messages; both go on through restarts and retention.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.groupcommit import GroupCommit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from windtunnel_emulators.clock import Clock

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS senders (
        id INTEGER PRIMARY KEY, device TEXT NOT NULL, module TEXT NOT NULL, generation TEXT NOT NULL,
        method TEXT NOT NULL, UNIQUE (device, module, generation, method));
    CREATE TABLE IF NOT EXISTS partitions (
        id INTEGER PRIMARY KEY, next_sequence INTEGER NOT NULL, next_offset INTEGER NOT NULL,
        last_offset INTEGER NOT NULL, last_enqueued INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS messages (
        place INTEGER PRIMARY KEY, offset INTEGER NOT NULL, enqueued INTEGER NOT NULL, sender INTEGER NOT NULL,
        bag TEXT NOT NULL, body BLOB NOT NULL)
"""
_PARTITION = 1 << 48
"""``place`` is the partition times this, plus the sequence number."""


class Sender(msgspec.Struct, frozen=True):
    """Who sent a message, and how it had shown who it is."""

    device: str
    module: str
    generation: str
    method: str
    """JSON, as IoT Hub puts it into ``iothub-connection-auth-method``."""


class Message(msgspec.Struct, frozen=True):
    """One stored message. ``bags.decode`` tells its properties."""

    partition: int
    sequence: int
    offset: int
    enqueued: int
    """Milliseconds since 1970."""
    sender: Sender
    bag: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionState:
    """What Event Hubs tells of a partition. Sequence numbers and offsets are -1 while nothing was ever stored."""

    first_sequence: int
    last_sequence: int
    last_offset: int
    last_enqueued: int
    is_empty: bool


class _Partition:
    __slots__ = ("last_enqueued", "last_offset", "next_offset", "next_sequence")

    def __init__(self, next_sequence: int, next_offset: int, last_offset: int, last_enqueued: int) -> None:
        self.next_sequence = next_sequence
        self.next_offset = next_offset
        self.last_offset = last_offset
        self.last_enqueued = last_enqueued


class MessageLog:
    """The messages of one hub."""

    def __init__(self, file: Path, partitions: int, clock: Clock) -> None:
        """Opens or makes the file. Raises ``sqlite3.Error``."""
        self.partitions = partitions
        self._clock = clock
        self._commits = GroupCommit(file, _SCHEMA, self, what="messages of devices", thread="iot-messages")
        self._connection = self._commits.connection
        self._states = self._read_states()
        self._senders: dict[Sender, int] = {}
        self._rows: list[tuple[int, int, int, int, str, bytes]] = []
        self._listeners: set[Callable[[], None]] = set()

    def on_failure(self, call: Callable[[str], None]) -> None:
        """``call`` is told why messages could not be stored; they are not acknowledged."""
        self._commits.on_failure(call)

    def sender(self, sender: Sender) -> int:
        """The number under which a sender is kept, for ``append``."""
        known = self._senders.get(sender)
        if known is None:
            fields = (sender.device, sender.module, sender.generation, sender.method)
            self._connection.execute(
                "INSERT OR IGNORE INTO senders (device, module, generation, method) VALUES (?, ?, ?, ?)", fields
            )
            row = self._connection.execute(
                "SELECT id FROM senders WHERE device = ? AND module = ? AND generation = ? AND method = ?", fields
            ).fetchone()
            known = self._senders[sender] = int(row[0])
        return known

    def append(self, partition: int, sender: int, bag: str, body: bytes, taken: Callable[[], None]) -> None:
        """Store a message soon; ``taken`` is called once it is safe. Nobody reads it before."""
        state = self._states[partition]
        # Never earlier than the message before, whatever the machine's clock does: times are searched by halves.
        now = max(state.last_enqueued, int(self._clock.now().timestamp() * 1000))
        self._rows.append((partition * _PARTITION + state.next_sequence, state.next_offset, now, sender, bag, body))
        state.next_sequence += 1
        state.last_offset = state.next_offset
        # As Event Hubs counts: a frame around each event, padded to eight bytes.
        size = (len(body) + len(bag) + 71) & ~7
        state.next_offset += size
        state.last_enqueued = now
        self._commits.gathered(size, taken)

    def state(self, partition: int) -> PartitionState:
        """What was stored; messages that are not yet safe count too."""
        state = self._states[partition]
        start = partition * _PARTITION
        row = self._connection.execute(
            "SELECT min(place) FROM messages WHERE place >= ? AND place < ?", (start, start + _PARTITION)
        ).fetchone()
        empty = row[0] is None
        return PartitionState(
            first_sequence=state.next_sequence if empty else int(row[0]) - start,
            last_sequence=state.next_sequence - 1,
            last_offset=state.last_offset,
            last_enqueued=state.last_enqueued,
            is_empty=empty,
        )

    def read(self, partition: int, from_sequence: int, most: int) -> Sequence[Message]:
        """Messages in order, beginning with a sequence number or the first one behind it."""
        start = partition * _PARTITION
        rows = self._connection.execute(
            "SELECT place, offset, enqueued, device, module, generation, method, bag, body FROM messages"
            " JOIN senders ON senders.id = messages.sender WHERE place >= ? AND place < ? ORDER BY place LIMIT ?",
            (start + max(0, from_sequence), start + _PARTITION, most),
        )
        return [
            Message(partition, place - start, offset, enqueued, Sender(device, module, generation, method), bag, body)
            for place, offset, enqueued, device, module, generation, method, bag, body in rows
        ]

    def sequence_after_offset(self, partition: int, offset: int) -> int:
        """The first sequence number behind an offset."""
        return self._first(partition, "offset > ?", offset)

    def sequence_since(self, partition: int, moment: datetime) -> int:
        """The first sequence number that was enqueued at a moment or later."""
        return self._first(partition, "enqueued >= ?", int(moment.timestamp() * 1000))

    def listen(self, call: Callable[[], None]) -> Callable[[], None]:
        """``call`` is called whenever messages have become readable; what is returned ends that."""
        self._listeners.add(call)
        return lambda: self._listeners.discard(call)

    def expire(self, before: datetime) -> int:
        """Forget messages that were enqueued before a moment; returns how many."""
        limit, gone = int(before.timestamp() * 1000), 0
        for partition in range(self.partitions):
            start = partition * _PARTITION
            first = self._first(partition, "enqueued >= ?", limit)
            gone += self._connection.execute(
                "DELETE FROM messages WHERE place >= ? AND place < ?", (start, start + first)
            ).rowcount
        return gone

    async def close(self) -> None:
        """Store what is left and let go of the file; safe to call twice."""
        await self._commits.close()

    def _read_states(self) -> list[_Partition]:
        stored = {
            row[0]: _Partition(*row[1:])
            for row in self._connection.execute(
                "SELECT id, next_sequence, next_offset, last_offset, last_enqueued FROM partitions"
            )
        }
        return [stored.get(number) or _Partition(0, 0, -1, 0) for number in range(self.partitions)]

    def write(self) -> None:
        """Of ``groupcommit.Writer``."""
        self._connection.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)", self._rows)
        self._connection.executemany(
            "INSERT OR REPLACE INTO partitions VALUES (?, ?, ?, ?, ?)",
            [
                (number, state.next_sequence, state.next_offset, state.last_offset, state.last_enqueued)
                for number, state in enumerate(self._states)
            ],
        )

    def written(self) -> None:
        """Of ``groupcommit.Writer``."""
        self._rows = []

    unwritten = written

    def safe(self) -> None:
        """Of ``groupcommit.Writer``."""
        for call in tuple(self._listeners):
            call()

    def _first(self, partition: int, condition: str, value: int) -> int:
        """The first sequence number for which a condition holds that holds for all behind it: a search by halves."""
        start = partition * _PARTITION
        state = self.state(partition)
        low, high = state.first_sequence, state.last_sequence + 1
        while low < high:
            middle = (low + high) // 2
            row = self._connection.execute(
                f"SELECT {condition} FROM messages WHERE place = ?",  # noqa: S608
                (value, start + middle),
            ).fetchone()
            if row is None or row[0]:
                high = middle
            else:
                low = middle + 1
        return low
