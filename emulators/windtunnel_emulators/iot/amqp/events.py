"""A stored message as the AMQP message that readers of the built-in endpoint get, as IoT Hub writes it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from proton import Message, symbol, timestamp

from windtunnel_emulators.iot.hub import bags

if TYPE_CHECKING:
    from windtunnel_emulators.iot.hub.messages import Message as Stored

Annotation: TypeAlias = str | int

SEQUENCE, OFFSET, ENQUEUED = (symbol(name) for name in ("x-opt-sequence-number", "x-opt-offset", "x-opt-enqueued-time"))
_HUB_ENQUEUED, _SOURCE, _DEVICE, _MODULE, _METHOD, _GENERATION = (
    symbol(f"iothub-{name}")
    for name in (
        "enqueuedtime",
        "message-source",
        "connection-device-id",
        "connection-module-id",
        "connection-auth-method",
        "connection-auth-generation-id",
    )
)
_OTHERS = {
    "output-name": symbol("iothub-outputname"),
    "interface-id": symbol("iothub-interface-id"),
    "component-name": symbol("dt-subject"),
    "message-schema": symbol("iothub-message-schema"),
}
"""Properties of the system that AMQP has no place for: annotations."""


def encoded(stored: Stored) -> bytes:
    """The message, whole."""
    sender = stored.sender
    annotations: dict[symbol, Annotation] = {
        SEQUENCE: stored.sequence,
        OFFSET: str(stored.offset),
        ENQUEUED: timestamp(stored.enqueued),
        _HUB_ENQUEUED: timestamp(stored.enqueued),
        _SOURCE: "Telemetry",
        _DEVICE: sender.device,
        _METHOD: sender.method,
        _GENERATION: sender.generation,
    }
    if sender.module:
        annotations[_MODULE] = sender.module
    message: Any = Message(body=stored.body, inferred=True, annotations=annotations)
    if stored.bag:
        _put_properties(message, bags.split(bags.decode(stored.bag)), annotations)
    found: bytes = message.encode()
    return found


def _put_properties(message: Any, found: bags.Properties, annotations: dict[symbol, Annotation]) -> None:
    system = found.system
    if found.application:
        message.properties = dict(found.application)
    if "message-id" in system:
        message.id = system["message-id"]
    if "correlation-id" in system:
        message.correlation_id = system["correlation-id"]
    if "user-id" in system:
        message.user_id = system["user-id"].encode()
    if "to" in system:
        message.address = system["to"]
    if "content-type" in system:
        message.content_type = symbol(system["content-type"])
    if "content-encoding" in system:
        message.content_encoding = symbol(system["content-encoding"])
    moment = _moment(system.get("absolute-expiry-time"))
    if moment is not None:
        message.expiry_time = moment
    moment = _moment(system.get("creation-time-utc"))
    if moment is not None:
        message.creation_time = moment
    for name, annotation in _OTHERS.items():
        if name in system:
            annotations[annotation] = system[name]


def _moment(text: str | None) -> float | None:
    """Seconds since 1970 of a time as devices write it; None for what is none."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
