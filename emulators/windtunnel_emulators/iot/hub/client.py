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

from windtunnel_emulators.iot.hub import bags, topics
from windtunnel_emulators.iot.hub.errors import HubError
from windtunnel_emulators.iot.hub.topics import Feed
from windtunnel_emulators.iot.mqtt.connection import LARGEST_MESSAGE
from windtunnel_emulators.iot.mqtt.errors import ProtocolViolation
from windtunnel_emulators.iot.mqtt.packets import Publish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.iot.hub.authentication import Authenticated
    from windtunnel_emulators.iot.hub.commands import Command
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.mqtt.connection import Connection
    from windtunnel_emulators.iot.mqtt.packets import Will
    from windtunnel_emulators.jsontypes import JsonObject

_WINDOW = 10
"""Commands on their way at one time."""
_RETAINED = {"mqtt-retain": "true"}
_decode = msgspec.json.Decoder(dict[str, object]).decode
_log = logging.getLogger(__name__)


class DeviceClient:
    """One connection of one identity; implements ``mqtt.interface.Client``."""

    def __init__(self, hub: Hub, connection: Connection, shown: Authenticated, filters: dict[str, int] | None) -> None:
        """``filters`` are those of its session; None for a client that wants none kept."""
        self.who = shown.identity.who
        self.connection = connection
        self.expires = shown.expires
        self._hub = hub
        self._lasting = filters is not None
        self._filters = dict(filters or {})
        self._feeds: dict[Feed, int] = {}
        self._known = topics.feeds_of(self.who)
        self._events = topics.events_of(self.who)
        self._partition = hub.partition_of(self.who.device)
        self._sender = hub.sender(shown)
        self._packet_id = 0
        self._in_flight: dict[int, Command] = {}
        self._subscribe()

    def takes(self, feed: Feed) -> bool:
        """The client has subscribed to a feed."""
        return feed in self._feeds

    def send(self, feed: Feed, topic: str, payload: bytes) -> None:
        """Send something that is only for who is connected. Nothing happens when the client did not subscribe."""
        qos = self._feeds.get(feed)
        if qos is not None:
            self.connection.send(Publish(topic, payload, qos, self._next_id() if qos else 0))

    # What the peer does.

    def published(self, packet: Publish) -> None:
        topic = packet.topic
        if topic.startswith(self._events) and topic[len(self._events) : len(self._events) + 1] in ("", "/"):
            self._telemetry(packet, topic[len(self._events) + 1 :])
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
            self._hub.commands.remove(command.id)
            self.send_commands()

    def subscribed(self, filters: Sequence[tuple[str, int]]) -> Sequence[int]:
        unknown = [name for name, _ in filters if name not in self._known]
        if unknown:
            # A refusal by SUBACK is not noticed by clients (wire-iot, trap 6).
            raise ProtocolViolation(f"a subscription to {unknown[0][:200]!r}, which is no filter of '{self.who}'")
        granted = [min(qos, 1) for _, qos in filters]
        self._filters.update((name, qos) for (name, _), qos in zip(filters, granted, strict=True))
        self._keep()
        return granted

    def sent_suback(self) -> None:
        self._hub.arrived(self.who)
        self.send_commands()

    def unsubscribed(self, filters: Sequence[str]) -> None:
        for name in filters:
            self._filters.pop(name, None)
        self._keep()

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
        qos = self._feeds.get(Feed.COMMANDS)
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
            self._hub.commands.remove(command.id)
            return
        self._hub.commands.sent(command.id, packet_id)
        self._in_flight[packet_id] = replace(command, packet=packet_id)
        self.connection.send(Publish(topic, command.body, 1, packet_id, again))

    # Requests and telemetry.

    def _telemetry(self, packet: Publish, bag: str) -> None:
        if len(packet.payload) + len(bag) > LARGEST_MESSAGE:
            raise ProtocolViolation(f"a message of more than {LARGEST_MESSAGE} bytes with its properties")
        if packet.retain:
            bag = "&".join(filter(None, (bag.strip("/"), bags.encode(_RETAINED))))
        self._hub.messages.append(
            self._partition, self._sender, bag, packet.payload, partial(self.connection.taken, packet)
        )

    def _publish_will(self, will: Will) -> None:
        """A will to the telemetry topic is a message; IoT Hub knows no other."""
        if not will.topic.startswith(self._events):
            _log.warning("the will of '%s' is for %.200r, where nobody reads; it is dropped", self.who, will.topic)
            return
        entries = {**bags.decode(will.topic[len(self._events) + 1 :]), "iothub-MessageType": "Will"}
        self._hub.messages.append(self._partition, self._sender, bags.encode(entries), will.payload, lambda: None)

    def _request(self, topic: str, payload: bytes) -> None:
        if topic.startswith(topics.TWIN_GET):
            request = topics.request(topic, topics.TWIN_GET)
            body = msgspec.json.encode(self._hub.device_twin(self.who))
            self.send(Feed.TWIN_ANSWERS, topics.twin_answer(200, request.id), body)
        elif topic.startswith(topics.REPORTED):
            self._report(topics.request(topic, topics.REPORTED).id, payload)
        elif topic.startswith(topics.METHOD_RESULT):
            request = topics.request(topic, topics.METHOD_RESULT)
            if not request.name.lstrip("-").isdigit():
                raise ProtocolViolation(f"an answer to a method with the status {request.name[:40]!r}, no number")
            self._hub.calls.answered(self.who, request.id, int(request.name), payload)
        else:
            raise ProtocolViolation(f"a message to {topic[:200]!r}, which is no topic of an IoT hub")

    def _report(self, request_id: str, payload: bytes) -> None:
        try:
            patch: JsonObject = _decode(payload)  # type: ignore[assignment]  # an object of JSON, of any values
        except msgspec.DecodeError as problem:
            self._refuse(request_id, HubError(400, "ArgumentInvalid", f"The patch is not a JSON object: {problem}."))
            return
        try:
            version = self._hub.report(self.who, patch)
        except HubError as problem:
            self._refuse(request_id, problem)
            return
        self.send(Feed.TWIN_ANSWERS, topics.twin_answer(204, request_id, version), b"")

    def _refuse(self, request_id: str, problem: HubError) -> None:
        _log.warning("reported properties of '%s' were refused: %s", self.who, problem)
        body = msgspec.json.encode({"errorCode": problem.status * 1000 + 4, "message": problem.message})
        self.send(Feed.TWIN_ANSWERS, topics.twin_answer(problem.status, request_id), body)

    def _keep(self) -> None:
        if self._lasting:
            self._hub.sessions.save(self.who, self._filters)
        self._subscribe()

    def _subscribe(self) -> None:
        self._feeds = {}
        for name, qos in self._filters.items():
            feed = self._known.get(name)
            if feed is not None:
                self._feeds[feed] = max(qos, self._feeds.get(feed, 0))

    def _next_id(self) -> int:
        while True:
            self._packet_id = self._packet_id % 0xFFFF + 1
            if self._packet_id not in self._in_flight:
                return self._packet_id
