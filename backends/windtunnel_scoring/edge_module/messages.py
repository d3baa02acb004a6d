"""Messages and method calls as requests of a scorer, and answers as what is sent back.

A message is scored as the body of ``POST /score``. Each element of an answer that is a list is one message; of text it
is the text itself, since scripts return JSON that they have written. Nothing (``None``, an empty list or object) sends
nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from windtunnel_scoring.asgi import JSON, Headers, Request
from windtunnel_scoring.edge_module.client import new_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_scoring.asgi import Response
    from windtunnel_scoring.edge_module.client import IncomingMessage, OutgoingMessage
    from windtunnel_scoring.jsontypes import Json

INPUT: Final = "amlInput"
OUTPUT: Final = "amlOutput"
PROPERTY: Final = "AzureMLResponse"
OK: Final = "OK"
FAILED: Final = "Error"
METHOD: Final = "score"
MOST_OF_A_METHOD: Final = 128 * 1024
"""Bytes of a direct method's payload, either way (wire-iot 2.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One message to send."""

    body: str
    response: str = OK
    correlation_id: str | None = None

    def message(self) -> OutgoingMessage:
        """As the SDK sends it."""
        return new_message(self.body, {PROPERTY: self.response}, self.correlation_id)


def request_of(message: IncomingMessage) -> Request:
    """What a scorer is asked for a message."""
    identifier = correlation_of(message)
    return _request(bytes(message.data), message.content_type or JSON, identifier)


def correlation_of(message: IncomingMessage) -> str | None:
    """What its answers are known by: its own correlation id, or its id."""
    return message.correlation_id or message.message_id


def call_of(payload: Json) -> Request:
    """What a scorer is asked for a direct method. Text is the body as it is, any other JSON its document."""
    body = payload if isinstance(payload, str) else "" if payload is None else json.dumps(payload)
    return _request(body.encode(), JSON, None)


def outputs(response: Response, correlation_id: str | None) -> Sequence[Output]:
    """The messages that an answer with a status below 400 makes."""
    try:
        answer = cast("Json", json.loads(response.body))
    except ValueError:
        answer = response.body.decode("utf-8", "replace")
    elements = answer if isinstance(answer, list) else [answer] if answer not in ({}, None, "") else []
    return [
        Output(body=element if isinstance(element, str) else json.dumps(element), correlation_id=correlation_id)
        for element in elements
    ]


def payload_of(response: Response) -> tuple[int, Json]:
    """Status and payload of a direct method's answer, which must be JSON and small."""
    if len(response.body) > MOST_OF_A_METHOD:
        return 500, {
            "message": f"the answer has {len(response.body)} bytes; a direct method carries {MOST_OF_A_METHOD} at most"
        }
    try:
        return response.status, cast("Json", json.loads(response.body, parse_constant=_no_number))
    except _NoNumber as error:
        return 500, {"message": f"the answer holds {error}, which a direct method cannot carry"}
    except ValueError:
        return response.status, response.body.decode("utf-8", "replace")


class _NoNumber(ValueError):
    """NaN or an infinity, which Python writes into JSON and nobody else reads."""


def _no_number(text: str) -> Json:
    raise _NoNumber(text)


def _request(body: bytes, content_type: str, identifier: str | None) -> Request:
    raw = [(b"content-type", content_type.encode("latin-1", "replace"))]
    if identifier is not None:
        raw.append((b"x-request-id", identifier.encode("latin-1", "replace")))
    return Request(method="POST", path="/score", headers=Headers(raw), body=body)
