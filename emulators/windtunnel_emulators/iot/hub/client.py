"""A connected device or module, as its hub sees it: what it publishes, and what it is sent.

Commands (cloud-to-device messages) are sent one after the other up to a window, and again, marked as duplicates, when
the connection was lost before their acknowledgement. Patches and method calls are for who is connected, as on Azure.
"""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.hub import publications, topics
from windtunnel_emulators.iot.hub.errors import HubError
from windtunnel_emulators.iot.hub.feedback import Outcome
from windtunnel_emulators.iot.hub.publications import MethodAnswer, Report
from windtunnel_emulators.iot.hub.subscriptions import Subscriptions
from windtunnel_emulators.iot.hub.topics import Feed
from windtunnel_emulators.iot.mqtt.errors import ProtocolViolation
from windtunnel_emulators.iot.mqtt.packets import Publish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.iot.hub.authentication import Authenticated
    from windtunnel_emulators.iot.hub.commands import Command
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.mqtt.connection import Connection
    from windtunnel_emulators.iot.mqtt.packets import Will

_WINDOW = 10
"""Commands on their way at one time."""
_log = logging.getLogger(__name__)


class DeviceClient:
    """One connection of one identity; implements ``mqtt.interface.Client``."""

    def __init__(self, hub: Hub, connection: Connection, shown: Authenticated, filters: dict[str, int] | None) -> None:
        """``filters`` are those of its session; None for a client that wants none kept."""
        self.who = shown.identity.who
        self.connection = connection
        self.expires = shown.expires
        self._hub = hub
        self._subscriptions = Subscriptions(self.who, filters, hub.sessions.save)
        self._events = topics.events_of(self.who)
        self._partition = hub.partition_of(self.who.device)
        self._sender = hub.sender(shown)
        self._packet_id = 0
        self._in_flight: dict[int, Command] = {}

    def takes(self, feed: Feed) -> bool:
        """The client has subscribed to a feed."""
        return self._subscriptions.qos(feed) is not None

    def send(self, feed: Feed, topic: str, payload: bytes) -> None:
        """Send something that is only for who is connected. Nothing happens when the client did not subscribe."""
        qos = self._subscriptions.qos(feed)
        if qos is not None:
            self.connection.send(Publish(topic, payload, qos, self._next_id() if qos else 0))

    # What the peer does.

    def published(self, packet: Publish) -> None:
        topic = packet.topic
        if publications.is_telemetry(topic, self._events):
            self._telemetry(packet, publications.telemetry_bag(packet, self._events))
        elif topic.startswith("$iothub/"):
            try:
                self._request(topic, packet.payload)
            except (HubError, RecursionError, sqlite3.Error, OSError) as problem:
                # It is gone, or nothing can be written: not acknowledged, so that the client asks again.
                raise ProtocolViolation(f"its request to {topic[:100]!r} failed: {problem}") from problem
            self.connection.taken(packet)
        else:
            raise ProtocolViolation(f"a message to {topic[:200]!r}, which is no topic of '{self.who}'")

    def acknowledged(self, packet_id: int) -> None:
        command = self._in_flight.pop(packet_id, None)
        if command is not None:
            self._hub.settle_command(self.who.device, command, Outcome.SUCCESS)
            self.send_commands()

    def subscribed(self, filters: Sequence[tuple[str, int]]) -> Sequence[int]:
        return self._subscriptions.add(filters)

    def sent_suback(self) -> None:
        self._hub.arrived(self.who)
        self.send_commands()

    def unsubscribed(self, filters: Sequence[str]) -> None:
        self._subscriptions.remove(filters)

    def closed(self, will: Will | None) -> None:
        self._hub.left(self)
        if will is not None:
            self._publish_will(will)

    # Commands.

    def resume(self) -> None:
        """After CONNACK: what was on its way when an earlier connection was lost comes first."""
        self._hub.arrived(self.who)
        self.send_commands()

    def send_commands(self) -> None:
        """Send what waits, as far as the window allows."""
        qos = self._subscriptions.qos(Feed.COMMANDS)
        if qos is None or not self.connection.is_open or len(self._in_flight) >= _WINDOW:
            return
        on_their_way = {command.id for command in self._in_flight.values()}
        for command in self._hub.waiting_commands(self.who.device):
            if command.id in on_their_way:
                continue
            if len(self._in_flight) >= _WINDOW:
                return
            self._send_command(command, qos)

    def _send_command(self, command: Command, qos: int) -> None:
        again = command.packet is not None
        packet_id = command.packet if command.packet not in self._in_flight else None
        packet_id = packet_id or self._next_id()
        topic = topics.command(self.who.device, command.properties)
        if not qos:
            # Nobody will say that it arrived: as on Azure, it counts as taken.
            self.connection.send(Publish(topic, command.body))
            self._hub.settle_command(self.who.device, command, Outcome.SUCCESS)
            return
        self._hub.commands.sent(command.id, packet_id)
        self._in_flight[packet_id] = replace(command, packet=packet_id)
        self.connection.send(Publish(topic, command.body, 1, packet_id, again))

    # Requests and telemetry.

    def _telemetry(self, packet: Publish, bag: str) -> None:
        self._hub.messages.append(
            self._partition, self._sender, bag, packet.payload, partial(self.connection.taken, packet)
        )

    def _publish_will(self, will: Will) -> None:
        bag = publications.will_bag(will, self._events)
        if bag is None:
            _log.warning("the will of '%s' is for %.200r, where nobody reads; it is dropped", self.who, will.topic)
            return
        self._hub.messages.append(self._partition, self._sender, bag, will.payload, lambda: None)

    def _request(self, topic: str, payload: bytes) -> None:
        request = publications.request(topic, payload)
        if isinstance(request, Report):
            self._report(request)
        elif isinstance(request, MethodAnswer):
            self._hub.calls.answered(self.who, request.id, request.status, request.payload)
        else:
            body = msgspec.json.encode(self._hub.device_twin(self.who))
            self.send(Feed.TWIN_ANSWERS, topics.twin_answer(200, request.id), body)

    def _report(self, request: Report) -> None:
        try:
            version = self._hub.report(self.who, request.patch())
        except HubError as problem:
            _log.warning("reported properties of '%s' were refused: %s", self.who, problem)
            answer = topics.twin_answer(problem.status, request.id)
            self.send(Feed.TWIN_ANSWERS, answer, publications.refusal(problem))
            return
        self.send(Feed.TWIN_ANSWERS, topics.twin_answer(204, request.id, version), b"")

    def _next_id(self) -> int:
        while True:
            self._packet_id = self._packet_id % 0xFFFF + 1
            if self._packet_id not in self._in_flight:
                return self._packet_id
