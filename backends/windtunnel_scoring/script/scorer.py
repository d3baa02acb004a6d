"""A script as a scorer: ``init()`` before the server listens, then ``run()`` for each request, timed and limited.

Whatever ``run()`` raises, ``SystemExit`` included, is that request's failure and not the server's end.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, cast

from windtunnel_scoring import current
from windtunnel_scoring.asgi import Response, json_response, message_response
from windtunnel_scoring.errors import NotSerialisable, RunFailed, ScoringTimeout, ScriptError
from windtunnel_scoring.scorer import Outcome
from windtunnel_scoring.script.interrupt import Interrupted, interrupted_after

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_scoring.asgi import Request
    from windtunnel_scoring.script.loader import Script
    from windtunnel_scoring.swagger import Description

logger = logging.getLogger("windtunnel.script")


class ScriptScorer:
    """One script of one process."""

    def __init__(self, script: Script, *, timeout_ms: int) -> None:
        """Calls ``init()``; raises ``ScriptError`` when that fails."""
        logger.info("calling the script's init()")
        try:
            script.init()
        except BaseException as error:
            raise ScriptError("User's init function failed") from error
        self._script = script
        self._timeout_ms = timeout_ms

    @property
    def methods(self) -> frozenset[str]:
        return self._script.parser.methods

    @property
    def description(self) -> Description:
        return self._script.description

    def owns(self, path: str) -> bool:
        del path
        return False

    def owned_failure(self, status: int, message: str) -> Response:
        return message_response(status, message)

    def score(self, request: Request) -> Outcome:
        arguments = self._script.parser.arguments(request)
        if self._script.wants_headers:
            arguments["request_headers"] = request.headers.titled()
        current.request_id.set(request.headers.get("x-request-id") or current.NO_ID)
        started = time.perf_counter()
        try:
            with interrupted_after(self._timeout_ms / 1000):
                result = self._script.run(**arguments)
        except Interrupted as error:
            raise ScoringTimeout(self._timeout_ms) from error
        except BaseException as error:
            raise RunFailed(error) from error
        elapsed_ms = (time.perf_counter() - started) * 1000
        own = _own_response(result)
        if own is not None:
            response, failed = own
            return Outcome(response=response, elapsed_ms=elapsed_ms, run_failed=failed)
        try:
            response = json_response(200, {} if result is None else result)
        except (TypeError, ValueError, RecursionError) as error:
            raise NotSerialisable(str(error)) from error
        return Outcome(response=response, elapsed_ms=elapsed_ms)


def _own_response(result: object) -> tuple[Response, bool] | None:
    """The answer that ``run()`` made itself, an ``AMLResponse`` or Flask's; None for a value."""
    status: object = getattr(result, "status_code", None)
    read: object = getattr(result, "get_data", None)
    headers: object = getattr(result, "headers", None)
    if not isinstance(status, int) or not callable(read) or headers is None:
        return None
    logger.info("run() made its own response")
    listed: object = getattr(headers, "items", None)
    items = listed() if callable(listed) else headers
    pairs = [(str(name), str(value)) for name, value in cast("Iterable[tuple[object, object]]", items)]
    marked = any(name.lower() == "x-ms-run-function-failed" and value == "True" for name, value in pairs)
    failed = marked or status >= 500 or getattr(result, "run_function_failed", False) is True
    kept = tuple(pair for pair in pairs if pair[0].lower() not in ("x-ms-run-function-failed", "content-length"))
    return Response(status=status, body=cast("bytes", read()), headers=kept), failed
