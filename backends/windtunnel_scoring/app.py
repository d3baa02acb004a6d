"""The scoring contract over HTTP: ``/``, ``/score`` and ``/swagger.json``.

Statuses, bodies and headers are those of azureml-inference-server-http 1.5.1 (a test compares them). Answers to
unknown paths and methods carry no ids; every other one does. HEAD of ``/score`` is 405, as there.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qsl

from windtunnel_scoring import VERSION, failures
from windtunnel_scoring.asgi import (
    HTML,
    JSON,
    ClientGone,
    Headers,
    Request,
    Response,
    message_response,
    read_body,
    send_response,
)
from windtunnel_scoring.identifiers import IdTooLong, RequestIds, identify, identify_native
from windtunnel_scoring.record import RequestRecord, log_record
from windtunnel_scoring.swagger import UnknownVersion

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_scoring.asgi import RawHeaders, Receive, Scope, Send
    from windtunnel_scoring.cors import Cors
    from windtunnel_scoring.executors import Executor
    from windtunnel_scoring.record import Observe
    from windtunnel_scoring.scorer import Outcome, Scorer
    from windtunnel_scoring.swagger import Swagger
    from windtunnel_scoring.telemetry.interface import Telemetry

logger = logging.getLogger("windtunnel")

NOT_FOUND = (
    "The requested URL was not found on the server."
    " If you entered the URL manually please check your spelling and try again."
)
NOT_ALLOWED = "The method is not allowed for the requested URL."

_READ = frozenset(("GET", "HEAD", "OPTIONS"))
_SCORE = frozenset(("GET", "HEAD", "OPTIONS", "POST"))
_FAILED = "x-ms-run-function-failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppOptions:
    """How an app answers, beside its scorer."""

    cors: Cors | None = None
    legacy_errors: bool = False
    send_version: bool = True
    observe: Observe = log_record
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    telemetry: Telemetry | None = None


class ScoringApp:
    """The ASGI application of one scorer."""

    def __init__(self, scorer: Scorer, executor: Executor, swagger: Swagger, options: AppOptions) -> None:
        self._scorer = scorer
        self._executor = executor
        self._swagger = swagger
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        method, path = str(scope["method"]), "/" + str(scope["path"]).lstrip("/")
        headers = Headers(cast("RawHeaders", scope["headers"]))
        native = self._scorer.owns(path)
        allowed = _allowed(path, native=native)
        if allowed is None or method not in allowed:
            status, message = (404, NOT_FOUND) if allowed is None else (405, NOT_ALLOWED)
            refusal = self._scorer.owned_failure(status, message) if native else message_response(status, message)
            await send_response(send, refusal.with_headers((_FAILED, "False")), head=method == "HEAD")
            return
        ids, response = RequestIds(), None
        span = None
        if self._options.telemetry is not None and path != "/":
            span = self._options.telemetry.begin(method, _url(scope, headers), headers)
            span.enter()
        request: Request | None = None
        try:
            ids = (identify_native if native else identify)(headers, self._options.new_id)
        except IdTooLong as error:
            ids, response = error.ids, _marked(message_response(431, error.message))
        if response is None:
            try:
                body = await read_body(receive)
            except ClientGone:
                return
            request = Request(
                method=method,
                path=path,
                query=cast("bytes", scope.get("query_string", b"")),
                headers=headers,
                body=body,
                scheme=str(scope.get("scheme", "http")),
                client=_client(scope),
            )
            try:
                response = await self._answer(request)
            except asyncio.CancelledError:
                response = _marked(message_response(503, "The server was stopped before this request was done."))
        response = response.with_headers(*self._common_headers(method, headers, ids))
        await send_response(send, response, head=method == "HEAD")
        if path != "/":
            record = RequestRecord(
                method=method,
                path=path,
                status=response.status,
                duration_ms=(time.perf_counter() - started) * 1000,
                length=len(response.body),
                request_id=ids.request_id,
                client_request_id=ids.client_request_id,
            )
            self._options.observe(record)
            if span is not None:
                if request is not None and path != "/swagger.json":
                    span.data(request.body, response.body)
                span.end(record)

    async def _answer(self, request: Request) -> Response:
        if request.path in ("/", "/swagger.json"):
            if request.method == "OPTIONS":
                return Response(headers=(("content-type", HTML), ("allow", "GET, HEAD, OPTIONS")))
            return (
                Response(body=b"Healthy", headers=(("content-type", HTML),))
                if request.path == "/"
                else self._spec(request)
            )
        if request.path == "/score" and request.method not in self._scorer.methods:
            if request.method == "OPTIONS":
                return _marked(Response(headers=(("content-type", HTML),)))
            return _marked(message_response(405, "Method not allowed"))
        outcome = await self._score(request)
        response = _marked(outcome.response, failed=outcome.run_failed)
        if outcome.elapsed_ms is not None:
            response = response.with_headers(("x-ms-run-fn-exec-ms", f"{outcome.elapsed_ms:.3f}"))
        return response

    def _spec(self, request: Request) -> Response:
        query = parse_qsl(request.query.decode("utf-8", "replace"), keep_blank_values=True)
        version = next((value for name, value in query if name == "version"), None)
        try:
            response = Response(body=self._swagger.body(version), headers=(("content-type", JSON),))
        except UnknownVersion as error:
            response = message_response(404, str(error))
        return _marked(response)

    async def _score(self, request: Request) -> Outcome:
        scorer = self._scorer
        shape = scorer.owned_failure if scorer.owns(request.path) else message_response
        try:
            context = contextvars.copy_context()
            return await self._executor.run(lambda: context.run(scorer.score, request))
        except Exception as error:
            return failures.outcome(error, shape, legacy=self._options.legacy_errors)

    def _common_headers(self, method: str, headers: Headers, ids: RequestIds) -> tuple[tuple[str, str], ...]:
        pairs = list(ids.headers())
        if self._options.send_version:
            pairs.append(("x-ms-server-version", f"windtunnel/{VERSION}"))
        trace = headers.get("traceid")
        if trace is not None:
            pairs.append(("TraceId", trace))
        if self._options.cors is not None:
            pairs += self._options.cors.headers(method, headers)
        return tuple(pairs)


def _allowed(path: str, *, native: bool) -> frozenset[str] | None:
    """The methods of a path; None for a path that there is not."""
    if path in ("/", "/swagger.json"):
        return _READ
    if path == "/score":
        return _SCORE
    return frozenset(("POST",)) if native else None


def _marked(response: Response, *, failed: bool = False) -> Response:
    return response.with_headers((_FAILED, str(failed)))


def _url(scope: Scope, headers: Headers) -> str:
    query = cast("bytes", scope.get("query_string", b"")).decode("latin-1")
    host = headers.get("x-forwarded-host") or headers.get("host") or "localhost"
    scheme = headers.get("x-forwarded-proto") or str(scope.get("scheme", "http"))
    return f"{scheme}://{host}{scope['path']}" + (f"?{query}" if query else "")


def _client(scope: Scope) -> str | None:
    client = cast("tuple[str, int] | None", scope.get("client"))
    return client[0] if client else None
