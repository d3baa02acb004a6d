"""How a hub's service API answers, and refuses: ``{"Message", "ExceptionMessage"}``, with the code in the message."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.asgi import ClientGone, respond, respond_json
from windtunnel_emulators.logs import log_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from windtunnel_emulators.asgi import Message, Scope, Send
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.iot.hub.errors import HubError
    from windtunnel_emulators.iot.service.requests import Answer
    from windtunnel_emulators.jsontypes import JsonObject

_ERROR_HEADER = b"iothub-errorcode"


async def logged(clock: Clock, scope: Scope, send: Send, respond_to: Callable[[Send], Awaitable[bool]]) -> None:
    """Answer one request, and log its line. ``respond_to`` tells whether the connection was taken over instead."""
    started, status = clock.monotonic(), 0

    async def noted(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        await send(message)

    try:
        if await respond_to(noted):
            status = 101
    except ClientGone:
        status = 499
    finally:
        log_request(scope, status, clock.monotonic() - started)


async def send_answer(send: Send, answer: Answer) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    if answer.body is None:
        await respond(send, answer.status, headers=headers)
    else:
        await respond_json(send, answer.status, answer.body, headers=headers)


async def send_error(send: Send, error: HubError, now: datetime) -> None:
    await respond_json(
        send, error.status, error_body(error, now), headers=[(_ERROR_HEADER, error.name.encode("latin-1"))]
    )


def error_body(error: HubError, now: datetime) -> JsonObject:
    """Errors with a number have a JSON text as their message (wire-iot 4.1); the others ``ErrorCode:Name;sentence``."""
    if error.number is not None:
        inner = {"errorCode": error.number, "message": error.message, **(error.info or {})}
        return {"Message": msgspec.json.encode(inner).decode(), "ExceptionMessage": ""}
    tracking = f"Tracking ID:{uuid.uuid4().hex}-TimeStamp:{now:%m/%d/%Y %H:%M:%S}"
    return {"Message": f"ErrorCode:{error.name};{error.message}", "ExceptionMessage": tracking}
