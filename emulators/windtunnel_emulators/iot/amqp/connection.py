"""One AMQP connection: the socket, the SASL layer, Proton's engine, and who is told of its events.

What Proton cannot read ends this connection, with the condition that Proton gives; nobody else notices.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

from proton import Collector, Connection, Delivery, Event, Link, ProtonException, Receiver, Session, Transport

from windtunnel_emulators.iot.amqp.encoding import AMQP_HEADER, FRAME_HEAD, PROTOCOL_HEAD
from windtunnel_emulators.iot.amqp.errors import (
    DECODE_ERROR,
    FORCED,
    INTERNAL,
    TOO_LARGE,
    AmqpRefusal,
)
from windtunnel_emulators.iot.amqp.links import condition_of
from windtunnel_emulators.iot.amqp.padding import Padding, lowered
from windtunnel_emulators.iot.amqp.sasl import Sasl, SaslFailed

if TYPE_CHECKING:
    from windtunnel_emulators.iot.amqp.endpoint import Endpoint
    from windtunnel_emulators.iot.amqp.grants import Grants
    from windtunnel_emulators.iot.amqp.links import Node

LARGEST_MESSAGE = 256 * 1024
LARGEST_FRAME = 64 * 1024
_LARGEST_OPEN = 64 * 1024
_IDLE_S = 240.0
"""After which a silent peer is gone, as at Event Hubs."""
_MOST_LINKS = 4096
_OPENING_S = 30.0
_HIGH = 512 * 1024
_LINK: Any = Link  # its constants are from C, and have no types
_ACTIVE: int = _LINK.LOCAL_ACTIVE
_CLOSED: int = _LINK.LOCAL_CLOSED
_log = logging.getLogger(__name__)


class AmqpConnection(asyncio.Protocol):
    """A client's connection."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.grants: Grants = endpoint.new_grants()
        self.peer = "?"
        self._socket: asyncio.Transport | None = None
        self._sasl: Sasl | None = Sasl(self.grants.show)
        self._opening: bytearray | None = bytearray()
        self._has_header = False
        self._proton = Connection()
        self._proton.container = endpoint.name
        self._engine = Transport(Transport.SERVER)
        self._engine.max_frame_size = LARGEST_FRAME
        self._engine.idle_timeout = _IDLE_S
        self._collector = Collector()
        self._proton.collect(self._collector)
        self._engine.bind(self._proton)
        self._padding = Padding()
        self.nodes: dict[Link, Node] = {}
        self._pumping = False
        self._writable = True
        self._working = False
        self._began = endpoint.clock.monotonic()
        self._is_open = False

    # The socket.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast("asyncio.Transport", transport)  # uvloop's are of no class of asyncio's
        self._socket.set_write_buffer_limits(high=_HIGH)
        peer = transport.get_extra_info("peername")
        self.peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "?"
        self._endpoint.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._socket = None
        for link in list(self.nodes):
            self._forget(link)
        self._endpoint.closed(self)
        self._collector.release()

    def data_received(self, data: bytes) -> None:
        if self._sasl is not None:
            try:
                data = self._sasl.feed(data)
            except SaslFailed as problem:
                _log.warning("AMQP of %s: %s is refused: %s", self._endpoint.name, self.peer, problem)
                self._write(self._sasl.outgoing)
                self._hang_up()
                return
            self._write(self._sasl.outgoing)
            self._sasl.outgoing = b""
            if not self._sasl.done:
                return
            self._sasl = None
        if self._opening is not None:
            data = self._first(data)
        self._push(data)
        self.work()

    def eof_received(self) -> bool:
        if self._sasl is None:
            self._close_tail()
            self.work()
        return False

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self.work()
        self.wake()

    # What the endpoint asks.

    def wake(self) -> None:
        """There may be something to send."""
        if not self._pumping and self._writable and self._socket is not None:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def check(self) -> None:
        """Once in a while: heartbeats, silent peers, tokens that have ended."""
        now = self._endpoint.clock.monotonic()
        if not self._is_open and now - self._began > _OPENING_S:
            _log.info("AMQP of %s: %s has not opened its connection in time", self._endpoint.name, self.peer)
            self._hang_up()
            return
        if self._sasl is not None:
            return
        self._engine.tick(now)
        for link, node in list(self.nodes.items()):
            try:
                node.check()
            except AmqpRefusal as refusal:
                self.refuse(link, refusal)
        self.work()

    def end(self, why: AmqpRefusal) -> None:
        """Close the connection, and say why."""
        if self._is_open:
            self._proton.condition = condition_of(why)
            self._proton.close()
            self.work()
        self._hang_up()

    def abort(self) -> None:
        if self._socket is not None:
            self._socket.abort()

    def refuse(self, link: Link, refusal: AmqpRefusal) -> None:
        """Close a link, and say why. ``work`` sends it."""
        _log.info("AMQP of %s: a link of %s is closed: %s", self._endpoint.name, self.peer, refusal.message)
        self._forget(link)
        if link.state & _CLOSED:
            return
        link.condition = condition_of(refusal)
        link.close()

    def work(self) -> None:
        """Handle what Proton has to tell, and send what it has to send."""
        if self._working:
            return
        self._working = True
        try:
            while (event := self._collector.peek()) is not None:
                try:
                    self._handle(event)
                finally:
                    self._collector.pop()
                if not self._collector.peek():
                    self._flush()
            self._flush()
        except ProtonException:
            _log.exception("AMQP of %s: the connection of %s is given up", self._endpoint.name, self.peer)
            self._hang_up()
        except UnicodeDecodeError as problem:
            # Proton's binding raises it where a name is asked for, which came as other bytes.
            why = AmqpRefusal(DECODE_ERROR, f"A text is no UTF-8: {problem.reason}.")
            _log.warning("AMQP of %s: %s: %s", self._endpoint.name, self.peer, why.message)
            self._proton.condition = condition_of(why)
            self._proton.close()
            self._flush()
            self._hang_up()
        finally:
            self._working = False

    # Proton.

    def _first(self, data: bytes) -> bytes:
        """The first frame of a peer, its *open*, is changed (``padding``). Its header is answered before it comes."""
        assert self._opening is not None
        self._opening += data
        if not self._has_header:
            if len(self._opening) < PROTOCOL_HEAD and AMQP_HEADER.startswith(self._opening):
                return b""
            self._has_header = True
            head = bytes(self._opening[:PROTOCOL_HEAD])
            del self._opening[:PROTOCOL_HEAD]
            self._push(head)
        held = bytes(self._opening)
        size = int.from_bytes(held[:4], "big") if len(held) >= FRAME_HEAD else FRAME_HEAD
        if len(held) < FRAME_HEAD or len(held) < size <= _LARGEST_OPEN:
            return b""
        self._opening = None
        if not FRAME_HEAD <= size <= _LARGEST_OPEN:
            return held
        return lowered(held[:size]) + held[size:]

    def _push(self, data: bytes) -> None:
        while data:
            room = self._engine.capacity()
            if room <= 0:
                if room == 0:
                    self.work()
                    room = self._engine.capacity()
                if room <= 0:
                    return
            self._engine.push(data[:room])
            data = data[room:]
            if data:
                self.work()

    def _close_tail(self) -> None:
        if self._engine.capacity() >= 0:
            self._engine.close_tail()

    def _flush(self) -> None:
        while self._socket is not None:
            size = self._engine.pending()
            if size < 0:
                self._hang_up()
                return
            if size == 0:
                return
            data = self._engine.peek(size) or b""
            self._engine.pop(len(data))
            self._write(self._padding.feed(bytes(data)))

    def _pump(self) -> None:
        self._pumping = False
        if self._socket is None or self._sasl is not None:
            return
        more = False
        for link, node in list(self.nodes.items()):
            try:
                more |= node.pump()
            except AmqpRefusal as refusal:
                self.refuse(link, refusal)
        self.work()
        if more:
            self.wake()

    def _handle(self, event: Event) -> None:
        kind = event.type
        link, session, delivery = event.link, event.session, event.delivery
        if kind == Event.DELIVERY and delivery is not None:
            self._delivery(delivery)
        elif kind == Event.LINK_FLOW:
            self.wake()
        elif kind == Event.LINK_REMOTE_OPEN and link is not None:
            self._attach(link)
        elif kind in (Event.LINK_REMOTE_CLOSE, Event.LINK_REMOTE_DETACH) and link is not None:
            self._detach(link, closing=kind == Event.LINK_REMOTE_CLOSE)
        elif kind == Event.SESSION_REMOTE_OPEN and session is not None:
            session.open()
        elif kind == Event.SESSION_REMOTE_CLOSE and session is not None:
            self._end_session(session)
        elif kind == Event.CONNECTION_REMOTE_OPEN:
            self._is_open = True
            self._proton.open()
        elif kind == Event.CONNECTION_REMOTE_CLOSE:
            self._proton.close()
        elif kind == Event.TRANSPORT_ERROR:
            problem = self._engine.condition
            if problem is not None:
                # azure-eventhub detaches once more after it has ended its session: of no interest.
                level = logging.WARNING if self.nodes or not self._is_open else logging.DEBUG
                _log.log(level, "AMQP of %s: %s: %s", self._endpoint.name, self.peer, problem.description)

    def _attach(self, link: Link) -> None:
        # Both ends are told back even to who is refused: azure-eventhub takes a link without them for a broken one,
        # and does not read the reason that comes after it.
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        link.max_message_size = LARGEST_MESSAGE
        if link.state & _ACTIVE or link in self.nodes:
            return
        try:
            if len(self.nodes) >= _MOST_LINKS:
                raise AmqpRefusal("amqp:resource-limit-exceeded", f"The connection has {_MOST_LINKS} links already.")
            node = self._endpoint.attach(self, link)
        except AmqpRefusal as refusal:
            link.open()
            self.refuse(link, refusal)
            return
        self.nodes[link] = node
        link.open()
        node.opened()

    def _detach(self, link: Link, *, closing: bool) -> None:
        self._forget(link)
        if closing:
            link.close()
        else:
            link.detach()
        link.free()

    def _end_session(self, session: Session) -> None:
        for link in list(self.nodes):
            if link.session == session:
                self._forget(link)
        session.close()
        session.free()

    def _forget(self, link: Link) -> None:
        node = self.nodes.pop(link, None)
        if node is not None:
            node.closed()

    def _delivery(self, delivery: Delivery) -> None:
        link = delivery.link
        node = self.nodes.get(link)
        if node is None:
            delivery.settle()
            return
        if not isinstance(link, Receiver):
            node.updated(delivery)
            return
        while (current := link.current) is not None:
            if current.aborted:
                link.advance()
                current.settle()
                link.flow(1)
                continue
            if current.pending > LARGEST_MESSAGE:
                self.refuse(link, AmqpRefusal(TOO_LARGE, f"A message takes at most {LARGEST_MESSAGE} bytes."))
                return
            if current.partial or not current.readable:
                return
            data = link.recv(current.pending) or b""
            link.advance()
            link.flow(1)
            self._take(node, current, bytes(data))

    def _take(self, node: Node, delivery: Delivery, data: bytes) -> None:
        try:
            node.delivered(delivery, data)
            delivery.update(Delivery.ACCEPTED)
        except AmqpRefusal as refusal:
            _log.info("AMQP of %s: a message of %s is rejected: %s", self._endpoint.name, self.peer, refusal.message)
            delivery.local.condition = condition_of(refusal)
            delivery.update(Delivery.REJECTED)
        delivery.settle()

    def _write(self, data: bytes) -> None:
        if data and self._socket is not None and not self._socket.is_closing():
            self._socket.write(data)

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()


GONE = AmqpRefusal(FORCED, "The hub stops, or was deleted.")
BROKEN = AmqpRefusal(INTERNAL, "Messages cannot be read; the log of the emulators says why.")
