"""One container's record in its group: the current and previous state, the restart count, and the events."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.status import ContainerState, ContainerStatus, Event, Phase

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.runtime.interface import Exit, Image
    from windtunnel_emulators.runtime.plan import ContainerPlan

CREATING = ContainerState(phase=Phase.WAITING, reason="ContainerCreating")
KEPT_EVENTS = 50


class Member:
    """Written by the supervisor alone; every change is announced by ``changed``."""

    def __init__(self, plan: ContainerPlan, clock: Clock, changed: Callable[[], None]) -> None:
        self.plan = plan
        self._clock = clock
        self._changed = changed
        self._status = ContainerStatus(name=plan.name, state=CREATING, sidecar=plan.sidecar)
        self._events: dict[tuple[str, str], Event] = {}
        self.runs = 0
        """How often it has been started, or tried to be."""
        self.last_ended = 0
        """Which of the runs was the last to end; 0 before the first."""

    def status(self) -> ContainerStatus:
        return self._status

    def restore(self, status: ContainerStatus, *, interrupted: str) -> None:
        """Take over what a predecessor knew. A run that it saw running has ended with it, for the reason given."""
        self._events = {(event.name, event.message): event for event in status.events}
        state, previous = status.state, status.previous
        if state.phase is Phase.RUNNING:
            previous = ContainerState(
                phase=Phase.TERMINATED,
                reason="Error",
                message=interrupted,
                exit_code=137,
                started=state.started,
                finished=self._clock.now(),
            )
            state = CREATING
        self.runs = status.restarts + 1 if previous is not None or state.phase is Phase.TERMINATED else 0
        self.last_ended = self.runs
        known = replace(status, state=state, previous=previous, ready=False, started=False)
        self._become(replace(known, sidecar=self.plan.sidecar))

    def event(self, name: str, message: str, *, warning: bool = False) -> None:
        """Record an event; the same name and message again only counts up."""
        now = self._clock.now()
        known = self._events.pop((name, message), None)
        event = Event(
            name=name,
            message=message,
            type="Warning" if warning else "Normal",
            count=1 if known is None else known.count + 1,
            first=now if known is None else known.first,
            last=now,
        )
        if known is None:
            while len(self._events) >= KEPT_EVENTS:
                del self._events[min(self._events, key=lambda key: self._events[key].last)]
        self._events[name, message] = event
        ordered = sorted(self._events.values(), key=lambda e: e.first)
        self._become(replace(self._status, events=tuple(ordered)))

    def waits(self, reason: str, message: str = "") -> None:
        """It is not running and will be (again)."""
        self._enter(ContainerState(phase=Phase.WAITING, reason=reason, message=message))

    def pulled(self, image: Image) -> None:
        self._become(replace(self._status, image=self.plan.image, digest=image.digest, stand_in=image.stand_in))

    def created(self, run_id: str | None = None) -> None:
        """A run begins: all but the first count as restarts."""
        self.runs += 1
        self._become(replace(self._status, restarts=self.runs - 1, run_id=run_id))

    def has_started(self) -> None:
        """Its startup probe has passed, or it has none."""
        if not self._status.started:
            self._become(replace(self._status, started=True))

    def runs_since(self, started: datetime, *, ready: bool) -> None:
        self._enter(ContainerState(phase=Phase.RUNNING, started=started), ready=ready)

    def becomes_ready(self, ready: bool) -> None:
        if self._status.ready is not ready:
            self._become(replace(self._status, ready=ready))

    def ended(self, end: Exit, message: str = "") -> None:
        self.last_ended = self.runs
        self._enter(
            ContainerState(
                phase=Phase.TERMINATED,
                reason=end.reason,
                message=message,
                exit_code=end.code,
                started=end.started,
                finished=end.finished,
            )
        )

    def refused_to_start(self, message: str) -> None:
        """It could not even be started: 128 is what containerd reports then."""
        self.last_ended = self.runs
        now = self._clock.now()
        state = ContainerState(
            phase=Phase.TERMINATED, reason="StartError", message=message, exit_code=128, started=now, finished=now
        )
        self._enter(state)

    def is_over(self, over: bool) -> None:
        self._become(replace(self._status, over=over))

    def _enter(self, state: ContainerState, *, ready: bool = False) -> None:
        before = self._status.state
        previous = before if before.phase is Phase.TERMINATED else self._status.previous
        started = self._status.started and state.phase is Phase.RUNNING
        self._become(replace(self._status, state=state, previous=previous, ready=ready, started=started))

    def _become(self, status: ContainerStatus) -> None:
        self._status = status
        self._changed()
