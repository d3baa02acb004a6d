"""Watches the memory of containers where no control group limits it, and ends those that use more than they may."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.keeper import processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.clock import Clock

PERIOD_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One container."""

    init: int
    """Its first process, which does not count itself."""
    most_bytes: int
    exceeded: Callable[[], None]


class MemoryWatch:
    """One task for all containers; none while there are none."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watched: dict[str, Watched] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, name: str, watched: Watched) -> None:
        """``exceeded`` is called once, when the container uses more."""
        self._watched[name] = watched
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch(), name="memory of the containers")

    def remove(self, name: str) -> None:
        """Nothing when it is not watched."""
        self._watched.pop(name, None)

    async def close(self) -> None:
        self._watched.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _watch(self) -> None:
        while self._watched:
            watched = dict(self._watched)
            over = await asyncio.to_thread(_exceeding, list(watched.values()))
            for name, entry in watched.items():
                if entry in over and self._watched.get(name) is entry:
                    del self._watched[name]
                    entry.exceeded()
            await self._clock.sleep(PERIOD_S)


def _exceeding(watched: list[Watched]) -> list[Watched]:
    tree = processes.Tree()
    over: list[Watched] = []
    for entry in watched:
        pids = tree.below(entry.init)
        # What is shared is counted exactly only for those that may be over.
        for measure in (processes.resident_memory, processes.own_memory):
            if sum(map(measure, pids)) <= entry.most_bytes:
                break
        else:
            over.append(entry)
    return over
