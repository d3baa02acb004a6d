"""The reverse proxy: checks the key, forwards, and says what went wrong when the container does not answer.

``GET /`` is open, because probes carry no key; everything else needs one. The key itself goes no further. Answers of
the container pass as they are, except that its 500 may be turned into 502 (``run_failed_status``).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from windtunnel_scoring.asgi import HTML, ClientGone, Headers, Response, encoded, message_response, send_response
from windtunnel_scoring.frontend.upstream import ClosedEarly, NotReady, Upstream
from windtunnel_scoring.record import RequestRecord, log_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_scoring.asgi import RawHeaders, Receive, Scope, Send
    from windtunnel_scoring.cors import Cors
    from windtunnel_scoring.frontend.keys import Keys
    from windtunnel_scoring.frontend.upstream import Connection
    from windtunnel_scoring.record import Observe

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
_OPEN_METHODS = frozenset(("GET", "HEAD"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyOptions:
    """How the front end works."""

    keys: Keys | None
    """None lets everyone in."""
    timeout_ms: int = 300_000
    max_body_bytes: int = 100 * 1024 * 1024
    run_failed_status: int = 500
    cors: Cors | None = None
    observe: Observe = log_record
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())


class _TooLarge(Exception):
    """The body grew over the limit while it was forwarded."""


class FrontEnd:
    """The ASGI application of one front end."""

    def __init__(self, upstream: Upstream, options: ProxyOptions) -> None:
        self._upstream = upstream
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(scope, receive, send, self._options)
        refusal = self._refusal(exchange)
        if refusal is not None:
            await exchange.refuse(*refusal)
        else:
            await self._forward(exchange)
        exchange.record()

    def _refusal(self, exchange: _Exchange) -> tuple[Response, str] | None:
        """The answer to a request that goes no further, and why."""
        headers, options = exchange.headers, self._options
        if (
            options.cors is not None
            and exchange.method == "OPTIONS"
            and headers.get("origin")
            and headers.get("access-control-request-method")
        ):
            # Browsers ask without the key; the container's script must not be reached this way.
            return Response(headers=(("content-type", HTML),)), "preflight"
        if options.keys is not None and not (exchange.path == "/" and exchange.method in _OPEN_METHODS):
            reason = options.keys.refusal(exchange.authorization)
            if reason is not None:
                unauthorized = message_response(401, "Unauthorized").with_headers(("www-authenticate", "Bearer"))
                return unauthorized, reason
        if exchange.content_length > options.max_body_bytes:
            return exchange.too_large(), "too large"
        return None

    async def _forward(self, exchange: _Exchange) -> None:
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self._options.timeout_ms / 1000):
                connection = await self._upstream.connect()
                await exchange.ask(connection)
        except NotReady:
            response = message_response(503, "The scoring container is not ready.").with_headers(("retry-after", "1"))
            await exchange.refuse(response, "not ready")
        except ClosedEarly:
            await exchange.refuse(message_response(502, "Replica closed connection before replying"), "upstream closed")
        except TimeoutError:
            message = f"The scoring container did not answer within {self._options.timeout_ms} ms"
            await exchange.refuse(message_response(504, message), "upstream timeout")
        except _TooLarge:
            await exchange.refuse(exchange.too_large(), "too large")
        except ClientGone:
            exchange.gone()
        else:
            await exchange.answer(connection)
            if exchange.complete:
                self._upstream.give_back(connection)
                return
        if connection is not None:
            connection.close()


class _Exchange:
    """One request of a client, and what became of it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, options: ProxyOptions) -> None:
        self._started = time.perf_counter()
        self._scope = scope
        self._receive = receive
        self._send = send
        self._options = options
        self.method = str(scope["method"])
        self.path = str(scope["path"])
        self.headers = Headers(cast("RawHeaders", scope["headers"]))
        length = self.headers.get("content-length")
        self.content_length = int(length) if length is not None and length.isdigit() else 0
        self._chunked = self.headers.get("transfer-encoding") is not None
        self._request_id = self.headers.get("x-request-id") or options.new_id()
        self._pump: asyncio.Task[None] | None = None
        self._status, self._sent, self._reason = 0, 0, ""
        self.complete = False

    @property
    def authorization(self) -> bytes | None:
        return next((value for name, value in self.headers.raw if name == b"authorization"), None)

    async def ask(self, connection: Connection) -> None:
        """Send the request and read the head of the answer, both at once: the answer may come before the body ended."""
        connection.send_head(self.method, self._target(), self._request_headers())
        if not (self._chunked or self.content_length):
            await connection.read_head()
            return
        body, more = await self._receive_body()
        if more:
            await self._ask_streaming(connection, body)
            return
        await self._pass_on(connection, body, 0)
        connection.end_body(chunked=self._chunked)
        await connection.read_head()

    async def answer(self, connection: Connection) -> None:
        """Pass the answer on; ``complete`` says whether all of it went through, and all of the request too."""
        status = connection.status
        self._status = self._options.run_failed_status if status == 500 else status
        dropped = _dropped(connection.headers)
        headers = [pair for pair in connection.headers if pair[0] not in dropped]
        await self._send({"type": "http.response.start", "status": self._status, "headers": headers})
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
        ids = (("x-request-id", self._request_id[:100]), ("x-ms-request-id", self._request_id[:100]))
        cors = self._options.cors.headers(self.method, self.headers) if self._options.cors is not None else ()
        response = response.with_headers(*ids, *cors)
        self._status, self._sent, self._reason = response.status, len(response.body), reason
        await send_response(self._send, response, head=self.method == "HEAD")

    def gone(self) -> None:
        """There is nobody to answer; 499 is what such requests are commonly logged as."""
        self._status, self._reason = 499, "client gone"

    def too_large(self) -> Response:
        return message_response(413, f"The request is larger than {self._options.max_body_bytes} bytes")

    def record(self) -> None:
        if self.path == "/" and self._status == 200:
            return  # probes
        record = RequestRecord(
            method=self.method,
            path=self.path,
            status=self._status,
            duration_ms=(time.perf_counter() - self._started) * 1000,
            length=self._sent,
            request_id=self._request_id,
            client_request_id=self.headers.get("x-ms-client-request-id") or "",
            reason=self._reason,
        )
        self._options.observe(record)

    def _target(self) -> bytes:
        raw = cast("bytes", self._scope.get("raw_path") or self.path.encode())
        query = cast("bytes", self._scope.get("query_string", b""))
        return raw + b"?" + query if query else raw

    def _request_headers(self) -> list[tuple[bytes, bytes]]:
        dropped = set(_dropped(self.headers.raw)) | {b"expect", b"x-forwarded-for", b"x-forwarded-proto"}
        dropped |= {b"x-forwarded-host", b"x-request-id"}
        if self._options.keys is not None:
            dropped.add(b"authorization")
        pairs = [pair for pair in self.headers.raw if pair[0] not in dropped]
        client = cast("tuple[str, int] | None", self._scope.get("client"))
        way = [part for part in (self.headers.get("x-forwarded-for"), client[0] if client else None) if part]
        added = [
            ("x-forwarded-for", ", ".join(way)),
            ("x-forwarded-proto", str(self._scope.get("scheme", "http"))),
            ("x-forwarded-host", self.headers.get("host") or ""),
            ("x-request-id", self._request_id),
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
        if sent + len(body) > self._options.max_body_bytes:
            raise _TooLarge
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
