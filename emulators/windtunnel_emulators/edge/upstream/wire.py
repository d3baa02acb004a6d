"""One MQTT connection, on the client's side: packets in, packets out. The server's side is ``iot.mqtt.connection``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from windtunnel_emulators.iot.mqtt.connection import LARGEST_MESSAGE
from windtunnel_emulators.iot.mqtt.errors import MqttProblem
from windtunnel_emulators.iot.mqtt.packets import Publish
from windtunnel_emulators.iot.mqtt.reading import Reader
from windtunnel_emulators.iot.mqtt.writing import encode, encode_publish

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.iot.mqtt.packets import Packet

_LARGEST_PACKET = 2 * LARGEST_MESSAGE
"""Twins with all their parts are larger than messages may be."""


class Wire(asyncio.Protocol):
    """A connection from its opening to its end."""

    def __init__(self, received: Callable[[Packet], None]) -> None:
        """``received`` is called with each packet; it may raise ``MqttProblem``, which ends the connection."""
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = loop.create_future()
        """Done when the connection has ended, with why."""
        self.heard = False
        """Something came since this was last set to False."""
        self._loop = loop
        self._received = received
        self._reader = Reader(_LARGEST_PACKET)
        self._transport: asyncio.Transport | None = None
        self._output: list[bytes] = []
        self._why: str | None = None

    @property
    def is_open(self) -> bool:
        return self._why is None and not self.ended.done()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not registered as such

    def data_received(self, data: bytes) -> None:
        self.heard = True
        try:
            for packet in self._reader.feed(data):
                if not self.is_open:
                    return
                self._received(packet)
        except MqttProblem as problem:
            self.abort(f"the hub sent {problem}")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(self._why or (f"it was lost: {exc}" if exc else "the hub has closed it"))

    def send(self, packet: Packet) -> None:
        """Nothing happens when the connection has ended. Packets of one turn of the event loop go out together."""
        if not self.is_open:
            return
        if not self._output:
            self._loop.call_soon(self._flush)
        self._output.append(encode_publish(packet) if isinstance(packet, Publish) else encode(packet))

    def close(self, why: str) -> None:
        """End the connection once what was sent is out."""
        self._flush()
        self._end(why)
        if self._transport is not None:
            self._transport.close()

    def abort(self, why: str) -> None:
        """End the connection at once."""
        self._end(why)
        if self._transport is not None:
            self._transport.abort()

    def _end(self, why: str) -> None:
        if self._why is None:
            self._why = why
        self._output.clear()

    def _flush(self) -> None:
        if self._output and self._transport is not None and self.is_open:
            data = b"".join(self._output)
            self._output.clear()
            self._transport.write(data)
