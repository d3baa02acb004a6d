"""One SPDY connection: streams that the client opens, served by this side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.streams.spdy import (
    PROTOCOL_ERROR,
    Data,
    Decoder,
    Encoder,
    GoAway,
    Ping,
    RstStream,
    SpdyError,
    SynReply,
    SynStream,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.kubernetes.streams.links import Link
    from windtunnel_emulators.kubernetes.streams.spdy import Frame

_WAITING = 64
_MOST_STREAMS = 1000
_LARGEST_WRITE = 64 * 1024


class SpdyStream:
    """One stream, opened by the client."""

    def __init__(self, connection: SpdyConnection, number: int, headers: Mapping[str, str]) -> None:
        self.number = number
        self.headers = headers
        self._connection = connection
        self._received: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)
        self._over = False
        self.closed = False
        """Nothing more is written."""

    async def read(self) -> bytes:
        """Some bytes; empty at the end."""
        if self._over:
            return b""
        data = await self._received.get()
        if data is None:
            self._over = True
            return b""
        return data

    async def write(self, data: bytes) -> None:
        """Raises ``ConnectionError``."""
        for start in range(0, len(data), _LARGEST_WRITE):
            if self.closed:
                raise ConnectionResetError("the stream is closed")
            await self._connection.send(Data(stream=self.number, data=data[start : start + _LARGEST_WRITE]))

    async def close(self) -> None:
        """Nothing more is written; safe to call twice."""
        if not self.closed:
            self.closed = True
            await self._connection.send(Data(stream=self.number, fin=True))

    async def reset(self, status: int) -> None:
        """Over in both directions."""
        self.closed = True
        self.end()
        await self._connection.send(RstStream(stream=self.number, status=status))

    async def feed(self, data: bytes) -> None:
        if not self._over:
            await self._received.put(data)

    def end(self) -> None:
        """The client writes nothing more."""
        while True:
            try:
                self._received.put_nowait(None)
                return
            except asyncio.QueueFull:
                # Who does not read is not told what it misses.
                self._received.get_nowait()


class SpdyConnection:
    """Reads as long as ``run`` does; ``accept`` hands out the streams."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._streams: dict[int, SpdyStream] = {}
        self._accepted: asyncio.Queue[SpdyStream | None] = asyncio.Queue()
        self._last = 0
        self._sending = asyncio.Lock()

    async def accept(self) -> SpdyStream | None:
        """The next stream; None when the connection is over."""
        stream = await self._accepted.get()
        if stream is None:
            self._accepted.put_nowait(None)
        return stream

    async def run(self) -> None:
        """Until the client is gone, or speaks something else: then it is told, and the connection closed."""
        try:
            while data := await self._link.read():
                for frame in self._decoder.feed(data):
                    await self._take(frame)
        except (SpdyError, ConnectionError):
            await self._go_away(PROTOCOL_ERROR)
        finally:
            for stream in self._streams.values():
                stream.closed = True
                stream.end()
            self._accepted.put_nowait(None)

    async def send(self, frame: Frame) -> None:
        """Frames are compressed in the order in which they are sent."""
        async with self._sending:
            await self._link.write(self._encoder.encode(frame))

    async def close(self) -> None:
        await self._go_away(0)
        await self._link.close()

    def forget(self, stream: SpdyStream) -> None:
        """Nobody reads or writes it any more."""
        self._streams.pop(stream.number, None)

    async def _go_away(self, status: int) -> None:
        try:
            await self.send(GoAway(last_stream=self._last, status=status))
        except ConnectionError:
            # It is gone already.
            return

    async def _take(self, frame: Frame) -> None:
        match frame:
            case SynStream(stream=number, headers=headers, fin=fin):
                await self._open(number, headers, fin=fin)
            case Data(stream=number, data=data, fin=fin):
                stream = self._streams.get(number)
                if stream is None:
                    return
                if data:
                    await stream.feed(data)
                if fin:
                    stream.end()
            case RstStream(stream=number):
                stream = self._streams.pop(number, None)
                if stream is not None:
                    stream.closed = True
                    stream.end()
            case Ping(id=number) if number % 2:
                await self.send(frame)
            case _:
                # SETTINGS, WINDOW_UPDATE, HEADERS, GOAWAY ask for nothing here.
                return

    async def _open(self, number: int, headers: Mapping[str, str], *, fin: bool) -> None:
        if number % 2 == 0 or number <= self._last:
            raise SpdyError(f"stream {number} cannot be opened")
        self._last = number
        if len(self._streams) >= _MOST_STREAMS:
            await self.send(RstStream(stream=number, status=3))
            return
        stream = SpdyStream(self, number, headers)
        self._streams[number] = stream
        await self.send(SynReply(stream=number))
        if fin:
            stream.end()
        self._accepted.put_nowait(stream)
