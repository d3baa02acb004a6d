"""The direct methods of ``$edgeHub`` itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.hub.identity import Who

if TYPE_CHECKING:
    from windtunnel_emulators.edge.hub.identities import Identities

REFRESH = "RefreshServiceIdentities"


class _Refresh(msgspec.Struct, rename="camel"):
    device_ids: list[str]


async def call(identities: Identities, name: str, payload: bytes) -> tuple[int, bytes]:
    """The status and the payload that a method is answered; names are compared without case, as edge-hub's are."""
    if name.lower() != REFRESH.lower():
        return 404, _message(f"Method {name[:100]} is not supported")
    try:
        asked = msgspec.json.decode(payload, type=_Refresh)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        return 400, _message(f"The payload has to be {{'deviceIds': [...]}}: {problem}")
    for device, module in (one.partition("/")[::2] for one in asked.device_ids[:100]):
        await identities.refresh(Who(device, module))
    return 200, b"null"


def _message(text: str) -> bytes:
    return msgspec.json.encode({"message": text})
