"""HTTP as values, and the few lines between them and ASGI.

Bodies are read whole here (the scoring server needs all of an input before it can score); the front end streams and
uses only the types and ``Headers``.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

Message: TypeAlias = MutableMapping[str, object]
Scope: TypeAlias = MutableMapping[str, object]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
RawHeaders: TypeAlias = "Sequence[tuple[bytes, bytes]]"

JSON = "application/json"
HTML = "text/html; charset=utf-8"


class ClientGone(Exception):
    """The client closed the connection before its request was complete; there is nobody to answer."""


class Headers:
    """The headers of a request; names are compared without case."""

    def __init__(self, raw: RawHeaders) -> None:
        """``raw`` has lower-case names, as ASGI gives them."""
        self.raw = raw

    def get(self, name: str) -> str | None:
        """The first value; None when the header is absent, which an empty one is not."""
        wanted = name.lower().encode("latin-1")
        return next((value.decode("latin-1") for key, value in self.raw if key == wanted), None)

    def titled(self) -> dict[str, str]:
        """As the documented server hands them to ``run(request_headers=...)``: ``X-Request-Id``; repeats are joined."""
        joined: dict[str, str] = {}
        for key, value in self.raw:
            name, text = key.decode("latin-1").title(), value.decode("latin-1")
            joined[name] = f"{joined[name]},{text}" if name in joined else text
        return joined

    @property
    def media_type(self) -> str:
        """``Content-Type`` without its parameters, in lower case; empty when absent."""
        return (self.get("content-type") or "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request with its whole body."""

    method: str
    path: str
    query: bytes = b""
    headers: Headers
    body: bytes = b""
    scheme: str = "http"
    client: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer, whole."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def with_headers(self, *pairs: tuple[str, str]) -> Response:
        """The same answer with more headers at the end."""
        return Response(status=self.status, body=self.body, headers=(*self.headers, *pairs))

    def replacing_header(self, name: str, value: str) -> Response:
        """The same answer in which the header has this value, once."""
        kept = tuple(pair for pair in self.headers if pair[0].lower() != name.lower())
        return Response(status=self.status, body=self.body, headers=(*kept, (name, value)))


def json_response(status: int, value: object) -> Response:
    """Raises what ``json.dumps`` raises for what JSON cannot hold. NaN passes as ``NaN``, as it does on Azure."""
    return Response(status=status, body=json.dumps(value).encode(), headers=(("content-type", JSON),))


def message_response(status: int, message: str) -> Response:
    """The one shape of an error: ``{"message": "..."}``."""
    return json_response(status, {"message": message})


async def read_body(receive: Receive) -> bytes:
    """The whole body; raises ``ClientGone``."""
    first = await receive()
    if first["type"] == "http.request" and not first.get("more_body"):
        return cast("bytes", first.get("body", b""))
    parts: list[bytes] = []
    message = first
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(cast("bytes", message.get("body", b"")))
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


async def send_response(send: Send, response: Response, *, head: bool = False) -> None:
    """``head`` sends the headers of the answer, its length included, and no body."""
    pairs: list[tuple[bytes, bytes]] = list(encoded(response.headers))
    pairs.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": pairs})
    await send({"type": "http.response.body", "body": b"" if head else response.body})


def encoded(headers: Iterable[tuple[str, str]]) -> Iterable[tuple[bytes, bytes]]:
    """Header pairs as ASGI wants them; what would end the header early is taken out of values."""
    for name, value in headers:
        clean = value.replace("\r", " ").replace("\n", " ").replace("\0", " ")
        yield name.lower().encode("latin-1"), clean.encode("latin-1", "replace")
