"""MQTT over WebSockets (MQTT 3.1.1, chapter 6): binary messages carry the stream, in any pieces.

``websockets`` does the framing, without sockets of its own; it is imported when the first client asks.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from websockets.frames import CloseCode, Opcode
from websockets.server import ServerProtocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from websockets.frames import Frame
    from websockets.http11 import Request

_LARGEST_FRAME = 1024 * 1024


class _Outward(asyncio.Transport):
    """The transport that the MQTT side writes to."""

    def __init__(self, socket: WebSocket) -> None:
        super().__init__()
        self._socket = socket

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self._socket.send(bytes(data))

    def close(self) -> None:
        self._socket.close()

    def abort(self) -> None:
        self._socket.transport.abort()

    def is_closing(self) -> bool:
        return self._socket.transport.is_closing()

    def pause_reading(self) -> None:
        self._socket.transport.pause_reading()

    def resume_reading(self) -> None:
        self._socket.transport.resume_reading()

    def is_reading(self) -> bool:
        return self._socket.transport.is_reading()

    def get_write_buffer_size(self) -> int:
        return self._socket.transport.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._socket.transport.get_extra_info(name, default)


class WebSocket(asyncio.Protocol):
    """One connection, from its handshake on; the stream inside goes to ``inner``."""

    def __init__(self, inner: asyncio.Protocol, subprotocol: str) -> None:
        self._inner = inner
        self._protocol = ServerProtocol(
            subprotocols=[cast("Any", subprotocol)], max_size=_LARGEST_FRAME, select_subprotocol=_chosen(subprotocol)
        )
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._open = False
        self._lost = False

    def begin(self, transport: asyncio.Transport, head: bytes, rest: bytes) -> None:
        """Take a connection over. ``head`` is the request that asked for the upgrade, as bytes."""
        self.transport = transport
        transport.set_protocol(self)
        self.data_received(head + rest)

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if not self._open:
                self._answer(cast("Request", event))
            else:
                self._frame(cast("Frame", event))
        self._write(self._protocol.data_to_send())

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._write(self._protocol.data_to_send())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._open and not self._lost:
            self._lost = True
            self._inner.connection_lost(exc)

    def send(self, data: bytes) -> None:
        if self._protocol.state.name == "OPEN":
            self._protocol.send_binary(data)
            self._write(self._protocol.data_to_send())

    def close(self) -> None:
        if self._protocol.state.name == "OPEN":
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self._write(self._protocol.data_to_send())
        self.transport.close()

    def _answer(self, request: Request) -> None:
        response = self._protocol.accept(request)
        self._protocol.send_response(response)
        self._write(self._protocol.data_to_send())
        if response.status_code == 101:
            self._open = True
            self._inner.connection_made(_Outward(self))
        else:
            self.transport.close()

    def _frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.BINARY, Opcode.CONT):
            self._inner.data_received(bytes(frame.data))
        elif frame.opcode is Opcode.TEXT:
            # Section 6: anything but binary ends the connection.
            self._protocol.fail(CloseCode.UNSUPPORTED_DATA)
        elif frame.opcode is Opcode.CLOSE:
            self.transport.close()

    def _write(self, pieces: Iterable[bytes]) -> None:
        data = b"".join(pieces)
        if data and not self.transport.is_closing():
            self.transport.write(data)


def _chosen(subprotocol: str) -> Any:
    """Clients that name no subprotocol are served too."""

    def select(_: ServerProtocol, offered: Any) -> Any:
        return subprotocol if subprotocol in offered else None

    return select
