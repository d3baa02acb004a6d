"""One HTTP request to a registry and its answer: what the handlers see of ASGI."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import msgspec

from windtunnel_emulators.asgi import chunks
from windtunnel_emulators.registry.errors import RegistryError, size_invalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from windtunnel_emulators.asgi import Receive, Scope, Send
    from windtunnel_emulators.jsontypes import Json

JSON = "application/json; charset=utf-8"
BYTES = "application/octet-stream"
_PIECE = 1 << 18
_LARGEST_FORM = 64 * 1024
_MOST_FIELDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    length: int | None = None
    """``Content-Length`` of an answer to HEAD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAnswer:
    """A file, or a part of it, sent in pieces."""

    path: Path
    start: int
    length: int
    status: int
    headers: Mapping[str, str]


def json_answer(status: int, body: Json, *, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status=status, body=msgspec.json.encode(body), content_type=JSON, headers=headers or {})


class Request:
    """A request: names of headers in lower case, the path decoded, the body read on demand."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self._query: bytes = scope["query_string"]
        self._receive = receive

    @cached_property
    def query(self) -> dict[str, list[str]]:
        return _fields(self._query)

    def parameter(self, name: str) -> str | None:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else None

    def count(self, name: str = "n") -> int | None:
        """A query parameter that says how many. Raises PAGINATION_NUMBER_INVALID."""
        text = self.parameter(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise RegistryError(
                400,
                "PAGINATION_NUMBER_INVALID",
                f"{name}={text[:40]!r} is not a number of entries",
                detail={name: text[:40]},
            )
        return int(text)

    @property
    def length(self) -> int | None:
        """``Content-Length``, when it was sent."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes: nothing more is taken from the connection before a piece was dealt with."""
        async for piece in chunks(self._receive):
            yield piece

    async def body(self, limit: int, too_large: RegistryError) -> bytes:
        """The whole body; raises ``too_large`` as soon as it is over the limit."""
        if (self.length or 0) > limit:
            raise too_large
        content = bytearray()
        async for piece in self.pieces():
            content += piece
            if len(content) > limit:
                raise too_large
        return bytes(content)

    async def form(self) -> dict[str, str]:
        """A body of form fields, the first value of each."""
        body = await self.body(_LARGEST_FORM, size_invalid("the form is too large"))
        return {name: values[0] for name, values in _fields(body).items()}


async def send_answer(send: Send, answer: Answer | FileAnswer, *, head: bool) -> None:
    """Send it; nothing but its headers to HEAD."""
    length = answer.length if answer.length is not None or isinstance(answer, FileAnswer) else len(answer.body)
    headers = [
        (b"docker-distribution-api-version", b"registry/2.0"),
        (b"x-ms-correlation-request-id", str(uuid.uuid4()).encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    if answer.status not in (204, 304):
        headers.append((b"content-length", str(length).encode()))
    if isinstance(answer, Answer) and answer.content_type:
        headers.append((b"content-type", answer.content_type.encode()))
    headers.extend((name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers.items())
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if isinstance(answer, FileAnswer) and not head:
        await _send_file(send, answer)
    else:
        body = b"" if head or isinstance(answer, FileAnswer) else answer.body
        await send({"type": "http.response.body", "body": body})


def _fields(text: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(text.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise RegistryError(400, "UNSUPPORTED", f"the request has over {_MOST_FIELDS} parameters") from error


async def _send_file(send: Send, answer: FileAnswer) -> None:
    left = answer.length
    # An open file stays readable even when the blob is deleted meanwhile.
    with answer.path.open("rb") as source:
        source.seek(answer.start)
        while left:
            piece = source.read(min(_PIECE, left))
            if not piece:
                raise OSError(f"{answer.path.name} ended {left} bytes early")
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
