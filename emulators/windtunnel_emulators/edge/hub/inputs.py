"""Delivery to modules: for each input a sink, which sends what its queue holds and waits for what was acknowledged.

A batch is sent as far as a window of bytes allows, without waiting for each message's acknowledgement. When the
connection is lost before that, or none comes in time, the queue sends again, and the module is told that it may be.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from windtunnel_emulators.edge.interface import Outcome
from windtunnel_emulators.iot.hub import bags
from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.iot.hub.topics import Feed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.edge.hub.client import LocalClient
    from windtunnel_emulators.edge.interface import Message, Queues

ACKNOWLEDGED_S = 30.0
"""How long a module may take to acknowledge (edge-hub's ``MessageAckTimeoutSecs``)."""
_BATCH = 256
_WINDOW_BYTES = 1024 * 1024
"""On its way to one input at one time: far below what makes a connection be dropped."""
_log = logging.getLogger(__name__)


class Inputs:
    """The inputs of one device's modules."""

    def __init__(self, device: str, queues: Queues, clock: Clock, find: Callable[[Who], LocalClient | None]) -> None:
        """``find`` tells who is connected."""
        self._device = device
        self._queues = queues
        self._clock = clock
        self._find = find
        self._sinks: dict[Who, list[InputSink]] = {}

    def attach(self, endpoint: str) -> None:
        """Begin to deliver to ``MODULE/INPUT``. Once for each."""
        module, _, name = endpoint.partition("/")
        who = Who(self._device, module)
        sink = InputSink(who, name, self._clock)
        self._sinks.setdefault(who, []).append(sink)
        client = self._find(who)
        if client is not None:
            sink.arrived(client)
        self._queues.attach(endpoint, sink)

    def arrived(self, client: LocalClient) -> None:
        """A client has connected, or changed what it subscribes to."""
        for sink in self._sinks.get(client.who, ()):
            sink.arrived(client)

    def left(self, who: Who) -> None:
        """A client is gone."""
        for sink in self._sinks.get(who, ()):
            sink.left()

    def check(self, now: float) -> None:
        """Give up what was not acknowledged in time; ``now`` is the clock's ``monotonic``."""
        for sinks in self._sinks.values():
            for sink in sinks:
                sink.check(now)


class InputSink:
    """One input of one module; implements ``edge.interface.Sink``."""

    def __init__(self, who: Who, name: str, clock: Clock) -> None:
        self._who = who
        self._prefix = f"{who.path}/inputs/{name}/"
        self._clock = clock
        self._client: LocalClient | None = None
        self._there = asyncio.Event()
        self._delivery: _Delivery | None = None
        self._unconfirmed: set[Message] = set()
        """What was sent and is not known to have arrived."""
        self._origins: dict[Who, str] = {}

    @property
    def batch(self) -> int:
        return _BATCH

    async def ready(self) -> None:
        await self._there.wait()

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        client = self._client
        if client is None:
            return [Outcome.RETRY] * len(messages)
        delivery = _Delivery(self, client, messages, self._clock.monotonic())
        self._delivery = delivery
        try:
            delivery.proceed()
            await delivery.ended
        finally:
            self._delivery = None
            self._remember(delivery)
        return delivery.outcomes

    def arrived(self, client: LocalClient) -> None:
        """The module is there; whether it wants inputs is seen."""
        if client.takes(Feed.INPUTS):
            self._client = client
            self._there.set()
        else:
            self.left()

    def left(self) -> None:
        """The module is gone; what is on its way to it ends by itself, as its connection ends."""
        self._client = None
        self._there.clear()

    def check(self, now: float) -> None:
        """Give up what has been waited for too long."""
        delivery = self._delivery
        if delivery is not None and now - delivery.heard > ACKNOWLEDGED_S:
            _log.warning("'%s' has acknowledged nothing for %.0f s; it is sent again", self._who, ACKNOWLEDGED_S)
            delivery.give_up()

    def topic(self, message: Message) -> str:
        """Where a message is published, with who sent it."""
        origin = self._origins.get(message.sender)
        if origin is None:
            entries = {"$.cdid": message.sender.device}
            if message.sender.module:
                entries["$.cmid"] = message.sender.module
            origin = self._origins[message.sender] = bags.encode(entries)
        return f"{self._prefix}{message.bag}&{origin}" if message.bag else self._prefix + origin

    def was_sent(self, message: Message) -> bool:
        """A message may have arrived already."""
        return bool(self._unconfirmed) and message in self._unconfirmed

    def now(self) -> float:
        return self._clock.monotonic()

    def _remember(self, delivery: _Delivery) -> None:
        for message, outcome in zip(delivery.messages, delivery.outcomes, strict=True):
            if outcome is Outcome.RETRY:
                break
            if self._unconfirmed:
                self._unconfirmed.discard(message)
        if delivery.outcomes[-1] is Outcome.RETRY:
            # From the first that failed on, all come again, also those that did arrive.
            first = delivery.outcomes.index(Outcome.RETRY)
            self._unconfirmed = set(delivery.messages[first : delivery.sent])


class _Delivery:
    """One batch on its way."""

    def __init__(self, sink: InputSink, client: LocalClient, messages: Sequence[Message], now: float) -> None:
        self.messages = messages
        self.outcomes = [Outcome.RETRY] * len(messages)
        self.sent = 0
        """How many were sent: the first ones."""
        self.heard = now
        """When the module last acknowledged something."""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sink = sink
        self._client = client
        self._waiting = 0
        self._bytes = 0
        self._failed = False
        self._proceeding = False

    def proceed(self) -> None:
        """Send as much as the window allows; ``ended`` is set once nothing more can become of the batch."""
        if self._proceeding:
            return
        self._proceeding = True
        while not self._failed and self.sent < len(self.messages):
            message = self.messages[self.sent]
            if self._waiting and self._bytes + len(message.body) > _WINDOW_BYTES:
                break
            done = partial(self._done, self.sent, len(message.body))
            self.sent += 1
            self._waiting += 1
            self._bytes += len(message.body)
            again = self._sink.was_sent(message)
            self._client.deliver(Feed.INPUTS, self._sink.topic(message), message.body, done, again=again)
        self._proceeding = False
        if not self._waiting and not self.ended.done():
            self.ended.set_result(None)

    def give_up(self) -> None:
        """What is not acknowledged is sent again."""
        self._failed = True
        if not self.ended.done():
            self.ended.set_result(None)

    def _done(self, index: int, size: int, delivered: bool) -> None:
        self._waiting -= 1
        self._bytes -= size
        if self.ended.done():
            return
        if delivered:
            self.outcomes[index] = Outcome.DONE
            self.heard = self._sink.now()
        else:
            self._failed = True
        self.proceed()
