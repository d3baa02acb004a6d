"""The packets of MQTT 3.1.1, as values.

Structs of msgspec rather than dataclasses: a hub makes tens of thousands of them a second, and these cost a fifth.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

ACCEPTED = 0
UNACCEPTABLE_PROTOCOL = 1
IDENTIFIER_REJECTED = 2
SERVER_UNAVAILABLE = 3
BAD_CREDENTIALS = 4
NOT_AUTHORIZED = 5
"""Return codes of CONNACK. Clients try again by themselves after 3 only."""

SUBSCRIPTION_FAILED = 0x80
"""In SUBACK, in place of the granted quality of service."""


class Will(msgspec.Struct, frozen=True, kw_only=True):
    """What the server publishes for a client whose connection ends without DISCONNECT."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


class Connect(msgspec.Struct, frozen=True, kw_only=True):
    """The first packet of a client. The password is never shown."""

    client_id: str
    clean_session: bool
    keep_alive: int
    """Seconds; 0 for none."""
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None

    def __repr__(self) -> str:
        return f"Connect(client_id={self.client_id!r}, username={self.username!r}, keep_alive={self.keep_alive})"


class ConnAck(msgspec.Struct, frozen=True):
    """The answer to CONNECT."""

    code: int
    session_present: bool = False


class Publish(msgspec.Struct, frozen=True):
    """A message. ``packet_id`` is 0 exactly when ``qos`` is."""

    topic: str
    payload: bytes
    qos: int = 0
    packet_id: int = 0
    duplicate: bool = False
    retain: bool = False


class PubAck(msgspec.Struct, frozen=True):
    """The answer to a message of quality of service 1."""

    packet_id: int


class PubRec(msgspec.Struct, frozen=True):
    """The first answer to a message of quality of service 2."""

    packet_id: int


class PubRel(msgspec.Struct, frozen=True):
    """The answer to PUBREC."""

    packet_id: int


class PubComp(msgspec.Struct, frozen=True):
    """The answer to PUBREL."""

    packet_id: int


class Subscribe(msgspec.Struct, frozen=True):
    """Filters with the quality of service that is asked for each."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]


class SubAck(msgspec.Struct, frozen=True):
    """What each filter of a SUBSCRIBE was granted."""

    packet_id: int
    granted: tuple[int, ...]


class Unsubscribe(msgspec.Struct, frozen=True):
    """Filters that are given up."""

    packet_id: int
    filters: tuple[str, ...]


class UnsubAck(msgspec.Struct, frozen=True):
    """The answer to UNSUBSCRIBE."""

    packet_id: int


class PingReq(msgspec.Struct, frozen=True):
    """The client is alive."""


class PingResp(msgspec.Struct, frozen=True):
    """So is the server."""


class Disconnect(msgspec.Struct, frozen=True):
    """The client goes, and wants no will published."""


Packet: TypeAlias = (
    Connect
    | ConnAck
    | Publish
    | PubAck
    | PubRec
    | PubRel
    | PubComp
    | Subscribe
    | SubAck
    | Unsubscribe
    | UnsubAck
    | PingReq
    | PingResp
    | Disconnect
)
