"""One request of a client on its way to a container and back, streamed: what a proxy passes on, and what it leaves out.

The front end of a container group and the router of a cluster share it. A request goes to one container at most.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from windtunnel_scoring.asgi import ClientGone, Headers, Response, encoded, message_response, send_response
from windtunnel_scoring.frontend.upstream import ClosedEarly
from windtunnel_scoring.identifiers import LIMIT, IdTooLong, RequestIds, identify
from windtunnel_scoring.record import RequestRecord, log_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_scoring.asgi import RawHeaders, Receive, Scope, Send
    from windtunnel_scoring.cors import Cors
    from windtunnel_scoring.frontend.upstream import Connection
    from windtunnel_scoring.record import Observe
    from windtunnel_scoring.telemetry.interface import Span

HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_FORWARDED = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"))
_REPLACED = frozenset((b"expect", b"x-request-id", *_FORWARDED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for every request of a proxy."""

    max_body_bytes: int = 100 * 1024 * 1024
    run_failed_status: int = 500
    """What a 500 of the container becomes."""
    ensures_id: bool = False
    """Whether an answer without ``x-ms-request-id`` gets one."""
    observe: Observe = log_record
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())


class TooLarge(Exception):
    """The body grew over the limit while it was forwarded."""


class Exchange:
    """One request of a client, and what became of it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, rules: Rules) -> None:
        self.started = time.perf_counter()
        self._scope = scope
        self._receive = receive
        self._send = send
        self._rules = rules
        self.method = str(scope["method"])
        self.path = str(scope["path"])
        self.headers = Headers(cast("RawHeaders", scope["headers"]))
        self.cors: Cors | None = None
        """Whose headers the proxy's own answers carry."""
        self.behind_proxy = False
        """Whether the client is a proxy of ours, whose ``X-Forwarded-`` headers stay."""
        self.keeps_authorization = True
        """Whether ``Authorization`` is the container's."""
        self.target: bytes | None = None
        """What the container is asked for; default: what the client asked for."""
        self.added_to_request: tuple[tuple[str, str], ...] = ()
        """In place of what the client sent under these names."""
        self.added_to_answer: tuple[tuple[str, str], ...] = ()
        self.replica_works = False
        """Whether the client was answered while the container still worked on the request."""
        self.service, self.version, self.replica, self.handed_to = "", "", "", ""
        """For the record."""
        self.span: Span | None = None
        length = self.headers.get("content-length")
        self.content_length = int(length) if length is not None and length.isdigit() else 0
        self._chunked = self.headers.get("transfer-encoding") is not None
        self._request_id = self.headers.get("x-request-id") or rules.new_id()
        self._first: tuple[bytes, bool] | None = None
        self._pump: asyncio.Task[None] | None = None
        self.status = 0
        self._sent, self._reason = 0, ""
        self.complete = False

    @property
    def authorization(self) -> bytes | None:
        return next((value for name, value in self.headers.raw if name == b"authorization"), None)

    @property
    def request_id(self) -> str:
        """The client's, or a new one."""
        return self._request_id

    @property
    def request_sent(self) -> bool:
        """Whether all of the request went to the container."""
        return self._pump is None or (self._pump.done() and not self._pump.cancelled() and not self._pump.exception())

    async def begin(self) -> None:
        """Wait for the body's first piece, so that no container waits for a slow client. Raises ``ClientGone``."""
        if self._first is None and (self._chunked or self.content_length):
            self._first = await self._receive_body()

    async def gather(self, most: int) -> bytes | None:
        """The whole body when it is no larger than this; it is still sent by ``ask``. Raises ``ClientGone``."""
        await self.begin()
        if self._first is None:
            return b""
        pieces, more = [self._first[0]], self._first[1]
        size = len(pieces[0])
        while more and size <= most:
            piece, more = await self._receive_body()
            pieces.append(piece)
            size += len(piece)
        self._first = (b"".join(pieces), more)
        return None if more or size > most else self._first[0]

    async def ask(self, connection: Connection) -> None:
        """Send the request and read the head of the answer, both at once: the answer may come before the body ended."""
        connection.send_head(self.method, self._target(), self.request_headers())
        await self.begin()
        if self._first is None:
            await connection.read_head()
            return
        body, more = self._first
        self._first = (b"", False)
        if more:
            await self._ask_streaming(connection, body)
            return
        await self._pass_on(connection, body, 0)
        connection.end_body(chunked=self._chunked)
        await connection.read_head()

    async def answer(self, connection: Connection) -> None:
        """Pass the answer on; ``complete`` says whether all of it went through, and all of the request too."""
        status = connection.status
        self.status = self._rules.run_failed_status if status == 500 else status
        dropped = _dropped(connection.headers)
        headers = [pair for pair in connection.headers if pair[0] not in dropped]
        headers += encoded(self.added_to_answer)
        if self._rules.ensures_id and all(name != b"x-ms-request-id" for name, _ in headers):
            headers += encoded((("x-ms-request-id", self._request_id[:LIMIT]),))
        await self._send({"type": "http.response.start", "status": self.status, "headers": headers})
        whole = connection.whole_body
        if whole is not None:
            await self._send_body(whole, more=False)
        else:
            try:
                async for piece in connection.body():
                    await self._send_body(piece, more=True)
            except ClosedEarly:
                # The client sees an answer that breaks off: ending it here would make half an answer a whole one.
                self._reason = "upstream closed"
                await self._end_pump()
                return
            await self._send_body(b"", more=False)
        self.complete = self._pump is None or self._pump.done()
        await self._end_pump()

    async def refuse(self, response: Response, reason: str) -> None:
        """Answer without the container."""
        await self._end_pump()
        cors = self.cors.headers(self.method, self.headers) if self.cors is not None else ()
        response = response.with_headers(*self._ids().headers(), *self.added_to_answer, *cors)
        self.status, self._sent, self._reason = response.status, len(response.body), reason
        await send_response(self._send, response, head=self.method == "HEAD")

    def gone(self) -> None:
        """There is nobody to answer; 499 is what such requests are commonly logged as."""
        self.status, self._reason = 499, "client gone"

    def broke_off(self, reason: str) -> None:
        """The answer could not be finished."""
        self._reason = reason

    def too_large(self) -> Response:
        return message_response(413, f"The request is larger than {self._rules.max_body_bytes} bytes")

    def record(self) -> RequestRecord | None:
        """Tell of it; None for a probe, of which nothing is told."""
        if self.path == "/" and self.status == 200:
            return None
        record = RequestRecord(
            method=self.method,
            path=self.path,
            status=self.status,
            duration_ms=(time.perf_counter() - self.started) * 1000,
            length=self._sent,
            request_id=self._request_id,
            client_request_id=self.headers.get("x-ms-client-request-id") or "",
            reason=self._reason,
            service=self.service,
            version=self.version,
            replica=self.replica,
            handed_to=self.handed_to,
        )
        self._rules.observe(record)
        return record

    @property
    def url(self) -> str:
        """What the client asked for."""
        query = cast("bytes", self._scope.get("query_string", b"")).decode("latin-1")
        scheme, host = str(self._scope.get("scheme", "http")), self.headers.get("host") or "localhost"
        if self.behind_proxy:
            scheme = self.headers.get("x-forwarded-proto") or scheme
            host = self.headers.get("x-forwarded-host") or host
        return f"{scheme}://{host}{self.path}" + (f"?{query}" if query else "")

    def _ids(self) -> RequestIds:
        """Of the proxy's own answers."""
        try:
            return identify(self.headers, lambda: self._request_id)
        except IdTooLong:
            short = self._request_id[:LIMIT]
            return RequestIds(request_id=short, legacy_request_id=short)

    def _target(self) -> bytes:
        raw = self.target or cast("bytes", self._scope.get("raw_path") or self.path.encode())
        query = cast("bytes", self._scope.get("query_string", b""))
        return raw + b"?" + query if query else raw

    def request_headers(self) -> list[tuple[bytes, bytes]]:
        """What the container gets of the client's headers, and what is added."""
        dropped = set(_dropped(self.headers.raw)) | (_REPLACED - _FORWARDED if self.behind_proxy else _REPLACED)
        dropped |= {name.encode() for name, _ in self.added_to_request}
        if not self.keeps_authorization:
            dropped.add(b"authorization")
        pairs = [pair for pair in self.headers.raw if pair[0] not in dropped]
        client = cast("tuple[str, int] | None", self._scope.get("client"))
        way = [part for part in (self.headers.get("x-forwarded-for"), client[0] if client else None) if part]
        added = [
            ("x-request-id", self._request_id),
            *self.added_to_request,
        ]
        if not self.behind_proxy:
            added += [
                ("x-forwarded-for", ", ".join(way)),
                ("x-forwarded-proto", str(self._scope.get("scheme", "http"))),
                ("x-forwarded-host", self.headers.get("host") or ""),
            ]
        pairs += encoded((name, value) for name, value in added if value)
        if self._chunked:
            pairs.append((b"transfer-encoding", b"chunked"))
        return pairs

    async def _ask_streaming(self, connection: Connection, first: bytes) -> None:
        self._pump = asyncio.create_task(self._pump_body(connection, first))
        reading = asyncio.create_task(connection.read_head())
        try:
            await asyncio.wait((self._pump, reading), return_when=asyncio.FIRST_COMPLETED)
            if self._pump.done() and not reading.done():
                self._pump.result()
            await reading
        finally:
            reading.cancel()
            # Until it has let go of the connection, nobody else may read from it.
            await asyncio.wait((reading,))

    async def _pump_body(self, connection: Connection, first: bytes) -> None:
        body, more, sent = first, True, 0
        while True:
            sent = await self._pass_on(connection, body, sent)
            if not more:
                break
            body, more = await self._receive_body()
        connection.end_body(chunked=self._chunked)

    async def _receive_body(self) -> tuple[bytes, bool]:
        """A piece of the client's body, and whether more follows; raises ``ClientGone``."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        return cast("bytes", message.get("body", b"")), bool(message.get("more_body"))

    async def _pass_on(self, connection: Connection, body: bytes, sent: int) -> int:
        if sent + len(body) > self._rules.max_body_bytes:
            raise TooLarge
        await connection.send_body(body, chunked=self._chunked)
        return sent + len(body)

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        self._sent += len(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def _end_pump(self) -> None:
        if self._pump is None:
            return
        self._pump.cancel()
        await asyncio.wait((self._pump,))
        if not self._pump.cancelled():
            # Whatever it failed with, the answer has been decided; asking marks it as seen.
            self._pump.exception()


def _dropped(headers: RawHeaders) -> frozenset[bytes]:
    """Names that concern one connection only: the known ones, those that ``Connection`` lists, and our own date."""
    named = (value for name, value in headers if name == b"connection")
    listed = {part.strip().lower() for value in named for part in value.split(b",")}
    return HOP_BY_HOP | listed | {b"date"} if listed else HOP_BY_HOP | {b"date"}
