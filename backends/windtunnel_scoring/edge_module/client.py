"""What is used of ``azure.iot.device.aio.IoTHubModuleClient``, as types, and how one is made.

The asyncio client and not the plain one: the plain one hands messages to a pool of threads, which loses their order.
"""

from __future__ import annotations

import logging
import uuid
from importlib import util
from typing import TYPE_CHECKING, Protocol, cast

from windtunnel_scoring.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from windtunnel_scoring.jsontypes import Json

CONNECTION_RETRY_S = 1
"""The client's own; its default of 10 s is long where the hub is on the same machine."""


class IncomingMessage(Protocol):
    """A message on an input."""

    data: bytes
    message_id: str | None
    correlation_id: str | None
    content_type: str | None
    input_name: str | None


class OutgoingMessage(Protocol):
    """A message for an output."""

    data: str
    message_id: str | None
    correlation_id: str | None
    content_type: str | None
    content_encoding: str | None
    custom_properties: dict[str, str]


class IncomingMethod(Protocol):
    """A call of a direct method."""

    @property
    def request_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def payload(self) -> Json: ...


class ModuleClient(Protocol):
    """The client of one module."""

    @property
    def on_message_received(self) -> Callable[[IncomingMessage], Awaitable[None]] | None: ...
    @on_message_received.setter
    def on_message_received(self, handler: Callable[[IncomingMessage], Awaitable[None]] | None, /) -> None: ...

    on_method_request_received: Callable[[IncomingMethod], Awaitable[None]] | None
    on_connection_state_change: Callable[[], Awaitable[None]] | None
    on_background_exception: Callable[[Exception], Awaitable[None]] | None

    @property
    def connected(self) -> bool: ...
    async def connect(self) -> None: ...
    async def shutdown(self) -> None: ...
    async def send_message_to_output(self, message: OutgoingMessage, output_name: str) -> None: ...
    async def send_method_response(self, method_response: object) -> None: ...


def create() -> ModuleClient:
    """From the environment of an edge module. Raises ``StartError``, ``OSError`` while the edge does not answer."""
    if util.find_spec("azure") is None or util.find_spec("azure.iot.device") is None:
        raise StartError(
            "this is a module of an IoT Edge device, but its image has no azure-iot-device: an image for IoT Edge is"
            " built by deploying with --target iotedge"
        )
    from azure.iot.device.aio import IoTHubModuleClient

    # Its own lines tell of each lost connection with a traceback; ours tell it in one.
    logging.getLogger("azure.iot.device").setLevel(logging.CRITICAL)
    make = cast("Callable[..., ModuleClient]", IoTHubModuleClient.create_from_edge_environment)  # pyright: ignore[reportUnknownMemberType]  # its options have no types
    try:
        return make(connection_retry_interval=CONNECTION_RETRY_S)
    except ValueError as error:
        raise StartError(f"the environment of this IoT Edge module cannot be used: {error}") from error


def new_message(body: str, properties: dict[str, str], correlation_id: str | None) -> OutgoingMessage:
    """JSON as text, with an id of its own."""
    from azure.iot.device import Message

    make = cast("Callable[..., OutgoingMessage]", Message)  # its constructor has no types
    message = make(body, message_id=str(uuid.uuid4()), content_encoding="utf-8", content_type="application/json")
    message.correlation_id = correlation_id
    message.custom_properties.update(properties)
    return message


def new_response(request_id: str, status: int, payload: Json) -> object:
    """The answer to a call."""
    from azure.iot.device import MethodResponse

    make = cast("Callable[..., object]", MethodResponse)  # takes any JSON, and says otherwise
    return make(request_id, status, payload)
