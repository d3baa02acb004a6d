"""A module or child device that is connected to its edge device's hub: what it publishes, and what it is sent."""

from __future__ import annotations

import logging
import sqlite3
from functools import partial
from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub import publications, topics
from windtunnel_emulators.iot.hub.errors import HubError
from windtunnel_emulators.iot.hub.publications import MethodAnswer, Report
from windtunnel_emulators.iot.hub.subscriptions import Subscriptions
from windtunnel_emulators.iot.hub.topics import Feed
from windtunnel_emulators.iot.mqtt.errors import ProtocolViolation
from windtunnel_emulators.iot.mqtt.packets import Publish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windtunnel_emulators.edge.hub.hub import EdgeHub
    from windtunnel_emulators.iot.hub.authentication import Authenticated, Shown
    from windtunnel_emulators.iot.hub.usernames import Username
    from windtunnel_emulators.iot.mqtt.connection import Connection
    from windtunnel_emulators.iot.mqtt.packets import Will

_log = logging.getLogger(__name__)


class LocalClient:
    """One connection of one identity; implements ``mqtt.interface.Client``."""

    def __init__(
        self,
        hub: EdgeHub,
        connection: Connection,
        said: tuple[Username, Shown],
        known: Authenticated,
        filters: dict[str, int] | None,
    ) -> None:
        """``said`` is what it has shown, which is looked at again when identities change."""
        self.who = known.identity.who
        self.connection = connection
        self.expires = known.expires
        self.said = said
        self._hub = hub
        self._subscriptions = Subscriptions(self.who, filters, hub.sessions.save)
        self._events = topics.events_of(self.who)
        self._packet_id = 0
        self._in_flight: dict[int, Callable[[bool], None]] = {}

    @property
    def feeds(self) -> frozenset[Feed]:
        return self._subscriptions.feeds

    def takes(self, feed: Feed) -> bool:
        """The client has subscribed to a feed."""
        return self._subscriptions.qos(feed) is not None

    def send(self, feed: Feed, topic: str, payload: bytes) -> None:
        """Send something that is only for who is connected. Nothing happens when the client did not subscribe."""
        self.deliver(feed, topic, payload, _nobody_asks)

    def deliver(
        self, feed: Feed, topic: str, payload: bytes, done: Callable[[bool], None], *, again: bool = False
    ) -> None:
        """Send something; ``done`` is told, once, whether the client has it. With quality of service 0 nobody can know.

        ``again`` marks what it may have been sent before.
        """
        qos = self._subscriptions.qos(feed)
        if qos is None or not self.connection.is_open:
            done(False)
        elif not qos:
            self.connection.send(Publish(topic, payload))
            done(True)
        else:
            packet_id = self._next_id()
            self._in_flight[packet_id] = done
            self.connection.send(Publish(topic, payload, 1, packet_id, again))

    # What the peer does.

    def published(self, packet: Publish) -> None:
        topic = packet.topic
        if publications.is_telemetry(topic, self._events):
            bag = publications.telemetry_bag(packet, self._events)
            self._hub.intake.telemetry(self.who, bag, packet.payload, partial(self.connection.taken, packet))
        elif topic.startswith("$iothub/"):
            try:
                self._request(topic, packet.payload)
            except (HubError, RecursionError, sqlite3.Error, OSError) as problem:
                # Nothing can be written: not acknowledged, so that the client asks again.
                raise ProtocolViolation(f"its request to {topic[:100]!r} failed: {problem}") from problem
            self.connection.taken(packet)
        else:
            raise ProtocolViolation(f"a message to {topic[:200]!r}, which is no topic of '{self.who}'")

    def acknowledged(self, packet_id: int) -> None:
        done = self._in_flight.pop(packet_id, None)
        if done is not None:
            done(True)

    def subscribed(self, filters: Sequence[tuple[str, int]]) -> Sequence[int]:
        return self._subscriptions.add(filters)

    def sent_suback(self) -> None:
        self._hub.arrived(self)

    def unsubscribed(self, filters: Sequence[str]) -> None:
        self._subscriptions.remove(filters)
        self._hub.arrived(self)

    def closed(self, will: Will | None) -> None:
        self._hub.left(self)
        in_flight, self._in_flight = self._in_flight, {}
        for done in in_flight.values():
            done(False)
        if will is not None:
            self._publish_will(will)

    def _publish_will(self, will: Will) -> None:
        bag = publications.will_bag(will, self._events)
        if bag is None:
            _log.warning("the will of '%s' is for %.200r, where nobody reads; it is dropped", self.who, will.topic)
            return
        self._hub.intake.telemetry(self.who, bag, will.payload, lambda: None)

    def _request(self, topic: str, payload: bytes) -> None:
        request = publications.request(topic, payload)
        if isinstance(request, Report):
            self._report(request)
        elif isinstance(request, MethodAnswer):
            self._hub.calls.answered(self.who, request.id, request.status, request.payload)
        else:
            self._hub.read_twin(self, request.id)

    def _report(self, request: Report) -> None:
        try:
            version = self._hub.report(self.who, request.patch())
        except HubError as problem:
            self.refuse_twin(request.id, problem)
            return
        self.send(Feed.TWIN_ANSWERS, topics.twin_answer(204, request.id, version), b"")

    def refuse_twin(self, request_id: str, problem: HubError) -> None:
        """A request about its twin gets no for an answer."""
        _log.warning("a request of '%s' about its twin was refused: %s", self.who, problem)
        answer = topics.twin_answer(problem.status, request_id)
        self.send(Feed.TWIN_ANSWERS, answer, publications.refusal(problem))

    def _next_id(self) -> int:
        while True:
            self._packet_id = self._packet_id % 0xFFFF + 1
            if self._packet_id not in self._in_flight:
                return self._packet_id


def _nobody_asks(_delivered: bool) -> None:
    """What became of it changes nothing."""
