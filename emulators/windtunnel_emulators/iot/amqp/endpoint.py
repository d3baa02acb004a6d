"""Everything of one hub that is reached by AMQP: what is at which address, and who is connected."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from proton import Link, Receiver, Sender

from windtunnel_emulators.iot.amqp.addresses import Kind, parse
from windtunnel_emulators.iot.amqp.connection import GONE, AmqpConnection
from windtunnel_emulators.iot.amqp.consumers import Consumers
from windtunnel_emulators.iot.amqp.devicebound import Devicebound
from windtunnel_emulators.iot.amqp.errors import INVALID_FIELD, NOT_ALLOWED, REDIRECT, AmqpRefusal
from windtunnel_emulators.iot.amqp.feedback import FeedbackReceiver
from windtunnel_emulators.iot.amqp.grants import Grants
from windtunnel_emulators.iot.amqp.receivers import EventReceiver
from windtunnel_emulators.iot.amqp.requests import Answers, Management, Requests, put_token

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.iot.amqp.addresses import Address
    from windtunnel_emulators.iot.amqp.links import Node
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.service.access import Access

AMQPS_PORT = 5671
_CHECK_S = 1.0
_log = logging.getLogger(__name__)


class Endpoint:
    """One per hub, from the first connection on."""

    def __init__(self, hub: Hub, access: Access) -> None:
        self.name = hub.definition.name
        self.clock: Clock = hub.clock
        self._hub = hub
        self._access = access
        self._events = hub.definition.events_name
        self._management = Management(hub, self._events)
        self.consumers = Consumers()
        self.connections: set[AmqpConnection] = set()
        self._endings = (hub.messages.listen(self._wake), hub.feedback.listen(self._wake))

    def connection(self) -> AmqpConnection:
        """A new one, for a socket."""
        return AmqpConnection(self)

    def new_grants(self) -> Grants:
        return Grants(self._hub, self._access)

    def opened(self, connection: AmqpConnection) -> None:
        self.connections.add(connection)

    def closed(self, connection: AmqpConnection) -> None:
        self.connections.discard(connection)

    async def run(self) -> None:
        """Look after connections, until cancelled."""
        while True:
            await self.clock.sleep(_CHECK_S)
            for connection in list(self.connections):
                connection.check()

    def stop(self) -> None:
        """End all connections."""
        for ending in self._endings:
            ending()
        for connection in list(self.connections):
            connection.end(GONE)

    def abort(self) -> None:
        """Drop the connections that did not end."""
        for connection in list(self.connections):
            connection.abort()

    def attach(self, connection: AmqpConnection, link: Link) -> Node:
        """What a client's link leads to. Raises ``AmqpRefusal``."""
        text = link.remote_source.address if link.is_sender else link.remote_target.address
        if not text:
            raise AmqpRefusal(INVALID_FIELD, "The link names no address. Nothing is made on demand here.")
        address = parse(text, self._events)
        if isinstance(link, Sender):
            return self._receiver(connection, link, address)
        assert isinstance(link, Receiver)
        return self._sender(connection, link, address)

    def _receiver(self, connection: AmqpConnection, link: Sender, address: Address) -> Node:
        if address.kind is Kind.CBS:
            return Answers(connection, link)
        if address.kind is Kind.MANAGEMENT:
            connection.grants.check_any()
            return Answers(connection, link)
        connection.grants.check(address.path)
        if address.kind is Kind.EVENTS:
            return EventReceiver(connection, link, hub=self._hub, address=address, consumers=self.consumers)
        if address.kind is Kind.EVENTS_ELSEWHERE:
            raise self._redirection(address)
        if address.kind is Kind.FEEDBACK:
            return FeedbackReceiver(connection, link, self._hub)
        raise AmqpRefusal(NOT_ALLOWED, f"Nothing can be received from '{address.path[:200]}'.")

    def _sender(self, connection: AmqpConnection, link: Receiver, address: Address) -> Node:
        if address.kind is Kind.CBS:
            return Requests(connection, link, put_token)
        if address.kind is Kind.MANAGEMENT:
            connection.grants.check_any()
            return Requests(connection, link, self._management)
        connection.grants.check(address.path)
        if address.kind is Kind.COMMANDS:
            return Devicebound(connection, link, self._hub)
        if address.kind is Kind.EVENTS_ELSEWHERE:
            raise self._redirection(address)
        raise AmqpRefusal(
            NOT_ALLOWED,
            f"Nothing can be sent to '{address.path[:200]}': messages come from devices alone. Send as a device does.",
        )

    def _redirection(self, address: Address) -> AmqpRefusal:
        host = self._hub.definition.address
        path = "/".join(filter(None, (self._events, address.tail)))
        return AmqpRefusal(
            REDIRECT,
            f"The events of the hub are at '{path}'.",
            {
                "hostname": host,
                "network-host": host,
                "port": AMQPS_PORT,
                "address": f"amqps://{host}:{AMQPS_PORT}/{path}",
            },
        )

    def _wake(self) -> None:
        for connection in self.connections:
            connection.wake()
