"""A client of any API server over HTTP/1.1 and TLS: connections kept alive, watches on connections of their own.

httpx is imported by the first request, so that programs without a cluster never load it.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from windtunnel_emulators.jsontypes import Json, JsonObject, as_object, as_str
from windtunnel_emulators.kubernetes.client.interface import StatusError, Unreachable, WatchEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping
    from pathlib import Path

    import httpx

REQUEST_TIMEOUT_S = 30.0
WATCH_TIMEOUT_S = 1800
_CLOSE_S = 2.0
_CONNECTIONS = 16
_WATCHES = 256

_T = TypeVar("_T")

# The reasons of answers that carry no Status: a proxy's page, an unknown path.
_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Gone",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


def client_context(*, ca_file: Path, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """TLS that trusts ``ca_file`` alone, and shows the client certificate."""
    context = ssl.create_default_context(cafile=str(ca_file))
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


class HttpClient:
    """``Client`` of the API server at ``server``, as whom the TLS context's certificate or the token says."""

    def __init__(
        self,
        server: str,
        *,
        context: ssl.SSLContext | None = None,
        token: str | None = None,
        user_agent: str = "windtunnel",
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self._server = server.rstrip("/")
        self._context = context
        self._timeout_s = timeout_s
        self._headers = {"Accept": "application/json", "User-Agent": user_agent}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._requests: httpx.AsyncClient | None = None
        self._watches: httpx.AsyncClient | None = None
        self._under_way: set[asyncio.Future[Any]] = set()

    def _session(self, connections: int) -> httpx.AsyncClient:
        import httpx

        return httpx.AsyncClient(
            base_url=self._server,
            verify=True if self._context is None else self._context,
            headers=self._headers,
            timeout=httpx.Timeout(self._timeout_s),
            limits=httpx.Limits(
                max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=60
            ),
            trust_env=False,
            follow_redirects=False,
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json = None,
        content_type: str = "application/json",
    ) -> JsonObject:
        """The parsed answer of a 2xx. Raises ``StatusError`` and ``Unreachable``."""
        import httpx

        if self._requests is None:
            self._requests = self._session(_CONNECTIONS)
        try:
            answer = await self._whole(
                self._requests.request(
                    method,
                    path,
                    params=dict(query or {}),
                    content=None if body is None else msgspec.json.encode(body),
                    headers=None if body is None else {"Content-Type": content_type},
                )
            )
        except httpx.TransportError as failure:
            raise Unreachable(f"{method} {self._server}{path}: {failure or type(failure).__name__}") from failure
        if not 200 <= answer.status_code < 300:
            raise _failure(answer.status_code, answer.content)
        try:
            return as_object(msgspec.json.decode(answer.content)) if answer.content else {}
        except msgspec.DecodeError as failure:
            raise Unreachable(f"{method} {self._server}{path} answered no JSON: {failure}") from failure

    async def watch(self, path: str, *, query: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        """The events of a collection, until the server ends them; see ``Client.watch``."""
        import httpx

        if self._watches is None:
            self._watches = self._session(_WATCHES)
        parameters = {"timeoutSeconds": str(WATCH_TIMEOUT_S), **(query or {}), "watch": "1"}
        silence = httpx.Timeout(self._timeout_s, read=float(parameters["timeoutSeconds"]) + self._timeout_s)
        request = self._watches.build_request("GET", path, params=parameters, timeout=silence)
        try:
            answer = await self._whole(self._watches.send(request, stream=True))
            try:
                if not 200 <= answer.status_code < 300:
                    raise _failure(answer.status_code, await answer.aread())
                rest = b""
                async for chunk in answer.aiter_bytes():
                    *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
                    for line in lines:
                        if line.strip():
                            yield _event(line)
            finally:
                await answer.aclose()
        except httpx.TransportError as failure:
            raise Unreachable(f"watch of {self._server}{path}: {failure or type(failure).__name__}") from failure

    async def _whole(self, work: Coroutine[Any, Any, _T]) -> _T:
        """The result of a request. Who stops waiting does not stop it: httpcore 1.0 leaves a socket open where it is
        cancelled in a TLS handshake; ``close`` waits for what is under way."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._abandoned)
            raise

    def _abandoned(self, task: asyncio.Task[Any]) -> None:
        """Nobody reads the answer any more."""
        if not task.cancelled() and task.exception() is None:
            closing = asyncio.ensure_future(task.result().aclose())
            self._under_way.add(closing)
            closing.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """End every connection; a watch in progress raises ``Unreachable`` or ends."""
        sessions = [each for each in (self._requests, self._watches) if each is not None]
        self._requests = self._watches = None
        if self._under_way:
            _, late = await asyncio.wait(set(self._under_way), timeout=_CLOSE_S)
            for each in late:
                each.cancel()
        for session in sessions:
            await session.aclose()


def _event(line: bytes) -> WatchEvent:
    try:
        value = as_object(msgspec.json.decode(line))
    except msgspec.DecodeError as failure:
        raise Unreachable(f"a watch answered no JSON: {failure}") from failure
    kind, obj = as_str(value.get("type")), as_object(value.get("object"))
    if kind == "ERROR":
        raise StatusError(obj)
    return WatchEvent(type=kind, object=obj)


def _failure(code: int, content: bytes) -> StatusError:
    try:
        status = as_object(msgspec.json.decode(content))
    except msgspec.DecodeError:
        status = {}
    if status.get("kind") == "Status":
        return StatusError({"code": code, **status})
    said = content.decode("utf-8", "replace").strip()[:500]
    return StatusError(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": said or f"the server answered {code}",
            "reason": _REASONS.get(code, ""),
            "code": code,
        }
    )
