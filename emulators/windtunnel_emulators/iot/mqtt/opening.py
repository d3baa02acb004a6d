"""CONNECT, the one packet with a structure of its own (section 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.iot.mqtt.errors import MalformedPacket, UnsupportedProtocol
from windtunnel_emulators.iot.mqtt.packets import Connect, Will

if TYPE_CHECKING:
    from windtunnel_emulators.iot.mqtt.fields import Fields

LEVEL = 4
_USERNAME, _PASSWORD, _RETAIN, _WILL, _CLEAN, _RESERVED = 0x80, 0x40, 0x20, 0x04, 0x02, 0x01


def read_connect(fields: Fields) -> Connect:
    """Raises ``UnsupportedProtocol`` before anything that another version may lay out differently."""
    name = fields.text()
    level = fields.byte()
    if (name, level) != ("MQTT", LEVEL):
        raise UnsupportedProtocol(f"protocol {name[:20]!r}, level {level}; only MQTT 3.1.1 (level {LEVEL}) is spoken")
    flags = fields.byte()
    if flags & _RESERVED:
        raise MalformedPacket("a CONNECT with its reserved flag set")
    if flags & _PASSWORD and not flags & _USERNAME:
        raise MalformedPacket("a CONNECT with a password and no user name")
    qos = (flags >> 3) & 3
    if qos == 3 or (not flags & _WILL and (qos or flags & _RETAIN)):
        raise MalformedPacket("a CONNECT whose flags of the will contradict each other")
    keep_alive = fields.number()
    client_id = fields.text()
    will = None
    if flags & _WILL:
        topic = fields.text()
        if not topic or "#" in topic or "+" in topic:
            raise MalformedPacket("a will whose topic is no topic name")
        will = Will(topic=topic, payload=fields.binary(), qos=qos, retain=bool(flags & _RETAIN))
    return Connect(
        client_id=client_id,
        clean_session=bool(flags & _CLEAN),
        keep_alive=keep_alive,
        username=fields.text() if flags & _USERNAME else None,
        password=fields.binary() if flags & _PASSWORD else None,
        will=will,
    )
