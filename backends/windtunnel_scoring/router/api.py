"""A client of the Kubernetes API: JSON over HTTP/1.1, one object, one list or one watch at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, urlencode

from windtunnel_scoring.errors import ScoringError
from windtunnel_scoring.frontend.upstream import ClosedEarly, Connection

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from windtunnel_scoring.jsontypes import Json, JsonObject
    from windtunnel_scoring.router.credentials import Credentials

LIMIT_S = 30.0
WATCH_S = 240
"""How long the server keeps a watch open; then the next one follows."""
_PAGE = 500
_MOST_LINE = 8 * 1024 * 1024
MERGE_PATCH = "application/merge-patch+json"


class ApiError(ScoringError):
    """The API refused; ``status`` is that of HTTP, or of an error event of a watch."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status


class ApiUnreachable(ScoringError):
    """The API did not answer."""


class Api:
    """Each call uses a connection of its own: they are few."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> JsonObject:
        """Raises ``ApiError`` and ``ApiUnreachable``, as all do."""
        return await self._call("GET", path, query)

    async def list_all(self, path: str, selector: str) -> tuple[list[JsonObject], str]:
        """All objects, page by page, and the version from which a watch goes on."""
        items: list[JsonObject] = []
        query = {"labelSelector": selector, "limit": str(_PAGE)}
        while True:
            answer = await self.get(path, query)
            found, metadata = answer.get("items"), answer.get("metadata")
            if isinstance(found, list):
                items += [item for item in found if isinstance(item, dict)]
            about = metadata if isinstance(metadata, dict) else {}
            following = about.get("continue")
            if not following:
                return items, str(about.get("resourceVersion", ""))
            query["continue"] = str(following)

    async def watch(self, path: str, selector: str, version: str) -> AsyncGenerator[tuple[str, JsonObject]]:
        """Types and objects, until the server ends it. An error event is raised as ``ApiError``."""
        query = {
            "watch": "true",
            "labelSelector": selector,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_S),
        }
        connection = await self._connect()
        try:
            async with asyncio.timeout(LIMIT_S):
                await self._send(connection, "GET", path, query, b"", "")
            if connection.status != 200:
                async with asyncio.timeout(LIMIT_S):
                    raise _error(connection.status, await _read(connection))
            rest = b""
            pieces = connection.body()
            while True:
                async with asyncio.timeout(WATCH_S + LIMIT_S):
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                *lines, rest = (rest + piece).split(b"\n")
                if len(rest) > _MOST_LINE:
                    raise ApiUnreachable("the API sent an event without end")
                for line in lines:
                    if line.strip():
                        yield _event(line)
        except (ClosedEarly, TimeoutError, OSError) as error:
            raise ApiUnreachable(f"a watch of {path} broke off: {error or 'no event in time'}") from error
        finally:
            connection.close()

    async def patch(self, path: str, body: JsonObject) -> JsonObject:
        """A JSON merge patch."""
        return await self._call("PATCH", path, None, body, MERGE_PATCH)

    async def _call(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Json = None, media_type: str = ""
    ) -> JsonObject:
        data = b"" if body is None else json.dumps(body).encode()
        connection = await self._connect()
        try:
            async with asyncio.timeout(LIMIT_S):
                await self._send(connection, method, path, query or {}, data, media_type)
                content = await _read(connection)
        except (ClosedEarly, TimeoutError, OSError) as error:
            raise ApiUnreachable(f"{method} {path}: {error or 'no answer in time'}") from error
        finally:
            connection.close()
        if connection.status >= 300:
            raise _error(connection.status, content)
        return _object(content)

    async def _connect(self) -> Connection:
        where = self._credentials
        try:
            async with asyncio.timeout(LIMIT_S):
                reader, writer = await asyncio.open_connection(where.host, where.port, ssl=where.tls)
        except (OSError, TimeoutError) as error:
            raise ApiUnreachable(f"https://{where.host}:{where.port} cannot be reached: {error}") from error
        return Connection(reader, writer)

    async def _send(
        self, connection: Connection, method: str, path: str, query: Mapping[str, str], body: bytes, media_type: str
    ) -> None:
        host = self._credentials.host
        headers = {
            "host": f"[{host}]" if ":" in host else host,
            "accept": "application/json",
            "user-agent": "windtunnel-router",
            "authorization": self._credentials.authorization(),
            "content-type": media_type,
            "content-length": str(len(body)) if body else "",
        }
        target = quote(path) + ("?" + urlencode(query) if query else "")
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items() if value]
        connection.send_head(method, target.encode(), pairs)
        await connection.send_body(body, chunked=False)
        await connection.read_head()


async def _read(connection: Connection) -> bytes:
    async with contextlib.aclosing(cast("AsyncGenerator[bytes]", connection.body())) as pieces:
        return b"".join([piece async for piece in pieces])


def _error(status: int, content: bytes) -> ApiError:
    """With the message of the API's ``Status``."""
    try:
        message = _object(content).get("message")
    except ApiUnreachable:
        message = None
    return ApiError(status, str(message or content[:200].decode("utf-8", "replace") or "no message"))


def _event(line: bytes) -> tuple[str, JsonObject]:
    event = _object(line)
    kind, content = str(event.get("type", "")), event.get("object")
    found = content if isinstance(content, dict) else {}
    if kind == "ERROR":
        code = found.get("code")
        raise ApiError(code if isinstance(code, int) else 500, str(found.get("message", "")))
    return kind, found


def _object(content: bytes) -> JsonObject:
    try:
        value: Json = json.loads(content)
    except ValueError as error:
        raise ApiUnreachable(f"the API's answer is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ApiUnreachable("the API's answer is no JSON object")
    return value
