"""Replies on the wire: bodies, failures, and watches for as long as both sides want them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.asgi import respond
from windtunnel_emulators.jsontypes import as_object
from windtunnel_emulators.kubernetes.api.encoding import Lines, finished, list_bytes, object_bytes
from windtunnel_emulators.kubernetes.api.negotiation import WHOLE, Form
from windtunnel_emulators.kubernetes.api.replies import BytesReply, ListReply, ObjectReply, WatchReply

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import Receive, Send
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.kubernetes.api.failures import Failure
    from windtunnel_emulators.kubernetes.api.fanout import Fanout, Member
    from windtunnel_emulators.kubernetes.api.replies import Headers, Reply
    from windtunnel_emulators.kubernetes.api.requests import Call

_UNCACHED = (b"cache-control", b"no-cache, private")
_SHORTEST_WATCH_S = 1800
"""Watches without a time limit of their own end after this to twice this, as the real server ends them."""


async def answer(reply: Reply, call: Call, receive: Receive, send: Send, clock: Clock, fanout: Fanout) -> int:
    """Send a reply that is not passed on; returns its status."""
    if isinstance(reply, ObjectReply):
        return await _send(send, reply.status, object_bytes(reply, clock.now()), reply.form, reply.headers, call)
    if isinstance(reply, ListReply):
        return await _send(send, 200, list_bytes(reply, clock.now()), reply.form, reply.headers, call)
    if isinstance(reply, WatchReply):
        await _watch(reply, receive, send, clock, fanout)
        return 200
    assert isinstance(reply, BytesReply)
    body = b"" if call.method == "HEAD" else reply.body
    headers = (_UNCACHED, *reply.headers) if not any(n == b"cache-control" for n, _ in reply.headers) else reply.headers
    await respond(send, reply.status, body, content_type=reply.content_type, headers=headers)
    return reply.status


async def _send(send: Send, status: int, body: bytes, form: Form, headers: Headers, call: Call) -> int:
    await respond(
        send,
        status,
        b"" if call.method == "HEAD" else body,
        content_type=form.content_type,
        headers=(_UNCACHED, *headers),
    )
    return status


async def refuse(problem: Failure, call: Call, send: Send) -> int:
    """Send a failure; returns its status."""
    if problem.plain:
        await respond(send, problem.code, b"404 page not found\n", headers=(_UNCACHED, *problem.headers))
        return problem.code
    headers = [_UNCACHED, *problem.headers]
    wait = as_object(problem.status.get("details")).get("retryAfterSeconds")
    if isinstance(wait, int) and wait:
        headers.append((b"retry-after", b"%d" % wait))
    agent = call.headers.get("user-agent", "").lower()
    nice = call.one("pretty") == "true" or agent.startswith(("curl", "wget", "mozilla/"))
    form = Form(pretty=True) if nice else WHOLE
    body = finished(msgspec.json.encode(problem.status), form)
    await respond(send, problem.code, body, content_type=form.content_type, headers=headers)
    return problem.code


async def _watch(reply: WatchReply, receive: Receive, send: Send, clock: Clock, fanout: Fanout) -> None:
    watch, form = reply.watch, reply.form
    seconds = watch.limit_s or _SHORTEST_WATCH_S * (1 + random.random())  # noqa: S311  # spreads the ends
    member = fanout.join(watch, Lines(reply.served, form, clock.now), send)
    ends = [
        asyncio.ensure_future(_end_after(member, seconds, clock)),
        asyncio.ensure_future(_end_when_gone(member, receive)),
    ]
    try:
        start = [(b"content-type", form.content_type), _UNCACHED, *reply.headers]
        await send({"type": "http.response.start", "status": 200, "headers": start})
        # The head goes out at once: clients wait for it before they say that the watch has begun.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await member.run()
        await send({"type": "http.response.body", "body": b""})
    finally:
        member.close()
        for task in ends:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)


async def _end_after(member: Member, seconds: float, clock: Clock) -> None:
    await clock.sleep(seconds)
    member.stop()


async def _end_when_gone(member: Member, receive: Receive) -> None:
    with contextlib.suppress(OSError):
        while (await receive())["type"] == "http.request":
            pass
    member.stop()
