"""What a container's probes lead to: ready or not, and the end of one that is not well."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.probes import watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.runtime.interface import Container
    from windtunnel_emulators.runtime.member import Member
    from windtunnel_emulators.runtime.plan import Probe
    from windtunnel_emulators.runtime.probes import Outcome
    from windtunnel_emulators.runtime.words import Words


class Health:
    """The probes of one run of a container."""

    def __init__(
        self,
        member: Member,
        container: Container,
        clock: Clock,
        *,
        grace_s: float,
        restarts: bool,
        words: Words,
        end: Callable[[float], Awaitable[object]],
        started: Callable[[], None],
    ) -> None:
        """``end`` ends the container within a grace; ``started`` is told when it has started up."""
        self._member = member
        self._container = container
        self._clock = clock
        self._grace_s = grace_s
        self._restarts = restarts
        self._words = words
        self._end = end
        self._started = started
        self.killed = False
        """A probe had it ended, so the run failed whatever its exit code is."""

    @property
    def ready_at_start(self) -> bool:
        """Nothing has to be asked before it counts as ready."""
        return self._member.plan.startup is None and self._member.plan.readiness is None

    async def watch(self) -> None:
        """Ask until cancelled; returns early when there is nothing (more) to ask."""
        plan = self._member.plan
        if plan.startup is not None and not await self._started_up(plan.startup):
            return
        self._started()
        if plan.readiness is None:
            self._member.becomes_ready(True)
        async with asyncio.TaskGroup() as tasks:
            if plan.readiness is not None:
                tasks.create_task(self._readiness(plan.readiness))
            if plan.liveness is not None:
                tasks.create_task(self._liveness(plan.liveness))

    async def _started_up(self, probe: Probe) -> bool:
        async with aclosing(watch(probe, self._container, self._clock)) as verdicts:
            async for verdict in verdicts:
                if verdict.passed:
                    return True
                self._note("Startup", verdict.outcome)
                if verdict.failed:
                    await self._kill("startup", probe)
                    return False
        return False

    async def _readiness(self, probe: Probe) -> None:
        async with aclosing(watch(probe, self._container, self._clock)) as verdicts:
            async for verdict in verdicts:
                self._note("Readiness", verdict.outcome)
                if verdict.passed:
                    self._member.becomes_ready(True)
                elif verdict.failed:
                    self._member.becomes_ready(False)

    async def _liveness(self, probe: Probe) -> None:
        async with aclosing(watch(probe, self._container, self._clock)) as verdicts:
            async for verdict in verdicts:
                self._note("Liveness", verdict.outcome)
                if verdict.failed:
                    await self._kill("liveness", probe)
                    return

    def _note(self, kind: str, outcome: Outcome) -> None:
        if not outcome.healthy:
            self._member.event("Unhealthy", f"{kind} probe failed: {outcome.message}", warning=True)

    async def _kill(self, kind: str, probe: Probe) -> None:
        self.killed = True
        sentence = self._words.ended_by_probe(self._member.plan.name, kind, restarts=self._restarts)
        self._member.event("Killing", sentence)
        await self._end(self._grace_s if probe.grace_s is None else probe.grace_s)
