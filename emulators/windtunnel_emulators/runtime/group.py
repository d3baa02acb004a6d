"""The supervisor of a group of containers: what a container group, a pod and an edge device's modules have in common.

Driven from one event loop. ``start``, ``stop``, ``restart`` and ``remove`` wait for each other, so that they may be
called from anywhere; the status changes only through them and by what happens to the containers.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.folders import remove_tree
from windtunnel_emulators.runtime.hooks import NoHooks
from windtunnel_emulators.runtime.interface import ImageError, RuntimeProblem
from windtunnel_emulators.runtime.logs import read_log
from windtunnel_emulators.runtime.member import Member
from windtunnel_emulators.runtime.plan import RestartPolicy
from windtunnel_emulators.runtime.status import GroupState, GroupStatus, Phase, group_state
from windtunnel_emulators.runtime.supervisor import Supervisor, Surroundings, log_file
from windtunnel_emulators.runtime.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from windtunnel_emulators.clock import Clock, Pace
    from windtunnel_emulators.runtime.hooks import Hooks, KnownImages
    from windtunnel_emulators.runtime.interface import Container, ExecSession, Runtime
    from windtunnel_emulators.runtime.plan import ContainerPlan, GroupPlan

_log = logging.getLogger(__name__)
INTERRUPTED = "ended together with the emulators, which were restarted"


def _nobody(status: GroupStatus) -> None:
    """The listener when there is none."""


class NotRunning(RuntimeProblem):
    """Something was asked of a container that does not run."""


class NoSuchContainer(RuntimeProblem):
    """The group has no container of that name."""


class ContainerGroup:
    """One group. ``folder`` is its own: logs and writable layers are kept there until ``remove``."""

    def __init__(
        self,
        plan: GroupPlan,
        *,
        runtime: Runtime,
        clock: Clock,
        pace: Pace,
        folder: Path,
        on_change: Callable[[GroupStatus], None] = _nobody,
        words: Words | None = None,
        hooks: Hooks | None = None,
        images: KnownImages | None = None,
    ) -> None:
        """``words``, ``hooks`` and ``images``: how its owner speaks of it, makes it ready, and what need not be pulled
        again; Azure Container Instances' when None."""
        self.plan = plan
        self._words = words or Words()
        self._hooks = hooks or NoHooks()
        self._images = images
        self._runtime = runtime
        self._clock = clock
        self._pace = pace
        self._folder = folder
        self._on_change = on_change
        self._lock = asyncio.Lock()
        self._address: str | None = None
        self._preferred: str | None = None
        self._stopped = False
        self._refused: str | None = None
        self._announced = False
        self._last: GroupStatus | None = None
        self._waiters: list[tuple[Callable[[GroupStatus], bool], asyncio.Future[GroupStatus]]] = []
        self._task: asyncio.Task[None] | None = None
        self._halting, self._halting_grace_s = False, plan.grace_s
        self._supervisors: dict[str, Supervisor] = {}
        self._make_members()

    @property
    def status(self) -> GroupStatus:
        """What is known at this moment."""
        containers = tuple(member.status() for member in self._members)
        inits = tuple(member.status() for member in self._inits)
        state = group_state(containers, inits, stopped=self._stopped, refused=self._refused is not None)
        return GroupStatus(
            state=state,
            containers=containers,
            init_containers=inits,
            address=self._address,
            refused=self._refused,
        )

    async def wait(self, until: Callable[[GroupStatus], bool]) -> GroupStatus:
        """The first status for which ``until`` holds; without a limit of its own."""
        status = self.status
        if until(status):
            return status
        found: asyncio.Future[GroupStatus] = asyncio.get_running_loop().create_future()
        entry = (until, found)
        self._waiters.append(entry)
        try:
            return await found
        finally:
            self._waiters.remove(entry)

    async def start(self) -> None:
        """Begin a new deployment of the plan, unless it is under way; returns before anything has been pulled."""
        async with self._lock:
            if self._task is not None and not self._task.done() and not self.status.finished:
                return
            await self._halt(0)
            self._make_members()
            if self._folder.is_dir():
                await asyncio.to_thread(remove_tree, self._folder)
            self._begin()

    def restore(self, status: GroupStatus) -> None:
        """Carry on, before ``start``, where a predecessor ended: what was over stays over, what ran is run again with
        one more restart, whatever the policy (it did not end by itself); a finished group is left as it is.

        Statuses are matched by container name; one that the plan does not have is dropped.
        """
        for member in (*self._inits, *self._members):
            known = status.container(member.plan.name)
            if known is not None:
                member.restore(known, interrupted=INTERRUPTED)
        self._refused = status.refused
        self._preferred = status.address
        self._stopped = status.state is GroupState.STOPPED
        if not status.finished:
            self._begin()

    async def stop(self, grace_s: float = 30.0) -> None:
        """End all containers and give up the address; a group that had finished keeps its state."""
        async with self._lock:
            if self.status.finished:
                return
            await self._halt(grace_s)
            if not self.status.finished:
                self._stopped = True
            self._give_up_address()
            self._changed()

    async def restart(self, grace_s: float = 30.0) -> None:
        """End all containers and run them again in place: restart counts go on and images are pulled again."""
        async with self._lock:
            await self._halt(grace_s)
            self._refused = None
            self._stopped = False
            for member in (*self._inits, *self._members):
                member.is_over(False)
                if member.runs:
                    member.waits("ContainerCreating")
            self._begin()

    async def close(self, grace_s: float = 0.0) -> None:
        """End the containers without a change of status, keeping the address, as the emulators end: ``restore`` (or
        another group of the same owner) carries on from there."""
        async with self._lock:
            self._on_change = _nobody
            await self._halt(grace_s)

    async def remove(self, grace_s: float = 0.0) -> None:
        """End everything, give up the address and delete the folder; safe to call twice."""
        async with self._lock:
            await self._halt(grace_s)
            self._stopped = True
            self._give_up_address()
            await asyncio.to_thread(remove_tree, self._folder)

    def logs(
        self,
        container: str,
        *,
        tail: int | None = None,
        timestamps: bool = False,
        since: datetime | None = None,
        previous: bool = False,
    ) -> str:
        """The output of a container's last run (``previous``: of the one before): the last ``tail`` lines of it.

        Empty when it has not run. Raises ``NoSuchContainer``.
        """
        member = self._member(container)
        run = member.runs - 1 if previous else member.runs
        path = log_file(self._folder, container, run)
        return read_log(path, tail=tail, timestamps=timestamps, since=since)

    def log(self, container: str, *, previous: bool = False) -> Path | None:
        """The file of the output of the run that goes on or was the last, or of the one before it; None when there was
        none. One that waits has ended its last run. Raises ``NoSuchContainer``."""
        member = self._member(container)
        phase = member.status().state.phase
        run = member.runs if phase is Phase.RUNNING else member.last_ended
        if previous:
            run = member.last_ended - (1 if phase is Phase.TERMINATED else 0)
        return log_file(self._folder, container, run) if run > 0 else None

    async def execute(
        self,
        container: str,
        command: tuple[str, ...],
        *,
        terminal: tuple[int, int] | None = None,
        separate: bool = False,
    ) -> ExecSession:
        """Raises ``NoSuchContainer``, ``NotRunning``, ``StartError``."""
        return await self.running(container).execute(command, terminal=terminal, separate=separate)

    def running(self, container: str) -> Container:
        """Raises ``NoSuchContainer``, ``NotRunning``."""
        state = self._member(container).status().state
        supervisor = self._supervisors.get(container)
        if supervisor is None or supervisor.container is None:
            raise NotRunning(f"container {container!r} does not run; it is {state.phase}: {state.detail}")
        return supervisor.container

    def renew(self, container: str, image: str) -> None:
        """Run a container with another image: at once, whatever the restart policy; not one that is over. An init
        container that runs is let run, unless it stays beside the others. Raises ``NoSuchContainer``."""
        member = self._member(container)
        if member.plan.image == image:
            return
        supervisor = self._supervisors.get(container)
        if supervisor is None:
            member.plan = replace(member.plan, image=image)
        else:
            supervisor.renew(image, ends=member in self._members or member.plan.sidecar)
        self.plan = replace(
            self.plan,
            containers=tuple(each.plan for each in self._members),
            init_containers=tuple(each.plan for each in self._inits),
        )

    async def end_runs(self, grace_s: float) -> None:
        """End what runs now, which is started again as the policy says; safe when nothing runs."""
        running = [s.container for s in self._supervisors.values() if s.container is not None]
        await asyncio.gather(*(container.stop(grace_s) for container in running))

    def _member(self, name: str) -> Member:
        for member in (*self._inits, *self._members):
            if member.plan.name == name:
                return member
        names = ", ".join(member.plan.name for member in (*self._inits, *self._members))
        raise NoSuchContainer(f"no container {name!r} in {self.plan.owner}; it has {names}")

    def _make_members(self) -> None:
        def members(plans: tuple[ContainerPlan, ...]) -> tuple[Member, ...]:
            return tuple(Member(plan, self._clock, self._changed) for plan in plans)

        self._members = members(self.plan.containers)
        self._inits = members(self.plan.init_containers)

    def _begin(self) -> None:
        plan = self.plan
        self._stopped = False
        self._refused = None
        self._address = self._runtime.allocate_address(plan.owner, self._preferred)
        around = Surroundings(
            runtime=self._runtime,
            clock=self._clock,
            pace=self._pace,
            folder=self._folder,
            owner=plan.owner,
            key=_key(plan.owner),
            address=self._address,
            ports=plan.ports,
            credentials=plan.credentials,
            pull_attempts=plan.pull_attempts,
            grace_s=plan.grace_s,
            hostname=plan.hostname,
            words=self._words,
            hooks=self._hooks,
            images=self._images,
        )
        never = plan.restart_policy is RestartPolicy.NEVER
        once = RestartPolicy.NEVER if never else RestartPolicy.ON_FAILURE
        inits = [
            Supervisor(member, RestartPolicy.ALWAYS if member.plan.sidecar else once, around) for member in self._inits
        ]
        members = [Supervisor(member, plan.restart_policy, around) for member in self._members]
        self._supervisors = {s.member.plan.name: s for s in (*inits, *members)}
        self._changed()
        self._task = asyncio.create_task(self._run(inits, members), name=f"group {plan.owner}")

    async def _run(self, inits: list[Supervisor], members: list[Supervisor]) -> None:
        """Ends when all is over, or was halted."""
        sidecars = [init for init in inits if init.member.plan.sidecar]
        beside: list[asyncio.Task[None]] = []
        try:
            for init in inits:
                if init.member.plan.sidecar:
                    name = f"{self.plan.owner}/{init.member.plan.name}"
                    beside.append(asyncio.create_task(self._supervise(init), name=name))
                    await init.up.wait()
                    if self._halting or self._refused is not None:
                        return
                    continue
                await self._supervise(init)
                if self._refused is not None or init.member.status().state.exit_code != 0:
                    return
            async with asyncio.TaskGroup() as tasks:
                for member in members:
                    tasks.create_task(self._supervise(member), name=f"{self.plan.owner}/{member.member.plan.name}")
            for sidecar in reversed(sidecars):
                await sidecar.halt(self.plan.grace_s)
        except Exception as problem:
            _log.exception("the supervisor of %s failed", self.plan.owner)
            self._refused = f"an error of the emulators' own: {problem!r}"
        finally:
            for sidecar in reversed(sidecars):
                # Nothing for those that have ended; the others are of a group that did not come to run.
                await sidecar.halt(self._halting_grace_s)
            await asyncio.gather(*beside, return_exceptions=True)
            self._changed()

    async def _supervise(self, supervisor: Supervisor) -> None:
        if supervisor.member.status().over:
            return
        try:
            await supervisor.run()
        except ImageError as problem:
            if self._refused is None:
                self._refused = str(problem)
                others = [s.halt(0) for s in self._supervisors.values() if s is not supervisor]
                await asyncio.gather(*others)

    async def _halt(self, grace_s: float) -> None:
        if self._task is None:
            return
        begun = self._clock.monotonic()
        self._halting, self._halting_grace_s = True, grace_s
        try:
            supervisors = list(self._supervisors.values())
            await asyncio.gather(*(s.halt(grace_s) for s in supervisors if not s.member.plan.sidecar))
            for sidecar in reversed([s for s in supervisors if s.member.plan.sidecar]):
                left_s = max(0.0, grace_s - (self._clock.monotonic() - begun))
                await sidecar.halt(left_s)
            await asyncio.wait({self._task})
        finally:
            self._halting = False
        task, self._task, self._supervisors = self._task, None, {}
        task.result()

    def _give_up_address(self) -> None:
        if self._address is not None:
            self._runtime.release_address(self.plan.owner)
            self._address = None

    def _changed(self) -> None:
        """Announce the status, once for all changes of one turn of the loop."""
        if not self._announced:
            self._announced = True
            asyncio.get_running_loop().call_soon(self._announce)

    def _announce(self) -> None:
        self._announced = False
        status = self.status
        if status == self._last:
            return
        self._last = status
        for until, found in self._waiters:
            if not found.done() and until(status):
                found.set_result(status)
        self._on_change(status)


def _key(owner: str) -> str:
    """Short, unique and fit for a container's id."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", owner.rsplit("/", 1)[-1])[:40]
    return f"{name}-{hashlib.sha256(owner.encode()).hexdigest()[:10]}"
