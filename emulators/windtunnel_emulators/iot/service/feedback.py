"""``/messages/serviceBound/feedback``: what became of messages to devices, a batch at a time under a lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.hub.errors import not_implemented
from windtunnel_emulators.iot.hub.feedback import lock_lost
from windtunnel_emulators.iot.service.requests import Answer
from windtunnel_emulators.iot.service.routes import SERVICE, Route
from windtunnel_emulators.jsontypes import Json

if TYPE_CHECKING:
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.service.requests import Request

_PATH = "messages/serviceBound/feedback"
_FILES = "messages/serviceBound/filenotifications"
_list = msgspec.json.Decoder(list[dict[str, str]]).decode


async def receive(hub: Hub, _: Request) -> Answer:
    """204 when there is none."""
    batch = hub.feedback.take(hub.clock.now())
    if batch is None:
        return Answer(status=204)
    records: list[Json] = [dict[str, Json](record) for record in _list(batch.body)]
    headers = {
        "ETag": f'"{batch.lock}"',
        "iothub-messageid": batch.lock,
        "iothub-to": f"/{_PATH}",
        "iothub-userid": hub.definition.name,
        "iothub-enqueuedtime": batch.enqueued.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    return Answer(body=records, headers=headers)


async def complete(hub: Hub, request: Request) -> Answer:
    lock = request.parameters["lock"]
    if not hub.feedback.complete(lock.strip('"')):
        raise lock_lost(lock)
    return Answer(status=204)


async def abandon(hub: Hub, request: Request) -> Answer:
    lock = request.parameters["lock"]
    if not hub.feedback.abandon(lock.strip('"')):
        raise lock_lost(lock)
    return Answer(status=204)


async def refuse_files(_: Hub, __: Request) -> Answer:
    raise not_implemented(
        "Notification of uploaded files", "Files are not uploaded through this hub. Use a hub in Azure for it."
    )


ROUTES = (
    Route(method="GET", path=_PATH, act=receive, needs=SERVICE),
    Route(method="DELETE", path=f"{_PATH}/{{lock}}", act=complete, needs=SERVICE),
    Route(method="POST", path=f"{_PATH}/{{lock}}/abandon", act=abandon, needs=SERVICE),
    Route(method="GET", path=_FILES, act=refuse_files, needs=SERVICE),
    Route(method="DELETE", path=f"{_FILES}/{{lock}}", act=refuse_files, needs=SERVICE),
    Route(method="POST", path=f"{_FILES}/{{lock}}/abandon", act=refuse_files, needs=SERVICE),
)
