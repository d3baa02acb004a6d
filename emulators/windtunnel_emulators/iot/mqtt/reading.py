"""Bytes to packets, in whatever pieces they come (MQTT 3.1.1, OASIS standard, chapters 2 and 3).

A reader keeps at most one unfinished packet, and of that no more than it was told to take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.iot.mqtt.errors import MalformedPacket, PacketTooLarge
from windtunnel_emulators.iot.mqtt.fields import Fields
from windtunnel_emulators.iot.mqtt.opening import read_connect
from windtunnel_emulators.iot.mqtt.packets import (
    ConnAck,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from windtunnel_emulators.iot.mqtt.packets import Packet

_PUBLISH = 3


class Reader:
    """The packets of one connection, in one direction."""

    def __init__(self, largest: int) -> None:
        """``largest`` is what follows the fixed header, in bytes."""
        self._largest = largest
        self._pending = bytearray()
        self._wanted = 0
        """Bytes that the packet in ``_pending`` takes in all; 0 while that is unknown."""

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that are whole now. Raises ``MqttProblem`` behind those before it; the stream is then over."""
        if self._pending:
            self._pending += data
            if len(self._pending) < self._wanted:
                return
            data = bytes(self._pending)
            self._pending.clear()
        start, end = 0, len(data)
        while start < end:
            body, size = _remaining_length(data, start)
            if size > self._largest:
                raise PacketTooLarge(f"a packet of {size} bytes; at most {self._largest} are taken")
            after = body + size
            if body == 0 or after > end:
                self._wanted = after if body == 0 else after - start
                self._pending += data[start:]
                return
            first = data[start]
            if first >> 4 == _PUBLISH:
                yield _publish(first, data, body, after)
            else:
                yield _other(first, data[body:after])
            start = after

    @property
    def pending(self) -> int:
        """Bytes of an unfinished packet that are kept."""
        return len(self._pending)


def _remaining_length(data: bytes, start: int) -> tuple[int, int]:
    """Where the body begins (0: the length is not whole yet) and its size."""
    size = shift = 0
    for place in range(start + 1, min(start + 5, len(data))):
        byte = data[place]
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return place + 1, size
        shift += 7
    if shift == 28:
        raise MalformedPacket("a length of more than four bytes")
    return 0, 0


def _publish(first: int, data: bytes, body: int, after: int) -> Publish:
    qos = (first >> 1) & 3
    if qos == 3 or (qos == 0 and first & 8):
        raise MalformedPacket(f"a PUBLISH with the flags {first & 15:#06b}")
    end = body + 2
    if end > after:
        raise MalformedPacket("a PUBLISH without a topic")
    topic_end = end + (data[body] << 8 | data[body + 1])
    payload = topic_end + (2 if qos else 0)
    if payload > after:
        raise MalformedPacket("a PUBLISH that is shorter than its topic and packet identifier")
    try:
        topic = data[end:topic_end].decode("utf-8")
    except UnicodeDecodeError as problem:
        raise MalformedPacket("a topic that is not UTF-8") from problem
    if not topic or "#" in topic or "+" in topic or "\0" in topic:
        raise MalformedPacket(f"a PUBLISH to {topic[:100]!r}, which is no topic name")
    packet_id = 0
    if qos:
        packet_id = data[topic_end] << 8 | data[topic_end + 1]
        if not packet_id:
            raise MalformedPacket("a PUBLISH with packet identifier 0")
    return Publish(topic, data[payload:after], qos, packet_id, bool(first & 8), bool(first & 1))


def _other(first: int, body: bytes) -> Packet:
    kind = first >> 4
    known = _KINDS.get(kind)
    if known is None:
        raise MalformedPacket(f"a packet of the reserved type {kind}")
    flags, read = known
    if first & 15 != flags:
        raise MalformedPacket(f"a packet of type {kind} with the flags {first & 15:#06b}")
    fields = Fields(body)
    packet = read(fields)
    fields.end()
    return packet


def _connack(fields: Fields) -> Packet:
    flags, code = fields.byte(), fields.byte()
    if flags > 1 or code > 5 or (flags and code):
        raise MalformedPacket("a CONNACK with reserved values")
    return ConnAck(code, bool(flags))


def _subscribe(fields: Fields) -> Packet:
    packet_id = fields.packet_id()
    filters: list[tuple[str, int]] = []
    while fields.left or not filters:
        name = fields.topic_filter()
        qos = fields.byte()
        if qos > 2:
            raise MalformedPacket(f"a SUBSCRIBE that asks for the quality of service {qos}")
        filters.append((name, qos))
    return Subscribe(packet_id, tuple(filters))


def _suback(fields: Fields) -> Packet:
    packet_id = fields.packet_id()
    granted: list[int] = []
    while fields.left or not granted:
        code = fields.byte()
        if code not in (0, 1, 2, 0x80):
            raise MalformedPacket(f"a SUBACK that grants {code}")
        granted.append(code)
    return SubAck(packet_id, tuple(granted))


def _unsubscribe(fields: Fields) -> Packet:
    packet_id = fields.packet_id()
    filters: list[str] = []
    while fields.left or not filters:
        filters.append(fields.topic_filter())
    return Unsubscribe(packet_id, tuple(filters))


_KINDS: dict[int, tuple[int, Callable[[Fields], Packet]]] = {
    1: (0, read_connect),
    2: (0, _connack),
    4: (0, lambda fields: PubAck(fields.packet_id())),
    5: (0, lambda fields: PubRec(fields.packet_id())),
    6: (2, lambda fields: PubRel(fields.packet_id())),
    7: (0, lambda fields: PubComp(fields.packet_id())),
    8: (2, _subscribe),
    9: (0, _suback),
    10: (2, _unsubscribe),
    11: (0, lambda fields: UnsubAck(fields.packet_id())),
    12: (0, lambda _: PingReq()),
    13: (0, lambda _: PingResp()),
    14: (0, lambda _: Disconnect()),
}
"""By type: the flags that the fixed header must have, and what reads the body."""
