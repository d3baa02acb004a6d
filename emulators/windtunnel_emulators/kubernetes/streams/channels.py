"""The channels of an exec or attach: input, output, errors, size and the last word, over a WebSocket or SPDY.

One interface for what differs on the wire: numbered messages (``v4.channel.k8s.io`` and ``v5``, which can close its
input) or one SPDY stream each.
"""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Protocol

import msgspec

from windtunnel_emulators.jsontypes import as_object
from windtunnel_emulators.kubernetes.client.meta import number as number_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.streams.connection import SpdyConnection, SpdyStream
    from windtunnel_emulators.kubernetes.streams.websocket import WebSocket

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
WEBSOCKET_PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
)
SPDY_PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
)
_WAITING = 64


class Channels(Protocol):
    """Of one session."""

    def input(self) -> AsyncGenerator[bytes]:
        """What the client types; ends when it closes its input."""
        ...

    def sizes(self) -> AsyncGenerator[tuple[int, int]]:
        """(rows, columns) of its terminal, as it changes."""
        ...

    async def gone(self) -> None:
        """Returns when the client is gone."""
        ...

    async def write(self, channel: int, data: bytes) -> None:
        """To ``STDOUT`` or ``STDERR``. Raises ``ConnectionError``."""
        ...

    async def finish(self, status: JsonObject) -> None:
        """The last word, and the end of all channels."""
        ...


def size_of(data: bytes) -> tuple[int, int] | None:
    """What a resize message says; None for one that says nothing."""
    try:
        asked = as_object(msgspec.json.decode(data))
    except msgspec.DecodeError:
        return None
    rows, columns = number_of(asked, "Height"), number_of(asked, "Width")
    return (rows, columns) if 0 < rows < 65536 and 0 < columns < 65536 else None


def last_word(protocol: str, status: JsonObject) -> bytes:
    """JSON from v4 on; before, only a sentence when it failed."""
    if protocol.startswith(("v4.", "v5.")):
        return msgspec.json.encode(status)
    if status.get("status") == "Success":
        return b""
    return str(status.get("message", "")).encode()


class _Inbox:
    """Input and sizes, from whoever reads the wire."""

    def __init__(self) -> None:
        self._input: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)
        self._sizes: asyncio.Queue[tuple[int, int] | None] = asyncio.Queue()
        self.gone = asyncio.Event()

    async def type(self, data: bytes) -> None:
        if data:
            await self._input.put(data)

    async def end_input(self) -> None:
        await self._input.put(None)

    def resize(self, data: bytes) -> None:
        size = size_of(data)
        if size is not None:
            self._sizes.put_nowait(size)

    def lose(self) -> None:
        self.gone.set()
        self._sizes.put_nowait(None)
        while True:
            try:
                self._input.put_nowait(None)
                return
            except asyncio.QueueFull:
                self._input.get_nowait()

    async def input(self) -> AsyncGenerator[bytes]:
        while (data := await self._input.get()) is not None:
            yield data

    async def sizes(self) -> AsyncGenerator[tuple[int, int]]:
        while (size := await self._sizes.get()) is not None:
            yield size


class WebSocketChannels:
    """Implements ``Channels``; ``run`` has to run beside."""

    def __init__(self, socket: WebSocket, protocol: str) -> None:
        self._socket = socket
        self._protocol = protocol
        self._text = "base64" in protocol
        self._inbox = _Inbox()

    async def run(self) -> None:
        """Read until the client is gone."""
        try:
            while (message := await self._socket.receive()) is not None:
                if message:
                    await self._take(message)
        except (ConnectionError, ValueError):
            # A message that is none of the protocol's ends it, as the client's absence does.
            return
        finally:
            self._inbox.lose()

    async def _take(self, message: bytes) -> None:
        channel, data = message[0], message[1:]
        if self._text:
            channel, data = channel - ord("0"), base64.b64decode(data)
        if channel == STDIN:
            await self._inbox.type(data)
        elif channel == RESIZE:
            self._inbox.resize(data)
        elif channel == CLOSE and data[:1] == bytes((STDIN,)) and self._protocol.startswith("v5."):
            await self._inbox.end_input()

    def input(self) -> AsyncGenerator[bytes]:
        return self._inbox.input()

    def sizes(self) -> AsyncGenerator[tuple[int, int]]:
        return self._inbox.sizes()

    async def gone(self) -> None:
        await self._inbox.gone.wait()

    async def write(self, channel: int, data: bytes) -> None:
        if self._text:
            await self._socket.send_text(f"{channel}{base64.b64encode(data).decode()}")
        else:
            await self._socket.send(bytes((channel,)) + data)

    async def open(self, names: Collection[str]) -> None:
        """The lowest channel to the client says with an empty message that the session is there, as API servers do."""
        first = STDOUT if "stdout" in names else STDERR if "stderr" in names else ERROR
        await self.write(first, b"")

    async def finish(self, status: JsonObject) -> None:
        word = last_word(self._protocol, status)
        try:
            if word:
                await self.write(ERROR, word)
        except ConnectionError:
            # Nobody listens any more.
            return
        finally:
            await self._socket.close()


class SpdyChannels:
    """Implements ``Channels``; the connection's ``run`` has to run beside."""

    def __init__(self, connection: SpdyConnection, protocol: str, streams: dict[str, SpdyStream]) -> None:
        self._connection = connection
        self._protocol = protocol
        self._streams = streams
        self._gone = asyncio.Event()

    async def input(self) -> AsyncGenerator[bytes]:
        stream = self._streams.get("stdin")
        while stream is not None and (data := await stream.read()):
            yield data

    async def sizes(self) -> AsyncGenerator[tuple[int, int]]:
        stream = self._streams.get("resize")
        rest = b""
        while stream is not None and (data := await stream.read()):
            *whole, rest = (rest + data).replace(b"}", b"}\n").split(b"\n")
            for size in map(size_of, filter(None, whole)):
                if size is not None:
                    yield size

    async def gone(self) -> None:
        await self._gone.wait()

    def lose(self) -> None:
        self._gone.set()

    async def write(self, channel: int, data: bytes) -> None:
        stream = self._streams.get("stdout" if channel == STDOUT else "stderr")
        if stream is not None:
            await stream.write(data)

    async def finish(self, status: JsonObject) -> None:
        word = last_word(self._protocol, status)
        try:
            for name in ("stdout", "stderr"):
                if name in self._streams:
                    await self._streams[name].close()
            error = self._streams.get("error")
            if error is not None:
                if word:
                    await error.write(word)
                await error.close()
            for name in ("stdin", "resize"):
                if name in self._streams:
                    await self._streams[name].close()
        except ConnectionError:
            # Nobody listens any more.
            return
        finally:
            await self._connection.close()
