"""What an edge device's queues hold, on disk: messages once, and per endpoint and priority which are still needed.

A queue is known by its number; an entry's ``place`` is that number times 2^48 plus the message's, so that the entries
of a queue are one after the other, in order. Entries go with the head of their queue; a message goes with its last
entry.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from windtunnel_emulators.edge.interface import Kind, Message
from windtunnel_emulators.groupcommit import GroupCommit
from windtunnel_emulators.iot.hub.identity import Who

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from windtunnel_emulators.edge.interface import Target

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS queues (
        id INTEGER PRIMARY KEY, endpoint TEXT NOT NULL, priority INTEGER NOT NULL, UNIQUE (endpoint, priority));
    CREATE TABLE IF NOT EXISTS messages (
        id INTEGER PRIMARY KEY, device TEXT NOT NULL, module TEXT NOT NULL, output TEXT, kind TEXT NOT NULL,
        bag TEXT NOT NULL, enqueued REAL NOT NULL, body BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS entries (place INTEGER PRIMARY KEY, expires REAL, copies INTEGER NOT NULL)
"""
_QUEUE = 1 << 48
_FOLD = 4 * 1024 * 1024
"""Small, because who writes waits while the log is folded into the file; most of it is deleted again by then."""
_KINDS = {kind.value: kind for kind in Kind}


class Entry(NamedTuple):
    """One message in one queue."""

    id: int
    expires: float | None
    """Seconds since 1970; None where its route sets no time to live."""
    message: Message


class Queue:
    """One endpoint's messages of one priority."""

    __slots__ = ("after", "depth", "endpoint", "id", "priority")

    def __init__(self, number: int, endpoint: str, priority: int) -> None:
        self.id = number
        self.endpoint = endpoint
        self.priority = priority
        self.depth = 0
        """Messages in the file that are not done with."""
        self.after = 0
        """All messages up to this one are done with, whether their entries are gone from the file yet or not."""


class QueueStore:
    """The file. Implements ``groupcommit.Writer``."""

    def __init__(self, file: Path, filled: Callable[[Iterable[Queue]], None]) -> None:
        """Opens or makes the file; ``filled`` is told of queues that have more. Raises ``sqlite3.Error``."""
        self.commits = GroupCommit(
            file, _SCHEMA, self, what="messages on the device", thread="edge-queues", fold=_FOLD, eager=True
        )
        self._db = self.commits.connection
        self._filled = filled
        self.queues: dict[tuple[str, int], Queue] = {}
        self._copies: dict[int, int] = {}
        """Of messages that more than one queue needs: how many still do."""
        self._next = 1
        self._rows: list[tuple[int, str, str, str | None, str, str, float, bytes]] = []
        self._entries: list[tuple[int, float | None, int]] = []
        self._grown: dict[Queue, int] = {}
        self._made: list[Queue] = []
        self._shrunk: set[Queue] = set()
        self._unneeded: list[int] = []
        self.lost = 0
        """Messages that could not be stored since the file was opened. Nobody was told that they were."""
        self._load()

    def append(self, message: Message, targets: Sequence[Target], taken: Callable[[], None]) -> None:
        """Store a message soon, for at least one target."""
        number = self._next
        self._next = number + 1
        sender = message.sender
        self._rows.append(
            (
                number,
                sender.device,
                sender.module,
                message.output,
                message.kind.value,
                message.bag,
                message.enqueued,
                message.body,
            )
        )
        copies = len(targets)
        for target in targets:
            queue = self.queue(target.endpoint, target.priority)
            expires = None if target.ttl is None else message.enqueued + target.ttl
            self._entries.append((queue.id * _QUEUE + number, expires, copies))
            self._grown[queue] = self._grown.get(queue, 0) + 1
        self.commits.gathered(len(message.body) + len(message.bag) + 64 * (1 + copies), taken)

    def queue(self, endpoint: str, priority: int) -> Queue:
        """The queue of an endpoint and priority, made when it is not there."""
        key = endpoint, priority
        known = self.queues.get(key)
        if known is None:
            known = self.queues[key] = Queue(len(self.queues) + 1, endpoint, priority)
            self._made.append(known)
        return known

    def read(self, queue: Queue, most: int) -> list[Entry]:
        """The first messages of a queue that are not done with."""
        rows = self._db.execute(
            # The order of the tables is a promise to SQLite: by place, and each message by its number.
            "SELECT messages.id, expires, device, module, output, kind, bag, body, enqueued FROM entries"
            " CROSS JOIN messages WHERE place > ? AND place < ? AND messages.id = place - ? ORDER BY place LIMIT ?",
            (queue.id * _QUEUE + queue.after, (queue.id + 1) * _QUEUE, queue.id * _QUEUE, most),
        ).fetchall()
        return [
            Entry(
                number,
                expires,
                Message(
                    sender=Who(device, module), output=output, kind=_KINDS[kind], bag=bag, body=body, enqueued=enqueued
                ),
            )
            for number, expires, device, module, output, kind, bag, body, enqueued in rows
        ]

    def done(self, queue: Queue, numbers: Sequence[int]) -> None:
        """The first messages of a queue, these, are done with. Their entries go with one of the next transactions."""
        if not numbers:
            return
        queue.after = numbers[-1]
        queue.depth -= len(numbers)
        self._shrunk.add(queue)
        copies = self._copies
        if not copies:
            self._unneeded += numbers
            return
        for number in numbers:
            left = copies.get(number)
            if left is None:
                self._unneeded.append(number)
            elif left == 2:
                del copies[number]
            else:
                copies[number] = left - 1

    def write_done(self) -> None:
        """Write soon what is done with."""
        if self._shrunk:
            self.commits.gathered(16 * len(self._unneeded))

    async def close(self) -> None:
        """Store what is left; safe to call twice."""
        self.write_done()
        await self.commits.close()

    def write(self) -> None:
        """Of ``Writer``."""
        many = self._db.executemany
        if self._made:
            many(
                "INSERT INTO queues VALUES (?, ?, ?)", [(made.id, made.endpoint, made.priority) for made in self._made]
            )
        if self._rows:
            many("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)", self._rows)
            many("INSERT INTO entries VALUES (?, ?, ?)", self._entries)
        if self._shrunk:
            many(
                "DELETE FROM entries WHERE place > ? AND place <= ?",
                [(queue.id * _QUEUE, queue.id * _QUEUE + queue.after) for queue in self._shrunk],
            )
            many("DELETE FROM messages WHERE id BETWEEN ? AND ?", _runs(self._unneeded))

    def written(self) -> None:
        """Of ``Writer``."""
        for place, _, copies in self._entries:
            if copies > 1:
                self._copies[place % _QUEUE] = copies
        for queue, count in self._grown.items():
            queue.depth += count
        grown = tuple(self._grown)
        self._made = []
        self._shrunk.clear()
        self._unneeded = []
        self._forget()
        if grown:
            self._filled(grown)

    def unwritten(self) -> None:
        """Of ``Writer``. New messages are lost, and nobody was told otherwise; what is done with is written later."""
        self.lost += len(self._rows)
        self._forget()

    def safe(self) -> None:
        """Of ``Writer``."""

    def _forget(self) -> None:
        self._rows = []
        self._entries = []
        self._grown = {}

    def _load(self) -> None:
        by_number: dict[int, Queue] = {}
        for number, endpoint, priority in self._db.execute("SELECT id, endpoint, priority FROM queues"):
            by_number[number] = self.queues[endpoint, priority] = Queue(number, endpoint, priority)
        for number, depth in self._db.execute("SELECT place / ?, count(*) FROM entries GROUP BY 1", (_QUEUE,)):
            by_number[number].depth = depth
        self._copies = dict(
            self._db.execute(
                "SELECT place % ?, count(*) FROM entries WHERE copies > 1 GROUP BY 1", (_QUEUE,)
            ).fetchall()
        )
        self._copies = {number: copies for number, copies in self._copies.items() if copies > 1}
        self._next = 1 + int(self._db.execute("SELECT ifnull(max(id), 0) FROM messages").fetchone()[0])


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as ranges from the first to the last one, both included."""
    ranges: list[tuple[int, int]] = []
    for _, run in groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0]):
        members = list(run)
        ranges.append((members[0][1], members[-1][1]))
    return ranges
