"""What a link of a client leads to: the base of all that a hub has at its addresses, and sending to a client.

Proton's wrappers are made anew at every event, and are equal where they are of one thing; nothing is kept on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proton import Condition, symbol

if TYPE_CHECKING:
    from proton import Delivery, Link, Receiver, Sender

    from windtunnel_emulators.iot.amqp.connection import AmqpConnection
    from windtunnel_emulators.iot.amqp.errors import AmqpRefusal

SETTLED, MIXED = 1, 2
"""Ways in which a client's receiver wants deliveries settled."""


class Node:
    """The hub's end of one link."""

    path: str | None = None
    """For which the client needs a grant as long as the link is there; None for none."""

    def __init__(self, connection: AmqpConnection, link: Link) -> None:
        self.connection = connection
        self.link = link

    def check(self) -> None:
        """Raises ``AmqpRefusal`` when the client's grant is gone."""
        if self.path is not None:
            self.connection.grants.check(self.path)

    def opened(self) -> None:
        """The link is open on both sides."""

    def pump(self) -> bool:
        """Send what there is; True when there may be more that can be sent."""
        return False

    def updated(self, delivery: Delivery) -> None:
        """The client has said what became of something that was sent."""
        if delivery.settled:
            delivery.settle()

    def delivered(self, delivery: Delivery, data: bytes) -> None:
        """The client has sent something, whole. Raises ``AmqpRefusal``: then it is rejected."""
        raise NotImplementedError

    def closed(self) -> None:
        """The link is gone; called once."""


class Outgoing(Node):
    """A link that the client receives on."""

    link: Sender

    def __init__(self, connection: AmqpConnection, link: Sender) -> None:
        super().__init__(connection, link)
        link.snd_settle_mode = SETTLED if link.remote_snd_settle_mode in (SETTLED, MIXED) else 0
        self._at_once = link.remote_snd_settle_mode in (SETTLED, MIXED)
        self._tag = 0

    def send(self, data: bytes, tag: str | None = None) -> None:
        """Send one message. There must be credit."""
        self._tag += 1
        delivery = self.link.delivery(tag or str(self._tag))
        self.link.stream(data)
        self.link.advance()
        if self._at_once:
            delivery.settle()


class Incoming(Node):
    """A link that the client sends on. Credit is given back with each message."""

    link: Receiver
    CREDIT = 100

    def opened(self) -> None:
        self.link.flow(self.CREDIT)


def condition_of(refusal: AmqpRefusal) -> Condition:
    """A refusal as Proton sends it."""
    info: Any = None if refusal.info is None else {symbol(name): value for name, value in refusal.info.items()}
    return Condition(refusal.condition, refusal.message, info)
