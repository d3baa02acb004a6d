"""Sinks that do what a test says, and messages that know their number."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from windtunnel_emulators.edge.interface import Message, Outcome, Target
from windtunnel_emulators.iot.hub.identity import Who

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.edge.queues import DurableQueues

DONE, RETRY, DROP = Outcome.DONE, Outcome.RETRY, Outcome.DROP
SENDER = Who("edge", "sensor")


def to(endpoint: str = "x/in", priority: int = 1, ttl: float | None = None) -> Target:
    return Target(endpoint=endpoint, priority=priority, ttl=ttl)


def message(number: int, clock: Clock) -> Message:
    return Message(
        sender=SENDER, output="out", bag=f"n={number}", body=str(number).encode(), enqueued=clock.now().timestamp()
    )


def number(sent: Message) -> int:
    return int(sent.body)


class ScriptedSink:
    """Takes batches while its gate is open, and answers with what ``answer`` makes of their numbers."""

    def __init__(self, batch: int = 10, *, is_open: bool = True) -> None:
        self.batch = batch
        self.batches: list[list[int]] = []
        self.messages: list[Message] = []
        self.answer: Callable[[Sequence[int]], Sequence[Outcome]] = lambda numbers: [DONE] * len(numbers)
        self.gate = asyncio.Event()
        self.held: asyncio.Event | None = None
        """While it is there and not set, a batch stays with the sink."""
        self._sent = asyncio.Event()
        if is_open:
            self.gate.set()

    async def ready(self) -> None:
        await self.gate.wait()

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        numbers = [number(one) for one in messages]
        self.batches.append(numbers)
        self.messages += messages
        self._sent.set()
        if self.held is not None:
            await self.held.wait()
        return self.answer(numbers)

    @property
    def numbers(self) -> list[int]:
        return [one for batch in self.batches for one in batch]

    async def until(self, count: int) -> list[int]:
        """What was sent, once that is at least ``count`` messages."""
        async with asyncio.timeout(10):
            while len(self.numbers) < count:
                self._sent.clear()
                await self._sent.wait()
        return self.numbers


async def store(queues: DurableQueues, clock: Clock, numbers: Sequence[int], *targets: Target) -> None:
    """Append messages, and wait until they are acknowledged."""
    left = len(numbers)
    all_taken = asyncio.Event()

    def taken() -> None:
        nonlocal left
        left -= 1
        if not left:
            all_taken.set()

    for one in numbers:
        queues.append(message(one, clock), targets or (to(),), taken)
    async with asyncio.timeout(10):
        await all_taken.wait()


async def settled(queues: DurableQueues, endpoint: str = "x/in", depth: int = 0) -> None:
    """Wait until so many messages of an endpoint wait."""
    end = time.monotonic() + 10
    while (now := queues.depths().get(endpoint, 0)) != depth:
        assert time.monotonic() < end, f"{now} messages wait, not {depth}"
        await asyncio.sleep(0.001)
