"""A client of the embedded server in its own process: requests without sockets, answers without copies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import msgspec

from windtunnel_emulators.jsontypes import as_object
from windtunnel_emulators.kubernetes.api.encoding import bookmark_object
from windtunnel_emulators.kubernetes.api.failures import Failure, bad_request, failure
from windtunnel_emulators.kubernetes.api.replies import BytesReply, ListReply, ObjectReply, WatchReply
from windtunnel_emulators.kubernetes.api.requests import Call
from windtunnel_emulators.kubernetes.api.watching import Bookmark
from windtunnel_emulators.kubernetes.client.interface import Unreachable, WatchEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from windtunnel_emulators.asgi import ASGI, Message
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.interface import User
    from windtunnel_emulators.kubernetes.api.replies import Reply
    from windtunnel_emulators.kubernetes.api.server import ApiServer

_AGENT = "windtunnel"


class DirectClient:
    """``Client`` of an ``ApiServer``, as one user."""

    def __init__(self, server: ApiServer, user: User, *, agent: str = _AGENT) -> None:
        self._server = server
        self._user = user
        self._agent = agent
        self._closed = False

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json = None,
        content_type: str = "application/json",
    ) -> JsonObject:
        """The answer of a 2xx. Raises ``StatusError``, and ``Unreachable`` after ``close``."""
        call = self._call(method, path, query, body, content_type)
        reply = await self._reply(call)
        if isinstance(reply, ObjectReply):
            return reply.object
        if isinstance(reply, ListReply):
            items: list[Json] = [reply.served.present(stored.object) for stored in reply.items]
            return {
                "kind": reply.served.info.list_kind,
                "apiVersion": reply.served.kind.api_version,
                "metadata": reply.metadata,
                "items": items,
            }
        if isinstance(reply, WatchReply):
            reply.watch.stop()
            raise bad_request(f"{path} was asked for as a watch; use watch()")
        if isinstance(reply, BytesReply):
            return _parsed(reply.status, reply.body, reply.content_type)
        return await _collect(reply.app, call)

    async def watch(self, path: str, *, query: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        """The events of a collection; see ``Client.watch``."""
        reply = await self._reply(self._call("GET", path, {**(query or {}), "watch": "1"}, None, ""))
        if not isinstance(reply, WatchReply):
            raise bad_request(f"{path} cannot be watched")
        watch, served = reply.watch, reply.served
        limit = None
        if watch.limit_s:
            limit = asyncio.create_task(self._server.end_after(watch, watch.limit_s), name="end of a watch")
        self._server.watching(watch)
        try:
            while (items := await watch.next()) is not None:
                for item in items:
                    if self._closed:
                        return
                    if isinstance(item, Bookmark):
                        mark = bookmark_object(served.kind.name, served.kind.api_version, item)
                        yield WatchEvent(type="BOOKMARK", object=mark)
                        continue
                    line = watch.line(item)
                    if line is not None:
                        yield WatchEvent(type=line.type, object=served.present(line.stored.object))
        finally:
            self._server.watched(watch)
            watch.stop()
            if limit is not None:
                limit.cancel()

    async def close(self) -> None:
        """No more requests."""
        self._closed = True

    async def _reply(self, call: Call) -> Reply:
        if self._closed:
            raise Unreachable(f"{call.method} {call.path}: this client is closed")
        return await self._server.reply(call, self._user)

    def _call(self, method: str, path: str, query: Mapping[str, str] | None, body: Json, content_type: str) -> Call:
        headers = {"accept": "application/json", "user-agent": self._agent}
        if body is not None:
            headers["content-type"] = content_type
        return Call(
            method=method,
            path=path,
            raw_path=quote(path),
            query={name: [value] for name, value in (query or {}).items()},
            raw_query=urlencode(query or {}),
            headers=headers,
            body=b"" if body is None else msgspec.json.encode(body),
        )


def _parsed(status: int, body: bytes, content_type: bytes) -> JsonObject:
    if not content_type.startswith(b"application/json"):
        whole: Json = {"text": body.decode("utf-8", "replace")}
    else:
        try:
            whole = msgspec.json.decode(body) if body else {}
        except msgspec.DecodeError as problem:
            raise Unreachable(f"the answer is no JSON: {problem}") from problem
    found = as_object(whole)
    if status >= 300:
        if found.get("kind") == "Status":
            raise Failure(found)
        raise failure(status, "", str(found.get("text", "")))
    return found


async def _collect(app: ASGI, call: Call) -> JsonObject:
    """The answer of an application that a request is passed on to."""
    status, content_type = 0, b""
    parts: list[bytes] = []
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": call.body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, content_type
        if message["type"] == "http.response.start":
            status = message["status"]
            content_type = dict(message.get("headers", ())).get(b"content-type", b"")
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    query = urlencode([(name, value) for name, values in call.query.items() for value in values])
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": call.method,
        "scheme": "https",
        "path": call.path,
        "raw_path": call.raw_path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in call.headers.items()],
        "client": None,
        "server": None,
        "state": {},
    }
    await app(scope, receive, send)
    return _parsed(status, b"".join(parts), content_type)
