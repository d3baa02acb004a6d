"""Messages of AMQP: one that a client sent, with types; and one to send. Proton encodes and decodes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from proton import Message, MessageException

from windtunnel_emulators.iot.amqp.errors import DECODE_ERROR, AmqpRefusal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message of a client."""

    id: object = None
    """A text, number, UUID or bytes; None without one."""
    correlation_id: object = None
    user_id: bytes = b""
    to: str = ""
    reply_to: str = ""
    content_type: str = ""
    content_encoding: str = ""
    expires: float = 0
    """Seconds since 1970; 0 for never."""
    properties: Mapping[str, object] = field(default_factory=dict[str, object])
    """The application's."""
    body: object = None

    def text(self, name: str) -> str:
        """A property of the application, as text; empty without it."""
        value = self.properties.get(name)
        return "" if value is None else str(value)

    @property
    def octets(self) -> bytes | None:
        """The body, where it is bytes or a text; None where it is neither."""
        if self.body is None:
            return b""
        if isinstance(self.body, str):
            return self.body.encode()
        return self.body if isinstance(self.body, bytes) else None


def decoded(data: bytes) -> Received:
    """Raises ``AmqpRefusal``."""
    message: Any = Message()
    fields: dict[str, object]
    try:
        message.decode(data)
        body: Any = message.body
        fields = dict(message.properties or {})
        return Received(
            id=message.id,
            correlation_id=message.correlation_id,
            user_id=bytes(message.user_id or b""),
            to=message.address or "",
            reply_to=message.reply_to or "",
            content_type=str(message.content_type or ""),
            content_encoding=str(message.content_encoding or ""),
            expires=float(message.expiry_time or 0),
            properties={str(name): value for name, value in fields.items()},
            body=body.tobytes() if hasattr(body, "tobytes") else body,
        )
    except (MessageException, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise AmqpRefusal(DECODE_ERROR, f"The message is no AMQP 1.0: {problem}.") from problem


def encoded(**fields: object) -> bytes:
    """A message of Proton's fields (``body``, ``properties``, ``annotations``, ``id`` ...)."""
    made: Any = Message
    found: bytes = made(**fields).encode()
    return found
