"""The server's side of a WebSocket on a connection that was taken over; framing is the websockets library's."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.streams.links import upgrade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.kubernetes.streams.links import Link

_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LARGEST = 32 * 1024 * 1024


def accept_key(key: bytes) -> str:
    """RFC 6455, 4.2.2."""
    return base64.b64encode(hashlib.sha1(key + _ACCEPT).digest()).decode()  # noqa: S324  # the protocol's own


class WebSocket:
    """Messages, each as bytes."""

    def __init__(self, link: Link) -> None:
        from websockets.protocol import Protocol, Side, State

        self._link = link
        self._protocol = Protocol(Side.SERVER, state=State.OPEN, max_size=_LARGEST)
        self._waiting: list[bytes] = []
        self._partial: bytearray | None = None
        self._over = False

    @classmethod
    async def accept(cls, link: Link, key: bytes, subprotocol: str) -> WebSocket:
        headers = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept_key(key))]
        if subprotocol:
            headers.append(("Sec-WebSocket-Protocol", subprotocol))
        await upgrade(link, headers)
        return cls(link)

    async def receive(self) -> bytes | None:
        """The next message; None at the end."""
        while not self._waiting:
            if self._over:
                return None
            data = await self._link.read()
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
                self._over = True
            for frame in self._protocol.events_received():
                self._take(frame.opcode, bytes(frame.data), fin=frame.fin)  # type: ignore[union-attr]  # frames only
            await self._flush()
        return self._waiting.pop(0)

    def _take(self, opcode: int, data: bytes, *, fin: bool) -> None:
        if opcode == 8:
            self._over = True
        if opcode in (1, 2):
            if fin:
                self._waiting.append(data)
            else:
                self._partial = bytearray(data)
        elif opcode == 0 and self._partial is not None:
            self._partial += data
            if fin:
                self._waiting.append(bytes(self._partial))
                self._partial = None

    async def send(self, data: bytes) -> None:
        """A binary message. Raises ``ConnectionError``."""
        from websockets.exceptions import InvalidState

        try:
            self._protocol.send_binary(data)
        except InvalidState as problem:
            raise ConnectionResetError("the WebSocket is closed") from problem
        await self._flush()

    async def send_text(self, text: str) -> None:
        """A text message. Raises ``ConnectionError``."""
        from websockets.exceptions import InvalidState

        try:
            self._protocol.send_text(text.encode())
        except InvalidState as problem:
            raise ConnectionResetError("the WebSocket is closed") from problem
        await self._flush()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        from websockets.exceptions import InvalidState

        try:
            self._protocol.send_close(code, reason)
            await self._flush()
        except (InvalidState, ConnectionError):
            # The other side was first.
            return
        finally:
            self._over = True
            await self._link.close()

    async def _flush(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data:
            await self._link.write(data)


class WebSocketLink:
    """A WebSocket whose binary messages are one stream of bytes: how SPDY is tunnelled."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        while True:
            try:
                data = await self._socket.receive()
            except ConnectionError:
                return b""
            if data is None:
                return b""
            if data:
                return data

    async def write(self, data: bytes) -> None:
        await self._socket.send(data)

    async def close(self) -> None:
        await self._socket.close()


def choose(offered: Sequence[str], known: Sequence[str]) -> str | None:
    """The client's first that is known."""
    return next((name for name in offered if name in known), None)
