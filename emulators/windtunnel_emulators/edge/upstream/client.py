"""One identity's MQTT connection to the hub in the cloud: it is kept up, and what it was given is sent in order.

A ``CloudClient`` connects as soon as it can and again whenever it was lost, until it is closed: at once at first, then
after waits that double. Telemetry that is not acknowledged is sent again on the next connection. All callbacks come on
the event loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING, Literal, Protocol

from windtunnel_emulators.edge.interface import Refused, Unreachable
from windtunnel_emulators.edge.upstream.arrivals import Arrivals
from windtunnel_emulators.edge.upstream.outbox import Outbox
from windtunnel_emulators.edge.upstream.place import RENEW_S, TOKEN_S
from windtunnel_emulators.edge.upstream.requests import Requests
from windtunnel_emulators.edge.upstream.wire import Wire
from windtunnel_emulators.iot.hub import topics
from windtunnel_emulators.iot.hub.topics import Feed
from windtunnel_emulators.iot.hub.waiting import within
from windtunnel_emulators.iot.mqtt.connection import LARGEST_MESSAGE
from windtunnel_emulators.iot.mqtt.errors import ProtocolViolation
from windtunnel_emulators.iot.mqtt.packets import (
    ACCEPTED,
    BAD_CREDENTIALS,
    NOT_AUTHORIZED,
    SUBSCRIPTION_FAILED,
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windtunnel_emulators.edge.interface import EdgeProblem
    from windtunnel_emulators.edge.upstream.place import Place, Signer
    from windtunnel_emulators.iot.hub.identity import Who
    from windtunnel_emulators.iot.mqtt.packets import Packet
    from windtunnel_emulators.jsontypes import JsonObject

KEEP_ALIVE_S = 60
_ANSWER_S = 30.0
"""For CONNACK and for the answers to twin requests."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 10.0
"""Between two attempts; the longest is what Microsoft's clients wait."""
_REFUSED_WAIT_S = 60.0
"""After the hub has said that the identity may not connect."""
_STABLE_S = 5.0
"""A connection that lasted so long was one; waits begin anew after it."""
_PING_S = 20.0
_CLOSING_S = 1.0
"""For the end of TLS."""
_DRAIN_S, _DRAIN_STEP_S = 10.0, 0.1
"""For what is on its way, before a connection is given up for a new token."""
_log = logging.getLogger(__name__)


class ClientListener(Protocol):
    """Who is told of what happens to an identity in the cloud."""

    def connected(self) -> None:
        """There is a connection (again)."""
        ...

    def disconnected(self) -> None:
        """The connection is gone; the client goes on trying."""
        ...

    def refused(self, problem: Refused) -> None:
        """The hub does not let the identity in. The client tries again after a minute, or when it is woken."""
        ...

    def desired(self, patch: JsonObject) -> None:
        """A patch of desired properties, with its ``$version``."""
        ...

    async def method(self, name: str, payload: bytes) -> tuple[int, bytes]:
        """A direct method: its status and payload. With ``EdgeProblem`` the hub gets no answer."""
        ...

    async def command(self, bag: str, body: bytes) -> None:
        """A message to the device: acknowledged after return; with ``EdgeProblem`` it stays in the hub."""
        ...


class CloudClient:
    """Make it, ``open`` it, ``close`` it."""

    def __init__(
        self,
        who: Who,
        place: Place,
        signer: Callable[[], Signer | None],
        listener: ClientListener,
        *,
        feeds: frozenset[Feed] = frozenset(),
    ) -> None:
        """``signer`` is asked at each connect; without one the identity counts as refused. ``feeds`` are wanted."""
        self.who = who
        self._place = place
        self._clock = place.clock
        self._signer = signer
        self._listener = listener
        self._feeds = feeds
        self._packet_id = 0
        self._outbox = Outbox(self._next_id)
        self._requests = Requests(place.clock, _ANSWER_S)
        self._arrivals = Arrivals(who, listener)
        self._filters = _filters(who)
        self._wire: Wire | None = None
        self._is_connected = False
        self._told = False
        """The listener believes that there is a connection."""
        self._renewing = False
        self._connack: asyncio.Future[ConnAck] | None = None
        self._expecting: list[asyncio.Future[None]] = []
        """Who waits for a connection."""
        self._awake = asyncio.Event()
        self._closing = False
        self._run_task: asyncio.Task[None] | None = None
        self._jitter = random.Random(str(who))  # noqa: S311  # so that not all come back at one moment; no secret

    @property
    def is_connected(self) -> bool:
        """The hub has let the identity in, and the connection is not known to be lost."""
        return self._is_connected

    @property
    def is_idle(self) -> bool:
        """Nothing is on its way or waits."""
        return self._outbox.is_empty and self._requests.is_empty

    def open(self) -> None:
        """Begin to connect."""
        if self._run_task is None:
            self._run_task = asyncio.get_running_loop().create_task(self._run(), name=f"upstream of {self.who}")

    async def close(self) -> None:
        """End the connection in order. What was not acknowledged fails with ``Unreachable``."""
        self._closing = True
        wire = self._wire
        if wire is not None and wire.is_open:
            wire.send(Disconnect())
            wire.close("it is not needed any more")
        if self._run_task is not None:
            self._run_task.cancel()
            await asyncio.gather(self._run_task, return_exceptions=True)
        if wire is not None and not wire.ended.done():
            await asyncio.wait((wire.ended,), timeout=_CLOSING_S)
            wire.abort("the hub did not answer to its end")
        self._is_connected = False
        gone = Unreachable(f"The connection of '{self.who}' to the cloud was closed.")
        self._expected(gone)
        self._outbox.fail(gone)
        self._requests.fail(gone)
        self._arrivals.stop()

    def wake(self) -> None:
        """Connect at once instead of waiting: its key may be another now."""
        self._awake.set()

    def want(self, feeds: frozenset[Feed]) -> None:
        """Have other feeds from now on."""
        dropped, self._feeds = self._feeds - feeds, feeds
        if self._is_connected:
            self._unsubscribe(dropped)
            self._subscribe()

    async def connected(self) -> None:
        """Returns once there is a connection. Raises ``Refused`` when the hub does not let the identity in."""
        if not self._is_connected:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._expecting.append(waiting)
            await waiting

    # What an identity does.

    def publish(self, topic: str, body: bytes) -> asyncio.Future[None]:
        """Send telemetry; the future is done when the hub has acknowledged it. Cancel it to withdraw the message.

        Raises ``Refused`` 413 for one that the hub does not take.
        """
        bag = topic[len(topics.events_of(self.who)) + 1 :]
        size = len(bag) + len(body)
        if size > LARGEST_MESSAGE or len(topic.encode()) > 0xFFFF:
            raise Refused(413, f"A message of {size} bytes is too large; {LARGEST_MESSAGE} is what a hub takes.")
        done = self._outbox.add(topic, body)
        self._send_due()
        return done

    async def twin_get(self) -> JsonObject:
        """The twin: ``{"desired": {...}, "reported": {...}}``. Raises ``Unreachable``, ``Refused``."""
        return await self._requests.twin(self._send_request)

    async def report(self, patch: JsonObject) -> int:
        """Patch reported properties; returns their version. Raises ``Unreachable``, ``Refused``."""
        return await self._requests.report(self._send_request, patch)

    def _send_request(self, topic: str, payload: bytes) -> None:
        if self._wire is None or not self._is_connected:
            raise Unreachable(f"'{self.who}' has no connection to the cloud.")
        self._wire.send(Publish(topic, payload))

    # The connection.

    async def _run(self) -> None:
        failures, rise = 0, self._place.link.rise()
        while not self._closing:
            if rise.is_set():
                # What failed while the link was not there says nothing of the hub.
                failures, rise = 0, self._place.link.rise()
            if not self._place.link.is_up:
                self._tell_lost()
                await self._place.link.up()
            self._awake.clear()
            self._renewing = False
            began = self._clock.monotonic()
            try:
                wire = await self._connect()
            except Refused as problem:
                _log.warning("'%s' may not connect to the cloud: %s", self.who, problem)
                self._tell_lost()
                self._expected(problem)
                self._listener.refused(problem)
                await self._pause(_REFUSED_WAIT_S, rise)
                continue
            except Unreachable as problem:
                failures += 1
                _log.debug("'%s' cannot connect to the cloud: %s", self.who, problem)
                self._tell_lost()
            else:
                await self._serve(wire)
                failures = 0 if self._clock.monotonic() - began > _STABLE_S else failures + 1
            if failures > 1 and self._place.link.is_up:
                longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(failures - 2, 10))
                await self._pause(longest * (0.5 + self._jitter.random() / 2), rise)

    async def _connect(self) -> Wire:
        """A connection that the hub has accepted. Raises ``Unreachable``, ``Refused``."""
        place, signer = self._place, self._signer()
        if signer is None:
            raise Refused(401, f"no key is known for '{self.who}'.")
        try:
            password = signer.token(place)
        except ValueError as problem:
            raise Refused(401, f"the key of '{self.who}' is no base64 text.") from problem
        wire = await place.link.open(place.address, place.port, lambda: Wire(self._received), ssl=place.tls)
        self._wire = wire
        self._connack = connack = asyncio.get_running_loop().create_future()
        wire.ended.add_done_callback(lambda _: connack.cancel())
        wire.send(
            Connect(
                client_id=str(self.who),
                clean_session=False,
                keep_alive=KEEP_ALIVE_S,
                username=signer.username(place, self.who),
                password=password.encode(),
            )
        )
        try:
            await self._answer(wire, connack)
        except BaseException:
            wire.abort("the hub did not accept it")
            raise
        finally:
            self._connack = None
        return wire

    async def _answer(self, wire: Wire, connack: asyncio.Future[ConnAck]) -> None:
        """Returns once the hub has accepted the connection. Raises ``Unreachable``, ``Refused``."""
        limit = asyncio.ensure_future(self._clock.sleep(_ANSWER_S))
        try:
            await asyncio.wait((connack, limit), return_when=asyncio.FIRST_COMPLETED)
        finally:
            limit.cancel()
        if connack.cancelled() or not connack.done():
            why = wire.ended.result() if wire.ended.done() else f"no answer came within {_ANSWER_S:g} s"
            raise Unreachable(f"The hub did not answer to CONNECT: {why}.")
        answer = connack.result()
        if answer.code in (BAD_CREDENTIALS, NOT_AUTHORIZED):
            raise Refused(401, "the hub says that it is not authorized.")
        if answer.code != ACCEPTED:
            raise Unreachable(f"The hub refuses connections now (CONNACK {answer.code}).")

    def _accepted(self, wire: Wire, *, session_present: bool) -> None:
        """From here on what waits is sent, behind what was sent before and not acknowledged."""
        self._is_connected = self._told = True
        if session_present:
            self._unsubscribe(frozenset(self._filters) - self._feeds)
        self._subscribe()
        for packet in self._outbox.again():
            wire.send(packet)
        self._send_due()
        self._expected(None)
        self._listener.connected()

    async def _serve(self, wire: Wire) -> None:
        """Until the connection has ended."""
        keeping = asyncio.get_running_loop().create_task(self._keep(wire), name=f"keep-alive of {self.who}")
        try:
            await asyncio.wait((wire.ended,))
            _log.info("the connection of '%s' to the cloud has ended: %s", self.who, wire.ended.result())
        finally:
            keeping.cancel()
            self._is_connected = False
            self._requests.fail(Unreachable(f"The connection of '{self.who}' to the cloud was lost."))
            self._arrivals.forget()
            if not self._renewing:
                self._tell_lost()

    async def _keep(self, wire: Wire) -> None:
        """Ping, notice a hub that is silent, and end the connection before its token does."""
        renew_at = self._clock.monotonic() + TOKEN_S - RENEW_S
        while True:
            wire.heard = False
            wire.send(PingReq())
            await self._clock.sleep(_PING_S)
            if not wire.heard:
                wire.abort(f"nothing came for {_PING_S:g} s")
                return
            if self._clock.monotonic() >= renew_at:
                await self._renew(wire)
                return

    async def _renew(self, wire: Wire) -> None:
        self._renewing = True
        end = self._clock.monotonic() + _DRAIN_S
        while (self._outbox.flying or not self._requests.is_empty) and self._clock.monotonic() < end:
            await self._clock.sleep(_DRAIN_STEP_S)
        wire.send(Disconnect())
        wire.close("its token is renewed")

    def _tell_lost(self) -> None:
        if self._told:
            self._told = False
            if not self._closing:
                self._listener.disconnected()

    def _expected(self, problem: EdgeProblem | None) -> None:
        """Tell who waits for a connection."""
        expecting, self._expecting = self._expecting, []
        for waiting in expecting:
            if waiting.done():
                continue
            if problem is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(problem)

    async def _pause(self, seconds: float, rise: asyncio.Event) -> None:
        """Wait, or be woken, by the link's return too."""
        waking = [asyncio.ensure_future(event.wait()) for event in (self._awake, rise)]
        try:
            with contextlib.suppress(TimeoutError):
                await within(self._clock, seconds, asyncio.ensure_future(_first(waking)))
        finally:
            for wait in waking:
                wait.cancel()

    # Packets.

    def _received(self, packet: Packet) -> None:
        if isinstance(packet, PubAck):
            self._outbox.acknowledged(packet.packet_id)
            self._send_due()
        elif isinstance(packet, Publish):
            self._arrived(packet)
        elif isinstance(packet, ConnAck) and self._connack is not None and not self._connack.done():
            self._connack.set_result(packet)
            if packet.code == ACCEPTED and self._wire is not None:
                # At once: what the hub has for the identity may come in the same piece.
                self._accepted(self._wire, session_present=packet.session_present)
        elif isinstance(packet, SubAck):
            if SUBSCRIPTION_FAILED in packet.granted:
                raise ProtocolViolation("a refusal of a subscription that every hub grants")
        elif not isinstance(packet, (UnsubAck, PingResp)):
            raise ProtocolViolation(f"{type(packet).__name__}, which is not for a client, or not in this state")

    def _arrived(self, packet: Publish) -> None:
        wire = self._wire
        if wire is None or not self._is_connected:
            raise ProtocolViolation("a message before the answer to CONNECT")
        if packet.topic.startswith(topics.TWIN_ANSWER):
            self._requests.answered(packet.topic, packet.payload)
            if packet.qos:
                wire.send(PubAck(packet.packet_id))
        else:
            self._arrivals.take(packet, wire)

    def _send_due(self) -> None:
        if self._is_connected and not self._renewing and self._wire is not None:
            for packet in self._outbox.due():
                self._wire.send(packet)

    def _subscribe(self) -> None:
        names = [name for feed, name in self._filters.items() if feed in self._feeds or feed is Feed.TWIN_ANSWERS]
        if self._wire is not None:
            self._wire.send(Subscribe(self._next_id(), tuple((name, 1) for name in names)))

    def _unsubscribe(self, feeds: frozenset[Feed]) -> None:
        names = tuple(self._filters[feed] for feed in feeds if feed in self._filters and feed is not Feed.TWIN_ANSWERS)
        if names and self._wire is not None:
            self._wire.send(Unsubscribe(self._next_id(), names))

    def _next_id(self) -> int:
        while True:
            self._packet_id = self._packet_id % 0xFFFF + 1
            if not self._outbox.in_use(self._packet_id):
                return self._packet_id


async def _first(waits: Sequence[asyncio.Task[Literal[True]]]) -> None:
    """Returns once one of them is done."""
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)


def _filters(who: Who) -> dict[Feed, str]:
    """By what it is for, the filter of which a hub knows most."""
    found: dict[Feed, str] = {}
    for name, feed in topics.feeds_of(who).items():
        if feed is not Feed.INPUTS:
            found.setdefault(feed, name)
    return found
