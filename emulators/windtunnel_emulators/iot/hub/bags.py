"""Property bags: the part of a topic that carries a message's properties, and IoT Hub's names for those of the system.

Keys and values are percent-encoded (a plus is a plus). A bag is split before it is decoded; Node ends it with a slash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_NAMES: Mapping[str, str] = {
    "$.mid": "message-id",
    "$.cid": "correlation-id",
    "$.uid": "user-id",
    "$.to": "to",
    "$.ct": "content-type",
    "$.ce": "content-encoding",
    "$.exp": "absolute-expiry-time",
    "$.ctime": "creation-time-utc",
    "$.on": "output-name",
    "$.ifid": "interface-id",
    "$.sub": "component-name",
    "$.schema": "message-schema",
    "$.cdid": "connection-device-id",
    "$.cmid": "connection-module-id",
    "iothub-operation": "operation",
    "iothub-ack": "ack",
    "ack": "ack",
}
"""What stands in a bag for a property of the system; anything else is an application's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """A message's properties, told apart."""

    system: Mapping[str, str]
    """By the plain name (``message-id``)."""
    application: Mapping[str, str]


def decode(bag: str) -> dict[str, str]:
    """The entries of a bag, plainly; of a repeated key the last."""
    found: dict[str, str] = {}
    for part in bag.strip("/").split("&"):
        if part:
            name, _, value = part.partition("=")
            found[unquote(name)] = unquote(value)
    return found


def encode(entries: Mapping[str, str]) -> str:
    """A bag of entries."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in entries.items())


def split(entries: Mapping[str, str]) -> Properties:
    """Entries of a bag by whose they are."""
    system: dict[str, str] = {}
    application: dict[str, str] = {}
    for name, value in entries.items():
        known = SYSTEM_NAMES.get(name)
        if known is None:
            application[name] = value
        else:
            system[known] = value
    return Properties(system=system, application=application)
