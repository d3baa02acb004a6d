"""Addresses of links, taken apart: ``amqps://HOST/PATH`` or the path alone, and what of the hub it names.

As on Azure there are two services: the Event Hubs-compatible endpoint, whose paths begin with its name, and the hub's
own, whose paths begin with ``messages``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import unquote

from windtunnel_emulators.iot.amqp.errors import NOT_ALLOWED, NOT_FOUND, AmqpRefusal

CBS = "$cbs"
MANAGEMENT = "$management"


class Kind(Enum):
    """What is at an address."""

    CBS = auto()
    MANAGEMENT = auto()
    EVENTS = auto()
    """A partition of the built-in endpoint, for one consumer group."""
    SENDING = auto()
    """The built-in endpoint, to send to: nobody may."""
    EVENTS_ELSEWHERE = auto()
    """The hub's own name for the built-in endpoint: clients are sent on."""
    COMMANDS = auto()
    FEEDBACK = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a link leads."""

    kind: Kind
    path: str
    """Below the host, for which the client needs a token."""
    group: str = ""
    partition: str = ""
    tail: str = ""
    """Behind the name of the endpoint."""


def parse(text: str, events: str) -> Address:
    """``events`` is the name of the built-in endpoint. Raises ``AmqpRefusal``."""
    path = unquote(path_of(text))
    words = path.lower().split("/")
    if words == [CBS]:
        return Address(kind=Kind.CBS, path=path)
    if words == [MANAGEMENT]:
        return Address(kind=Kind.MANAGEMENT, path=path)
    if words[0] == events.lower():
        return _events(path, words)
    if words[:2] == ["messages", "events"]:
        return Address(kind=Kind.EVENTS_ELSEWHERE, path=path, tail="/".join(path.split("/")[2:]))
    if words == ["messages", "devicebound"]:
        return Address(kind=Kind.COMMANDS, path=path)
    if words == ["messages", "servicebound", "feedback"]:
        return Address(kind=Kind.FEEDBACK, path=path)
    if words[:2] == ["messages", "servicebound"]:
        raise AmqpRefusal(
            NOT_ALLOWED, f"'{path[:200]}' is not emulated: files are not uploaded through this hub. Use a hub in Azure."
        )
    if words[0] == "devices":
        raise AmqpRefusal(
            NOT_ALLOWED, "Devices do not speak AMQP with this hub. Let them use MQTT (port 8883), or a hub in Azure."
        )
    raise AmqpRefusal(
        NOT_FOUND,
        f"There is nothing at '{path[:200]}'. The events of the devices are at"
        f" '{events}/ConsumerGroups/GROUP/Partitions/NUMBER'.",
    )


def path_of(text: str) -> str:
    """Without scheme and host, and without slashes around it."""
    _, scheme, rest = text.partition("://")
    return (rest.partition("/")[2] if scheme else text).strip("/")


def _events(path: str, words: list[str]) -> Address:
    parts = path.split("/")
    if words[1:] == [MANAGEMENT]:
        return Address(kind=Kind.MANAGEMENT, path=path)
    if len(words) == 5 and (words[1], words[3]) == ("consumergroups", "partitions"):
        return Address(kind=Kind.EVENTS, path=path, group=parts[2], partition=parts[4])
    if len(words) == 1 or (len(words) == 3 and words[1] in ("partitions", "publishers")):
        return Address(kind=Kind.SENDING, path=path)
    raise AmqpRefusal(
        NOT_FOUND, f"'{path[:200]}' is no partition: those are at '{parts[0]}/ConsumerGroups/GROUP/Partitions/NUMBER'."
    )
