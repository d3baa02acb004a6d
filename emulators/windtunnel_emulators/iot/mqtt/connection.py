"""One MQTT connection, on the server's side: what is read is handed on, what is written is bounded.

Bounds: one unfinished packet; ``_MOST_OUTSTANDING`` messages that were read and are not safe yet, after which nothing
more is read; ``_MOST_UNSENT`` bytes that the peer does not take, after which it is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, cast

from windtunnel_emulators.iot.mqtt.errors import MqttProblem, ProtocolViolation, UnsupportedProtocol
from windtunnel_emulators.iot.mqtt.packets import (
    ACCEPTED,
    UNACCEPTABLE_PROTOCOL,
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
from windtunnel_emulators.iot.mqtt.reading import Reader
from windtunnel_emulators.iot.mqtt.writing import encode, encode_publish

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.iot.mqtt.interface import Client, Server
    from windtunnel_emulators.iot.mqtt.packets import Packet, Will

LARGEST_MESSAGE = 256 * 1024
"""Bytes of a message with its properties, as IoT Hub and the edge take them."""

_LARGEST_PACKET = LARGEST_MESSAGE + 4096
"""A little more, so that a message that is too large is told from damage."""
_OPENING_S = 30.0
"""From the connection to a whole CONNECT."""
_MOST_OUTSTANDING = 2048
_MOST_OUTSTANDING_BYTES = 2 * 1024 * 1024
_MOST_UNSENT = 4 * 1024 * 1024

_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Of Linux. Clients on paho use Nagle's algorithm: a message that follows an acknowledgement of theirs is not sent
until that was acknowledged in turn, and kernels take 40 ms for it where nobody tells them otherwise."""
_log = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """A peer. Whoever has many calls ``check`` on each, about once a second."""

    def __init__(self, server: Server, longest_keep_alive: int) -> None:
        """``longest_keep_alive`` is in seconds; a peer that asks for more, or for none, gets it."""
        self.client: Client | None = None
        self.name = "a client that has not said who it is"
        """For the log."""
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(_LARGEST_PACKET)
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._longest_keep_alive = longest_keep_alive
        self._limit = _OPENING_S
        self._heard = False
        self._heard_at: float | None = None
        self._will: Will | None = None
        self._deciding = False
        self._held: list[Packet] = []
        """What came while the server decided on the CONNECT."""
        self._outstanding = 0
        self._outstanding_bytes = 0
        self._paused = False
        self._output: list[bytes] = []
        self._over = False

    @property
    def is_open(self) -> bool:
        """The peer can be sent something."""
        return not self._over

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate that the peer showed, in DER."""
        encrypted = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        return None if encrypted is None else encrypted.getpeercert(binary_form=True)

    @property
    def tls(self) -> object | None:
        """The ``ssl.SSLObject`` of the connection; None where there is none."""
        return None if self._transport is None else self._transport.get_extra_info("ssl_object")

    # From the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not registered as such
        if _QUICK_ACK is not None:
            self._socket = transport.get_extra_info("socket")
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if not self._over:
            self._confirm()
            self._handle(self._reader.feed(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        client, self.client = self.client, None
        if client is not None:
            client.closed(self._will)
        self._server.closed(self)

    # From the server and the client.

    def accept(self, client: Client, name: str, *, session_present: bool) -> None:
        """The peer is who it says; it is told so, and what it sends from now on goes to ``client``."""
        self.client = client
        self.name = name
        self._deciding = False
        self._write(encode(ConnAck(ACCEPTED, session_present)))
        self._continue()

    def refuse(self, code: int, why: str) -> None:
        """The peer may not connect, and is told no more than the code."""
        self._deciding = False
        self._write(encode(ConnAck(code)))
        self.close(why)

    def send(self, packet: Packet) -> None:
        """Nothing happens when the connection has ended. Packets of one turn of the event loop go out together."""
        self._write(encode_publish(packet) if isinstance(packet, Publish) else encode(packet))

    def taken(self, packet: Publish) -> None:
        """A message is safe: the peer is told, if it wants to know."""
        self._outstanding -= 1
        self._outstanding_bytes -= len(packet.payload)
        if packet.qos:
            self._write(b"\x40\x02" + packet.packet_id.to_bytes(2, "big"))
        if (
            self._paused
            and self._outstanding <= _MOST_OUTSTANDING // 2
            and self._outstanding_bytes <= _MOST_OUTSTANDING_BYTES // 2
        ):
            self._paused = False
            if self._transport is not None and not self._over:
                self._transport.resume_reading()

    def close(self, why: str | None = None) -> None:
        """End the connection once what was sent is out; ``why`` goes to the log."""
        if self._over:
            return
        if why is not None:
            _log.warning("MQTT: connection of %s closed: %s", self.name, why)
        self._flush()
        self._over = True
        if self._transport is not None:
            if self._paused:
                self._transport.resume_reading()  # else some loops do not notice that the peer is gone
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._over = True
        if self._transport is not None:
            self._transport.abort()

    def check(self, now: float) -> None:
        """Close a peer that has been silent for too long. ``now`` is the clock's ``monotonic``."""
        if self._heard or self._heard_at is None:
            self._heard, self._heard_at = False, now
        elif now - self._heard_at > self._limit and not self._deciding and not self._paused:
            what = "no CONNECT" if self.client is None else "nothing, not even PINGREQ,"
            self.close(f"{what} came for {self._limit:.0f} s")
            self.abort()  # it is most likely gone, and would not take part in an orderly end

    # What peers send.

    def _handle(self, packets: Iterable[Packet]) -> None:
        try:
            for packet in packets:
                if self._deciding:
                    self._hold(packet)
                else:
                    self._received(packet)
                if self._over:
                    return
        except UnsupportedProtocol as problem:
            self._write(encode(ConnAck(UNACCEPTABLE_PROTOCOL)))
            self.close(str(problem))
        except MqttProblem as problem:
            self.close(str(problem))

    def _received(self, packet: Packet) -> None:
        client = self.client
        if client is None:
            if not isinstance(packet, Connect):
                raise ProtocolViolation(f"{type(packet).__name__} before CONNECT")
            self._opened(packet)
        elif isinstance(packet, Publish):
            self._published(client, packet)
        elif isinstance(packet, PubAck):
            client.acknowledged(packet.packet_id)
        elif isinstance(packet, PingReq):
            self._write(encode(PingResp()))
        elif isinstance(packet, Subscribe):
            granted = client.subscribed(packet.filters)
            self._write(encode(SubAck(packet.packet_id, tuple(granted))))
            client.sent_suback()
        elif isinstance(packet, Unsubscribe):
            client.unsubscribed(packet.filters)
            self._write(encode(UnsubAck(packet.packet_id)))
        elif isinstance(packet, Disconnect):
            self._will = None
            self.close()
        else:
            raise ProtocolViolation(f"{type(packet).__name__} is not for a server, or not in this state")

    def _confirm(self) -> None:
        """Have the kernel acknowledge at once what was read; it forgets to with everything that is sent."""
        if self._socket is not None and _QUICK_ACK is not None:
            try:
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
            except OSError:  # it is no socket of TCP, or is gone
                self._socket = None

    def _hold(self, packet: Packet) -> None:
        self._held.append(packet)
        if len(self._held) > _MOST_OUTSTANDING:
            raise ProtocolViolation(f"more than {_MOST_OUTSTANDING} packets before the answer to CONNECT")

    def _opened(self, packet: Connect) -> None:
        asked = packet.keep_alive or self._longest_keep_alive
        self._limit = 1.5 * min(asked, self._longest_keep_alive)
        self._will = packet.will
        self._deciding = True
        self._server.connecting(self, packet)
        if self._deciding and self._transport is not None:
            self._transport.pause_reading()

    def _continue(self) -> None:
        if self._transport is not None and not self._transport.is_reading() and not self._over:
            self._transport.resume_reading()
        if self._held:
            held, self._held = self._held, []
            self._handle(held)

    def _published(self, client: Client, packet: Publish) -> None:
        if packet.qos == 2:
            raise ProtocolViolation("a message of quality of service 2, which is not offered")
        size = len(packet.payload)
        if size > LARGEST_MESSAGE:
            raise ProtocolViolation(f"a message of {size} bytes; at most {LARGEST_MESSAGE} with its properties")
        self._outstanding += 1
        self._outstanding_bytes += size
        client.published(packet)
        if not self._paused and (
            self._outstanding >= _MOST_OUTSTANDING or self._outstanding_bytes >= _MOST_OUTSTANDING_BYTES
        ):
            self._paused = True
            if self._transport is not None:
                self._transport.pause_reading()

    def _write(self, data: bytes) -> None:
        if self._over:
            return
        if not self._output:
            self._loop.call_soon(self._flush)
        self._output.append(data)

    def _flush(self) -> None:
        if not self._output:
            return
        data = b"".join(self._output)
        self._output.clear()
        if self._over or self._transport is None:
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > _MOST_UNSENT:
            _log.warning("MQTT: connection of %s dropped: it does not take what it is sent", self.name)
            self.abort()
