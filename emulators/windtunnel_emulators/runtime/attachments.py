"""What is seen of a running container of the process runtime by who attached to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

_MOST_WAITING = 1024


class ProcessAttachment:
    """Implements ``interface.Attachment``. Who reads too slowly loses the oldest output, never the container."""

    def __init__(
        self,
        write: Callable[[bytes], Awaitable[None]],
        close_input: Callable[[], None],
        resize: Callable[[int, int], None],
        forget: Callable[[ProcessAttachment], None],
    ) -> None:
        self._write = write
        self._close_input = close_input
        self._resize = resize
        self._forget = forget
        self._waiting: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue(_MOST_WAITING)

    def feed(self, stream: str, data: bytes) -> None:
        """What the container wrote."""
        if self._waiting.full():
            self._waiting.get_nowait()
        self._waiting.put_nowait((stream, data))

    def end(self) -> None:
        """It writes nothing more."""
        if self._waiting.full():
            self._waiting.get_nowait()
        self._waiting.put_nowait(None)

    async def output(self) -> AsyncIterator[tuple[str, bytes]]:
        while (piece := await self._waiting.get()) is not None:
            yield piece

    async def send(self, data: bytes) -> None:
        await self._write(data)

    async def close_input(self) -> None:
        self._close_input()

    async def resize(self, rows: int, columns: int) -> None:
        self._resize(rows, columns)

    def close(self) -> None:
        self._forget(self)
        self.end()
