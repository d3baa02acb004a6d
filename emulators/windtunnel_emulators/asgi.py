"""ASGI's callables as types, and the two answers that every part of the emulators gives: JSON and plain text.

``Any`` stands here and nowhere else: ASGI's messages are dictionaries whose values depend on their ``type``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGI: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

RawHeaders: TypeAlias = Iterable[tuple[bytes, bytes]]


async def respond(
    send: Send,
    status: int,
    body: bytes = b"",
    *,
    content_type: bytes = b"text/plain; charset=utf-8",
    headers: RawHeaders = (),
) -> None:
    """Answer with a whole body; without one, no content type is sent."""
    raw = [*headers, (b"content-length", b"%d" % len(body))]
    if body:
        raw.append((b"content-type", content_type))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def respond_json(send: Send, status: int, body: Json, *, headers: RawHeaders = ()) -> None:
    """Answer with JSON."""
    content = msgspec.json.encode(body)
    await respond(send, status, content, content_type=b"application/json; charset=utf-8", headers=headers)


async def chunks(receive: Receive) -> AsyncGenerator[bytes]:
    """The pieces of the request's body as they come, none of them empty. Raises ``ClientGone``."""
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        body: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        if body:
            yield body


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""
