"""Writing an answer: ARM's headers on every one, nulls left out, errors in ARM's shape."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import getrandbits
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.arm.errors import ArmError
    from windtunnel_emulators.arm.requests import Headers
    from windtunnel_emulators.asgi import Send
    from windtunnel_emulators.jsontypes import Json

_ALWAYS: tuple[tuple[bytes, bytes], ...] = (
    (b"cache-control", b"no-cache"),
    (b"pragma", b"no-cache"),
    (b"expires", b"-1"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"x-content-type-options", b"nosniff"),
)
_JSON = (b"content-type", b"application/json; charset=utf-8")
_CONTROLS = bytes([*range(32), 127])
_encode = msgspec.json.Encoder().encode

# Microsoft's limits per hour and subscription; counted, never enforced: nothing here is shared with anybody.
_ALLOWED = {b"reads": 12_000, b"writes": 1_200, b"deletes": 15_000}
_KIND = {"GET": b"reads", "HEAD": b"reads", "DELETE": b"deletes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent back."""

    status: int
    body: Json = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def problem(error: ArmError) -> Answer:
    """A refusal as an answer."""
    return Answer(status=error.status, body=error.body(), headers=error.headers)


class Meter:
    """What is left of a subscription's requests in this hour, by kind."""

    def __init__(self) -> None:
        self._hour = 0
        self._used: dict[bytes, int] = {}

    def header(self, method: str, now: float) -> tuple[bytes, bytes]:
        """Count one request, at ``now`` in seconds."""
        hour = int(now) // 3600
        if hour != self._hour:
            self._hour = hour
            self._used.clear()
        kind = _KIND.get(method, b"writes")
        used = self._used[kind] = self._used.get(kind, 0) + 1
        return b"x-ms-ratelimit-remaining-subscription-" + kind, b"%d" % max(0, _ALLOWED[kind] - used)


class Writer:
    """Sends ARM's answers."""

    def __init__(self) -> None:
        self._meter = Meter()
        self._second = 0
        self._stamp = b""

    async def send(self, send: Send, method: str, asked: Headers, request_id: str, answer: Answer) -> None:
        """Send an answer with the headers that every answer of ARM's has."""
        content = b"" if answer.body is None else encode(answer.body)
        now = time.time()
        id = request_id.encode()
        headers = [
            *_ALWAYS,
            (b"x-ms-request-id", id),
            (b"x-ms-correlation-request-id", _echo(asked.raw(b"x-ms-correlation-request-id")) or id),
            (b"x-ms-routing-request-id", b"LOCAL:%b:%b" % (self._time(int(now)), id)),
            self._meter.header(method, now),
        ]
        if asked.raw(b"x-ms-return-client-request-id") in (b"true", b"True"):
            client = _echo(asked.raw(b"x-ms-client-request-id"))
            if client:
                headers.append((b"x-ms-client-request-id", client))
        for name, value in answer.headers.items():
            headers.append((name.lower().encode("latin-1"), _echo(value.encode("latin-1", "replace"))))
        if content:
            headers.append(_JSON)
        if answer.status != 204:
            headers.append((b"content-length", b"%d" % len(content)))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _time(self, now: int) -> bytes:
        if now != self._second:
            self._second = now
            self._stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ").encode()
        return self._stamp


def new_request_id() -> str:
    """The id that an answer, its log line and its error share."""
    # A UUID of version 4 (RFC 9562), as uuid4 makes them in ten times the time: this one need not be unguessable.
    id = f"{getrandbits(128):032x}"
    return f"{id[:8]}-{id[8:12]}-4{id[13:16]}-a{id[17:20]}-{id[20:]}"


def encode(body: Json) -> bytes:
    """JSON without nulls: clients read an absent field as null, and some refuse null where a schema has none."""
    content = _encode(body)
    return _encode(without_nulls(body)) if b"null" in content else content


def without_nulls(value: Json) -> Json:
    """The same without fields that are null; in a list, a null has its place and stays."""
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value


def _echo(value: bytes | None) -> bytes:
    """A header's value that a client sent or chose, cleared of what would end it, and not longer than need be."""
    if not value:
        return b""
    return value[:4096].translate(None, _CONTROLS)


def rfc3339(moment: datetime) -> str:
    """As ARM writes times: UTC, seven digits of a second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond:06d}0Z"
