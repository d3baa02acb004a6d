"""The telemetry of one identity that the hub has not acknowledged: a window, in order, sent again after a reconnect.

A future that is cancelled withdraws its message: it is not sent again, and not at all if it was not sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from windtunnel_emulators.iot.mqtt.packets import Publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_FLYING = 1024
MOST_FLYING_BYTES = 2 * 1024 * 1024


class Item:
    """One message."""

    __slots__ = ("body", "done", "packet_id", "topic")

    def __init__(self, topic: str, body: bytes, done: asyncio.Future[None]) -> None:
        self.topic = topic
        self.body = body
        self.done = done
        self.packet_id = 0


class Outbox:
    """What is on its way (``flying``), and what waits for its turn."""

    def __init__(self, packet_ids: Callable[[], int]) -> None:
        """``packet_ids`` gives numbers of which none is ``in_use``."""
        self._packet_ids = packet_ids
        self._flying: dict[int, Item] = {}
        self._flying_bytes = 0
        self._waiting: deque[Item] = deque()

    @property
    def is_empty(self) -> bool:
        """Nothing is on its way, and nothing waits."""
        return not self._flying and not self._waiting

    @property
    def flying(self) -> int:
        """How many messages were sent and are not acknowledged."""
        return len(self._flying)

    def in_use(self, packet_id: int) -> bool:
        return packet_id in self._flying

    def add(self, topic: str, body: bytes) -> asyncio.Future[None]:
        """Take a message; it is sent by what ``due`` gives next."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(Item(topic, body, done))
        return done

    def due(self) -> Iterator[Publish]:
        """What may be sent now for the first time, as far as the window allows; it counts as sent."""
        while self._waiting and len(self._flying) < MOST_FLYING and self._flying_bytes < MOST_FLYING_BYTES:
            item = self._waiting.popleft()
            if item.done.done():
                continue
            item.packet_id = self._packet_ids()
            self._flying[item.packet_id] = item
            self._flying_bytes += len(item.body)
            yield Publish(item.topic, item.body, 1, item.packet_id)

    def again(self) -> Iterator[Publish]:
        """On a new connection, before ``due``: what was sent and not acknowledged, with its packet identifiers."""
        for item in list(self._flying.values()):
            if item.done.done():
                self._land(item.packet_id)
            else:
                yield Publish(item.topic, item.body, 1, item.packet_id, True)

    def acknowledged(self, packet_id: int) -> None:
        """Unknown numbers are of no effect: they are of messages that were withdrawn."""
        item = self._land(packet_id)
        if item is not None and not item.done.done():
            item.done.set_result(None)

    def fail(self, problem: Exception) -> None:
        """Give everything up."""
        items = [*self._flying.values(), *self._waiting]
        self._flying.clear()
        self._waiting.clear()
        self._flying_bytes = 0
        for item in items:
            if not item.done.done():
                item.done.set_exception(problem)
                item.done.exception()  # whoever waits for it still gets it; nobody has to

    def _land(self, packet_id: int) -> Item | None:
        item = self._flying.pop(packet_id, None)
        if item is not None:
            self._flying_bytes -= len(item.body)
        return item
