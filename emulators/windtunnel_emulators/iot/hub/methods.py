"""Direct methods: a call goes to whoever is connected now, and its answer is waited for.

The limits are IoT Hub's: a name of 100 characters, a payload of 128 KiB, 5 to 300 s for the answer, at most 300 s for
the connection.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.hub.errors import HubError, argument_invalid

if TYPE_CHECKING:
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json

LONGEST_NAME = 100
LARGEST_PAYLOAD = 128 * 1024
DEFAULT_RESPONSE_S = 30
LONGEST_S = 300
SHORTEST_RESPONSE_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a method."""

    name: str
    payload: bytes
    """JSON."""
    response_s: int = DEFAULT_RESPONSE_S
    connect_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a device answered."""

    status: int
    payload: Json


def check(call: Call) -> Call:
    """Raises ``HubError`` 400 for what no call may be."""
    if not call.name or len(call.name) > LONGEST_NAME:
        raise argument_invalid(f"'methodName' has 1 to {LONGEST_NAME} characters.")
    if len(call.payload) > LARGEST_PAYLOAD:
        raise argument_invalid(f"'payload' takes {len(call.payload)} bytes; at most {LARGEST_PAYLOAD} may be sent.")
    if not SHORTEST_RESPONSE_S <= call.response_s <= LONGEST_S:
        raise argument_invalid(
            f"'responseTimeoutInSeconds' is {call.response_s}; it is from {SHORTEST_RESPONSE_S} to {LONGEST_S}."
        )
    if not 0 <= call.connect_s <= LONGEST_S:
        raise argument_invalid(f"'connectTimeoutInSeconds' is {call.connect_s}; it is from 0 to {LONGEST_S}.")
    return call


def read_payload(payload: bytes) -> Json:
    """The JSON of a result; nothing is null, and what is no JSON is told as the text that it is."""
    if not payload.strip():
        return None
    try:
        found: Json = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return payload.decode("utf-8", "replace")
    return found


def not_connected(waited_s: int, now: datetime) -> HubError:
    """404103, as the service answers it at once when nothing may be waited for."""
    return _timed_out(404, 404103, "DeviceNotOnline", "Timed out waiting for device to connect.", waited_s, now)


def no_answer(waited_s: int, now: datetime) -> HubError:
    """504101."""
    return _timed_out(504, 504101, "GatewayTimeout", "Timed out waiting for the response from device.", waited_s, now)


def gone(now: datetime) -> HubError:
    """The connection ended before the answer."""
    return HubError(
        404,
        "DeviceNotOnline",
        "The device disconnected before it answered.",
        number=404103,
        info={"trackingId": uuid.uuid4().hex, "timestampUtc": now.isoformat()},
    )


def _timed_out(status: int, number: int, name: str, message: str, waited_s: int, now: datetime) -> HubError:
    minutes, seconds = divmod(waited_s, 60)
    return HubError(
        status,
        name,
        message,
        number=number,
        info={
            "trackingId": uuid.uuid4().hex,
            "info": {"timeout": f"00:{minutes:02}:{seconds:02}"},
            "timestampUtc": now.isoformat(),
        },
    )
