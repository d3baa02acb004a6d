"""The reverse proxy: checks the key, forwards, and says what went wrong when the container does not answer.

``GET /`` is open, because probes carry no key; everything else needs one. The key itself goes no further. Answers of
the container pass as they are, except that its 500 may be turned into 502 (``run_failed_status``).
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_scoring.asgi import HTML, ClientGone, Response, message_response
from windtunnel_scoring.frontend.exchange import Exchange, Rules, TooLarge
from windtunnel_scoring.frontend.upstream import ClosedEarly, NotReady, Upstream
from windtunnel_scoring.record import log_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_scoring.asgi import Receive, Scope, Send
    from windtunnel_scoring.cors import Cors
    from windtunnel_scoring.frontend.keys import Keys
    from windtunnel_scoring.frontend.upstream import Connection
    from windtunnel_scoring.record import Observe

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


class FrontEnd:
    """The ASGI application of one front end."""

    def __init__(self, upstream: Upstream, options: ProxyOptions) -> None:
        self._upstream = upstream
        self._options = options
        self._rules = Rules(
            max_body_bytes=options.max_body_bytes,
            run_failed_status=options.run_failed_status,
            observe=options.observe,
            new_id=options.new_id,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, self._rules)
        exchange.cors = self._options.cors
        exchange.keeps_authorization = self._options.keys is None
        refusal = self._refusal(exchange)
        if refusal is not None:
            await exchange.refuse(*refusal)
        else:
            await self._forward(exchange)
        exchange.record()

    def _refusal(self, exchange: Exchange) -> tuple[Response, str] | None:
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

    async def _forward(self, exchange: Exchange) -> None:
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
        except TooLarge:
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
