"""Packets to bytes: the inverse of ``reading``."""

from __future__ import annotations

from windtunnel_emulators.iot.mqtt.opening import LEVEL
from windtunnel_emulators.iot.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
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

_IDENTIFIED: dict[type[Packet], int] = {PubAck: 0x40, PubRec: 0x50, PubRel: 0x62, PubComp: 0x70, UnsubAck: 0xB0}
_BARE: dict[type[Packet], bytes] = {PingReq: b"\xc0\0", PingResp: b"\xd0\0", Disconnect: b"\xe0\0"}


def encode(packet: Packet) -> bytes:
    """The packet's bytes. Raises ``ValueError`` for what no packet can hold."""
    if isinstance(packet, Publish):
        return encode_publish(packet)
    if isinstance(packet, (PubAck, PubRec, PubRel, PubComp, UnsubAck)):
        return _framed(_IDENTIFIED[type(packet)], packet.packet_id.to_bytes(2, "big"))
    if isinstance(packet, Connect):
        return _framed(0x10, _connect(packet))
    if isinstance(packet, ConnAck):
        return bytes((0x20, 2, packet.session_present, packet.code))
    if isinstance(packet, Subscribe):
        asked = b"".join(_text(name) + bytes((qos,)) for name, qos in packet.filters)
        return _framed(0x82, packet.packet_id.to_bytes(2, "big") + asked)
    if isinstance(packet, SubAck):
        return _framed(0x90, packet.packet_id.to_bytes(2, "big") + bytes(packet.granted))
    if isinstance(packet, Unsubscribe):
        return _framed(0xA2, packet.packet_id.to_bytes(2, "big") + b"".join(map(_text, packet.filters)))
    return _BARE[type(packet)]


def encode_publish(packet: Publish) -> bytes:
    """Apart, for what is sent most."""
    first = 0x30 | packet.duplicate << 3 | packet.qos << 1 | packet.retain
    topic = _text(packet.topic)
    if packet.qos:
        return _framed(first, topic + packet.packet_id.to_bytes(2, "big") + packet.payload)
    return _framed(first, topic + packet.payload)


def _connect(packet: Connect) -> bytes:
    flags = packet.clean_session << 1 | (packet.username is not None) << 7 | (packet.password is not None) << 6
    fields = [_text(packet.client_id)]
    if packet.will is not None:
        flags |= 0x04 | packet.will.qos << 3 | packet.will.retain << 5
        fields += [_text(packet.will.topic), _binary(packet.will.payload)]
    if packet.username is not None:
        fields.append(_text(packet.username))
    if packet.password is not None:
        fields.append(_binary(packet.password))
    head = _text("MQTT") + bytes((LEVEL, flags)) + packet.keep_alive.to_bytes(2, "big")
    return head + b"".join(fields)


def _text(value: str) -> bytes:
    return _binary(value.encode())


def _binary(value: bytes) -> bytes:
    if len(value) > 0xFFFF:
        raise ValueError(f"a field of {len(value)} bytes; MQTT takes 65535")
    return len(value).to_bytes(2, "big") + value


def _framed(first: int, body: bytes) -> bytes:
    size = len(body)
    if size < 0x80:
        return bytes((first, size)) + body
    length = bytearray((first,))
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    if len(length) > 4:
        raise ValueError(f"a packet of {len(body)} bytes; MQTT takes 268435455")
    length.append(size)
    return bytes(length) + body
