"""A connection that goes over a link: its bytes take their time in either direction, and stay in order.

``Passage`` stands between asyncio's transport and the protocol of whoever has opened the connection. Without latency it
hands on at once. What is on its way when the link is cut is lost, as on a real one.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.edge.upstream.faults import Faults


class Lane:
    """One direction: what is put in comes out later, in order."""

    def __init__(self, clock: Clock, faults: Callable[[], Faults], seed: str) -> None:
        """``seed`` tells this lane's jitter from that of others; the profile's own seed is added."""
        self._clock = clock
        self._faults = faults
        self._seed = seed
        self._chance: tuple[int, random.Random] | None = None
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._last = 0.0
        self._pump: asyncio.Task[None] | None = None

    def put(self, act: Callable[[], None]) -> None:
        """Do something once the latency has passed, and after all that was put in before."""
        faults = self._faults()
        if not self._waiting and not faults.delays:
            act()
            return
        due = self._clock.monotonic() + self._latency(faults)
        self._last = due = max(due, self._last)
        self._waiting.append((due, act))
        if self._pump is None:
            self._pump = asyncio.get_running_loop().create_task(self._run(), name="latency of a link")

    def clear(self) -> None:
        """What is on its way is lost."""
        self._waiting.clear()
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None

    def _latency(self, faults: Faults) -> float:
        if self._chance is None or self._chance[0] != faults.seed:
            self._chance = (faults.seed, random.Random(f"{faults.seed}/{self._seed}"))  # noqa: S311  # no secret
        return (faults.latency_ms + self._chance[1].random() * faults.jitter_ms) / 1000

    async def _run(self) -> None:
        while self._waiting:
            due = self._waiting[0][0]
            await self._clock.sleep(due - self._clock.monotonic())
            while self._waiting and self._waiting[0][0] <= self._clock.monotonic():
                self._waiting.popleft()[1]()
        self._pump = None


class Passage(asyncio.Protocol):
    """What asyncio sees of a connection that goes over a link."""

    def __init__(
        self,
        inner: asyncio.Protocol,
        up: Lane,
        down: Lane,
        *,
        begun: Callable[[Passage], None],
        over: Callable[[Passage], None],
    ) -> None:
        """``begun`` is called when there is a connection, ``over`` when it has ended."""
        self._inner = inner
        self._up = up
        self._down = down
        self._begun = begun
        self._over = over
        self._transport: asyncio.Transport | None = None
        self._is_cut = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not registered as such
        self._begun(self)
        self._inner.connection_made(_Outward(self._transport, self._up))

    def data_received(self, data: bytes) -> None:
        self._down.put(lambda: self._inner.data_received(data))

    def eof_received(self) -> bool | None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._up.clear()
        self._over(self)
        if self._is_cut:
            self._inner.connection_lost(exc)
        else:
            self._down.put(lambda: self._inner.connection_lost(exc))

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def cut(self) -> None:
        """The link is gone: nothing more comes out at either end."""
        self._is_cut = True
        self._up.clear()
        self._down.clear()
        if self._transport is not None:
            self._transport.abort()


class _Outward(asyncio.Transport):
    """What the opener writes to."""

    def __init__(self, transport: asyncio.Transport, lane: Lane) -> None:
        super().__init__()
        self._transport = transport
        self._lane = lane

    def write(self, data: Any) -> None:
        kept = bytes(data)
        self._lane.put(lambda: self._transport.write(kept))

    def close(self) -> None:
        self._lane.put(self._transport.close)

    def abort(self) -> None:
        self._lane.clear()
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)
