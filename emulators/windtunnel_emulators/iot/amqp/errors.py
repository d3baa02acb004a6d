"""What is refused over AMQP, and how: with a condition of the standard, or one of Microsoft's own.

AmqpRefusal
+-- (``condition`` decides what clients make of it; the message is a sentence for the user)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.iot.hub.errors import HubError

NOT_FOUND = "amqp:not-found"
UNAUTHORIZED = "amqp:unauthorized-access"
NOT_ALLOWED = "amqp:not-allowed"
INVALID_FIELD = "amqp:invalid-field"
DECODE_ERROR = "amqp:decode-error"
NOT_IMPLEMENTED = "amqp:not-implemented"
INTERNAL = "amqp:internal-error"
LIMIT_EXCEEDED = "amqp:resource-limit-exceeded"
FORCED = "amqp:connection:forced"
STOLEN = "amqp:link:stolen"
REDIRECT = "amqp:link:redirect"
TOO_LARGE = "amqp:link:message-size-exceeded"
OUT_OF_RANGE = "com.microsoft:argument-out-of-range"
ARGUMENT = "com.microsoft:argument-error"

_BY_STATUS = {
    400: ARGUMENT,
    401: UNAUTHORIZED,
    403: LIMIT_EXCEEDED,
    404: NOT_FOUND,
    413: TOO_LARGE,
    501: NOT_IMPLEMENTED,
}


class AmqpRefusal(Exception):
    """A link, or one message on it, is refused."""

    def __init__(self, condition: str, message: str, info: Mapping[str, str | int] | None = None) -> None:
        """``info`` is what a client needs to go on: of a redirection, where to."""
        super().__init__(message)
        self.condition = condition
        self.message = message
        self.info = info


def refusal_of(error: HubError) -> AmqpRefusal:
    """A hub's refusal as AMQP says it."""
    return AmqpRefusal(_BY_STATUS.get(error.status, INTERNAL), error.message)
