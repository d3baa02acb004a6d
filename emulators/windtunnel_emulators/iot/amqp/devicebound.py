"""Messages to devices, as services send them over AMQP to ``messages/devicebound``."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from windtunnel_emulators.iot.amqp.errors import ARGUMENT, INTERNAL, INVALID_FIELD, AmqpRefusal, refusal_of
from windtunnel_emulators.iot.amqp.links import Incoming
from windtunnel_emulators.iot.amqp.messages import decoded
from windtunnel_emulators.iot.hub.errors import HubError
from windtunnel_emulators.iot.hub.feedback import ACK, LEVELS

if TYPE_CHECKING:
    from proton import Delivery, Receiver

    from windtunnel_emulators.iot.amqp.connection import AmqpConnection
    from windtunnel_emulators.iot.amqp.messages import Received
    from windtunnel_emulators.iot.hub.hub import Hub


class Devicebound(Incoming):
    """A service's sender."""

    path = "messages/devicebound"

    def __init__(self, connection: AmqpConnection, link: Receiver, hub: Hub) -> None:
        super().__init__(connection, link)
        self._hub = hub

    def delivered(self, delivery: Delivery, data: bytes) -> None:
        self.check()
        message = decoded(data)
        device = _device(message.to)
        try:
            self._hub.command(device, _properties(message), _body(message), expires=_expiry(message))
        except HubError as problem:
            raise refusal_of(problem) from problem
        except (sqlite3.Error, OSError) as problem:
            raise AmqpRefusal(INTERNAL, f"The message cannot be stored: {problem}.") from problem


def _device(to: str) -> str:
    parts = to.strip("/").split("/")
    if len(parts) == 4 and (parts[0].lower(), *map(str.lower, parts[2:])) == ("devices", "messages", "devicebound"):
        return parts[1]
    raise AmqpRefusal(
        INVALID_FIELD, f"The property 'to' is {to[:200]!r}; it is '/devices/DEVICE/messages/devicebound'."
    )


def _properties(message: Received) -> dict[str, str]:
    """As a bag has them: system properties first, by their names there."""
    found: dict[str, str] = {}
    if message.id is not None:
        found["$.mid"] = str(message.id)
    if message.correlation_id is not None:
        found["$.cid"] = str(message.correlation_id)
    if message.user_id:
        found["$.uid"] = message.user_id.decode("utf-8", "replace")
    found["$.to"] = message.to
    if message.content_type:
        found["$.ct"] = message.content_type
    if message.content_encoding:
        found["$.ce"] = message.content_encoding
    expires = _expiry(message)
    if expires is not None:
        found["$.exp"] = expires.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    for name, value in message.properties.items():
        key = ACK if name in ("ack", ACK) else name
        found[key] = _text(value, name)
    level = found.get(ACK)
    if level is not None:
        if level.lower() not in LEVELS:
            raise AmqpRefusal(ARGUMENT, f"'{ACK}' is '{level[:40]}'; it is one of {', '.join(LEVELS)}.")
        found[ACK] = level.lower()
    return found


def _text(value: object, name: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, str | int | float):
        return "" if value is None else str(value)
    raise AmqpRefusal(ARGUMENT, f"The property '{name[:80]}' is no text, number or truth value.")


def _expiry(message: Received) -> datetime | None:
    seconds = message.expires
    if not seconds:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        raise AmqpRefusal(ARGUMENT, f"The expiry {seconds} is no time.") from None


def _body(message: Received) -> bytes:
    body = message.octets
    if body is None:
        raise AmqpRefusal(ARGUMENT, "The body of a message to a device is bytes or a text.")
    return body
