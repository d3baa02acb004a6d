"""Feedback on messages to devices, as services receive it over AMQP from ``messages/servicebound/feedback``.

Each delivery is one batch: a JSON list of records. Accepted, it is over; released, or when the connection ends, it
comes again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proton import Delivery, symbol

from windtunnel_emulators.iot.amqp.links import Outgoing
from windtunnel_emulators.iot.amqp.messages import encoded
from windtunnel_emulators.iot.hub.feedback import CONTENT_TYPE

if TYPE_CHECKING:
    from proton import Sender

    from windtunnel_emulators.iot.amqp.connection import AmqpConnection
    from windtunnel_emulators.iot.hub.feedback import Batch
    from windtunnel_emulators.iot.hub.hub import Hub

_MOST_UNSETTLED = 10


class FeedbackReceiver(Outgoing):
    """A service's receiver."""

    path = "messages/servicebound/feedback"

    def __init__(self, connection: AmqpConnection, link: Sender, hub: Hub) -> None:
        super().__init__(connection, link)
        self._hub = hub
        self._locked: set[str] = set()

    def opened(self) -> None:
        self.connection.wake()

    def pump(self) -> bool:
        while self.link.credit > 0 and len(self._locked) < _MOST_UNSETTLED:
            batch = self._hub.feedback.take(self._hub.clock.now())
            if batch is None:
                return False
            self.send(_encoded(batch, self._hub.definition.name), tag=batch.lock)
            if self._at_once:
                self._hub.feedback.complete(batch.lock)
            else:
                self._locked.add(batch.lock)
        return False

    def updated(self, delivery: Delivery) -> None:
        lock = delivery.tag
        state = delivery.remote_state
        if lock not in self._locked or not (state or delivery.settled):
            return
        self._locked.discard(lock)
        if state in (Delivery.ACCEPTED, Delivery.REJECTED):
            self._hub.feedback.complete(lock)
        else:
            self._hub.feedback.abandon(lock)
        delivery.update(state)
        delivery.settle()
        self.connection.wake()

    def closed(self) -> None:
        for lock in self._locked:
            self._hub.feedback.abandon(lock)
        self._locked.clear()


def _encoded(batch: Batch, hub: str) -> bytes:
    return encoded(
        body=batch.body,
        inferred=True,
        content_type=symbol(CONTENT_TYPE),
        user_id=hub.encode(),
        id=batch.lock,
        address="/messages/serviceBound/feedback",
        annotations={symbol("iothub-enqueuedtime"): batch.enqueued.strftime("%Y-%m-%dT%H:%M:%S.%fZ")},
    )
