"""A client's receiver of events: one partition of the built-in endpoint, from a position on, as far as there is credit.

Few events are read at a time, so that no connection keeps the others waiting.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from proton import symbol

from windtunnel_emulators.iot.amqp.errors import ARGUMENT, INTERNAL, NOT_FOUND, OUT_OF_RANGE, AmqpRefusal
from windtunnel_emulators.iot.amqp.events import encoded
from windtunnel_emulators.iot.amqp.links import Outgoing
from windtunnel_emulators.iot.amqp.positions import FILTER, first_sequence
from windtunnel_emulators.iot.amqp.requests import no_partition, partition_number

if TYPE_CHECKING:
    from proton import Sender

    from windtunnel_emulators.iot.amqp.addresses import Address
    from windtunnel_emulators.iot.amqp.connection import AmqpConnection
    from windtunnel_emulators.iot.amqp.consumers import Consumers
    from windtunnel_emulators.iot.hub.hub import Hub

EPOCH = "com.microsoft:epoch"
_BATCH = 64
_MOST_UNSENT = 1024 * 1024
"""Bytes in Proton that the client's window does not let out yet."""


class EventReceiver(Outgoing):
    """One receiver."""

    def __init__(
        self, connection: AmqpConnection, link: Sender, *, hub: Hub, address: Address, consumers: Consumers
    ) -> None:
        """Raises ``AmqpRefusal``."""
        super().__init__(connection, link)
        definition = hub.definition
        if address.group.lower() not in (one.lower() for one in definition.consumer_groups()):
            raise AmqpRefusal(
                NOT_FOUND,
                f"The messaging entity '{address.path[:200]}' could not be found: the hub has no consumer group"
                f" '{address.group[:80]}'.",
            )
        partition = partition_number(address.partition, definition.partitions)
        if partition is None:
            raise AmqpRefusal(OUT_OF_RANGE, no_partition(address.partition, definition.partitions))
        self.path = address.path
        self.level = _epoch(link)
        self.name = str(link.name)
        self._group = address.group
        self._partition = partition
        self._consumers = consumers
        self._log = hub.messages
        try:
            self._next = first_sequence(_selector(link), self._log, partition)
        except sqlite3.Error as problem:
            raise AmqpRefusal(INTERNAL, f"The messages cannot be read: {problem}.") from problem
        consumers.add(self._group, partition, self)

    def opened(self) -> None:
        self.connection.wake()

    def pump(self) -> bool:
        credit = self.link.credit
        if credit <= 0 or self.link.session.outgoing_bytes > _MOST_UNSENT:
            return False
        most = min(credit, _BATCH)
        try:
            messages = self._log.read(self._partition, self._next, most)
        except sqlite3.Error as problem:
            raise AmqpRefusal(INTERNAL, f"The messages cannot be read: {problem}.") from problem
        for message in messages:
            self.send(encoded(message))
            self._next = message.sequence + 1
        if len(messages) < most:
            self.link.drained()  # of no effect unless the client asks for it
            return False
        return credit > most

    def end(self, why: AmqpRefusal) -> None:
        self.connection.refuse(self.link, why)
        self.connection.work()

    def closed(self) -> None:
        self._consumers.remove(self._group, self._partition, self)


def _epoch(link: Sender) -> int | None:
    properties: Any = link.remote_properties
    value: object = properties.get(symbol(EPOCH)) if hasattr(properties, "get") else None
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise AmqpRefusal(ARGUMENT, f"The epoch {str(value)[:40]!r} is no number from 0 on.")
    return int(value)


def _selector(link: Sender) -> str | None:
    """The filter that a client attaches with, described as the standard wants it or plain."""
    data: Any = link.remote_source.filter
    data.rewind()
    if data.next() is None:
        return None
    filters: Any = data.get_object()
    value: Any = filters.get(symbol(FILTER)) if hasattr(filters, "get") else None
    value = getattr(value, "value", value)
    if value is None:
        return None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
