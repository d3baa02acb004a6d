"""A WebSocket on a connection that began as HTTP: the protocol by ``websockets`` (without I/O), the rest by ASGI."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from windtunnel_emulators.http1 import Taken

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import Message, Scope
    from windtunnel_emulators.http1 import Shared

_LONGEST_MESSAGE = 4 * 1024 * 1024
_MOST_WAITING = 64  # messages that the application has not taken yet; more are not read
_log = logging.getLogger(__name__)
_quiet = logging.getLogger("websockets")
_quiet.setLevel(logging.WARNING)


class WebSocket(asyncio.Protocol, Taken):
    """One client. Takes the transport over from HTTP."""

    def __init__(
        self, shared: Shared, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, scope: Scope, rest: bytes
    ) -> None:
        self._shared = shared
        self._loop = loop
        self._transport = transport
        self._protocol = ServerProtocol(max_size=_LONGEST_MESSAGE, logger=_quiet)
        self._messages: deque[Message] = deque([{"type": "websocket.connect"}])
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._paused = False
        self._parts: list[bytes] = []
        self._text = False
        self._ended = False
        self._request: Request | None = None
        self._scope = {
            **scope,
            "type": "websocket",
            "scheme": "wss" if scope["scheme"] == "https" else "ws",
            "subprotocols": _subprotocols(scope),
        }
        shared.sockets.add(self)
        transport.set_protocol(self)
        # The parser of websockets wants the head too; HTTP's has read it already.
        self.data_received(_head(scope) + rest)
        self.task = loop.create_task(self._run())

    # The transport's callbacks

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.sockets.discard(self)
        self.resume_writing()
        self._end(1006, "")

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._request = event
            elif isinstance(event, Frame):
                self._frame(event)
        self._write()
        closed = self._protocol.close_rcvd
        if closed is not None:
            self._end(closed.code, closed.reason)
        elif self._protocol.parser_exc is not None:
            self._end(1006, "")

    def abort(self) -> None:
        self._transport.abort()

    # The application's side

    async def _run(self) -> None:
        try:
            await self._shared.app(self._scope, self._receive, self._send)
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        except Exception:
            _log.exception("the WebSocket %s failed", self._scope["path"])
            await self._close(1011, "")
        else:
            await self._close(1000, "")

    async def _receive(self) -> Message:
        while not self._messages:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message = self._messages.popleft()
        if self._paused and len(self._messages) < _MOST_WAITING // 2 and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        return message

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if self._ended and kind != "websocket.close":
            return
        if kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.send":
            text = message.get("text")
            if text is not None:
                self._protocol.send_text(text.encode())
            else:
                self._protocol.send_binary(message.get("bytes") or b"")
            self._write()
            if self._writable is not None:
                await self._writable
        elif kind == "websocket.close":
            await self._close(message.get("code", 1000), message.get("reason") or "")
        else:
            raise RuntimeError(f"{kind} is not to be sent to a WebSocket")

    def _accept(self, message: Message) -> None:
        if self._request is None:
            raise RuntimeError("there is no request to accept")
        response = self._protocol.accept(self._request)
        subprotocol = message.get("subprotocol")
        if subprotocol and response.status_code == 101:
            response.headers["Sec-WebSocket-Protocol"] = subprotocol
        self._protocol.send_response(response)
        self._write()
        if response.status_code != 101:  # not a WebSocket's handshake after all
            self._end(1006, "")
            self._transport.close()

    async def _close(self, code: int, reason: str) -> None:
        if self._protocol.state is State.CONNECTING and self._request is not None and not self._ended:
            self._protocol.send_response(self._protocol.reject(403, "The WebSocket is refused.\n"))
            self._write()
        elif self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._write()
            # The client answers with a close of its own; one that does not is not waited for.
            self._loop.call_later(1.0, self._transport.close)
            return
        self._transport.close()

    # Inside

    def _frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._parts = [bytes(frame.data)]
            self._text = frame.opcode is Opcode.TEXT
        elif frame.opcode is Opcode.CONT:
            self._parts.append(bytes(frame.data))
        else:
            return  # pings are answered by the protocol, a close is seen in its state
        if not frame.fin:
            return
        data = b"".join(self._parts)
        self._parts = []
        if self._text:
            self._put({"type": "websocket.receive", "text": data.decode("utf-8", "replace")})
        else:
            self._put({"type": "websocket.receive", "bytes": data})

    def _put(self, message: Message) -> None:
        self._messages.append(message)
        if len(self._messages) > _MOST_WAITING and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end(self, code: int, reason: str) -> None:
        if not self._ended:
            self._ended = True
            self._put({"type": "websocket.disconnect", "code": code, "reason": reason})

    def _write(self) -> None:
        if self._transport.is_closing():
            return
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()


def _head(scope: Scope) -> bytes:
    """The request's head as it was: websockets reads it itself."""
    target: bytes = scope["raw_path"]
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    lines = [b"GET %b HTTP/1.1\r\n" % target, *(b"%b: %b\r\n" % pair for pair in scope["headers"]), b"\r\n"]
    return b"".join(lines)


def _subprotocols(scope: Scope) -> list[str]:
    found: list[str] = []
    for name, value in scope["headers"]:
        if name == b"sec-websocket-protocol":
            found += [word.strip() for word in value.decode("latin-1").split(",") if word.strip()]
    return found
