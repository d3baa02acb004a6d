"""What clients publish, taken apart: telemetry, wills, and requests to ``$iothub/``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.hub import bags, topics
from windtunnel_emulators.iot.hub.errors import HubError
from windtunnel_emulators.iot.mqtt.connection import LARGEST_MESSAGE
from windtunnel_emulators.iot.mqtt.errors import ProtocolViolation

if TYPE_CHECKING:
    from windtunnel_emulators.iot.mqtt.packets import Publish, Will
    from windtunnel_emulators.jsontypes import JsonObject

_RETAINED = {"mqtt-retain": "true"}
_WILL = {"iothub-MessageType": "Will"}
_decode = msgspec.json.Decoder(dict[str, object]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinRead:
    """A client asks for its twin."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A client reports properties."""

    id: str
    payload: bytes

    def patch(self) -> JsonObject:
        """Raises ``HubError`` 400."""
        try:
            found: JsonObject = _decode(self.payload)  # type: ignore[assignment]  # an object of JSON, of any values
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise HubError(400, "ArgumentInvalid", f"The patch is not a JSON object: {problem}.") from problem
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodAnswer:
    """A client has answered a method."""

    id: str
    status: int
    payload: bytes


def is_telemetry(topic: str, events: str) -> bool:
    """``events`` is ``topics.events_of`` the client."""
    return topic.startswith(events) and topic[len(events) : len(events) + 1] in ("", "/")


def telemetry_bag(packet: Publish, events: str) -> str:
    """The bag of a message, marked where it was to be retained. Raises ``ProtocolViolation`` for one too large."""
    bag = packet.topic[len(events) + 1 :]
    if len(packet.payload) + len(bag) > LARGEST_MESSAGE:
        raise ProtocolViolation(f"a message of more than {LARGEST_MESSAGE} bytes with its properties")
    if packet.retain:
        bag = "&".join(filter(None, (bag.strip("/"), bags.encode(_RETAINED))))
    return bag


def will_bag(will: Will, events: str) -> str | None:
    """A will to the telemetry topic is a message, and this is its bag; hubs know no other."""
    if not will.topic.startswith(events):
        return None
    return bags.encode({**bags.decode(will.topic[len(events) + 1 :]), **_WILL})


def request(topic: str, payload: bytes) -> TwinRead | Report | MethodAnswer:
    """What a message to ``$iothub/`` asks for. Raises ``ProtocolViolation``."""
    if topic.startswith(topics.TWIN_GET):
        return TwinRead(id=topics.request(topic, topics.TWIN_GET).id)
    if topic.startswith(topics.REPORTED):
        return Report(id=topics.request(topic, topics.REPORTED).id, payload=payload)
    if topic.startswith(topics.METHOD_RESULT):
        found = topics.request(topic, topics.METHOD_RESULT)
        if not found.name.lstrip("-").isdecimal():
            raise ProtocolViolation(f"an answer to a method with the status {found.name[:40]!r}, no number")
        try:
            return MethodAnswer(id=found.id, status=int(found.name), payload=payload)
        except ValueError:
            raise ProtocolViolation(f"an answer to a method with the status {found.name[:40]!r}") from None
    raise ProtocolViolation(f"a message to {topic[:200]!r}, which is no topic of an IoT hub")


def refusal(problem: HubError) -> bytes:
    """The body of an answer to a request about a twin that was refused."""
    return msgspec.json.encode({"errorCode": problem.status * 1000 + 4, "message": problem.message})
