"""Keeps one container of a group running: pull, start, watch, and again as the restart policy says.

One task per container runs ``Supervisor.run``; ``halt`` may be called from any other task and makes it return.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from windtunnel_emulators.runtime.backoff import Backoff
from windtunnel_emulators.runtime.folders import earlier_runs, remove_all
from windtunnel_emulators.runtime.health import Health
from windtunnel_emulators.runtime.interface import ContainerSpec, ImageError, StartError
from windtunnel_emulators.runtime.plan import RestartPolicy

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from windtunnel_emulators.clock import Clock, Pace
    from windtunnel_emulators.runtime.interface import Container, Credentials, Exit, Image, Runtime
    from windtunnel_emulators.runtime.member import Member

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all containers of a group share."""

    runtime: Runtime
    clock: Clock
    pace: Pace
    folder: Path
    owner: str
    key: str
    """Short and unique in the runtime; begins the ids of the group's containers."""
    address: str
    ports: tuple[int, ...]
    """All that its containers listen on or are probed at."""
    credentials: tuple[Credentials, ...]
    pull_attempts: int | None
    grace_s: float


class Supervisor:
    """One container's life."""

    def __init__(self, member: Member, policy: RestartPolicy, around: Surroundings) -> None:
        self.member = member
        self._policy = policy
        self._around = around
        self._restart_waits = Backoff(first_at_once=True)
        self._halted = False
        self._grace_s = around.grace_s
        self._pending: asyncio.Future[object] | None = None
        self.container: Container | None = None
        """The one that runs now."""

    async def run(self) -> None:
        """Returns when the container is over for good or ``halt`` was called; raises ``ImageError`` when its image
        cannot be had and is not to be tried again."""
        while not self._halted:
            image = await self._pull()
            if image is None:
                return
            failed, run_s = await self._run_once(image)
            if self._halted:
                return
            over = not self._again(failed)
            if over:
                self.member.is_over(True)
            if earlier := earlier_runs(self._around.folder / self.member.plan.name, self.member.runs):
                await asyncio.to_thread(remove_all, earlier)
            if over:
                return
            await self._back_off(self._restart_waits.after(run_s))

    async def halt(self, grace_s: float) -> None:
        """End the container and do not start it again; its last state stays as it ended."""
        self._halted = True
        self._grace_s = grace_s
        if self._pending is not None:
            self._pending.cancel()
        if self.container is not None:
            self.member.event("Killing", f"Stopping container {self.member.plan.name}")
            await self.container.stop(grace_s)

    async def _pull(self) -> Image | None:
        """None when halted."""
        around, member = self._around, self.member
        reference = member.plan.image
        waits = Backoff(first_at_once=False)
        attempts = 0
        while True:
            member.event("Pulling", f'pulling image "{reference}"')
            try:
                image = await self._unless_halted(around.runtime.pull(reference, around.credentials))
            except ImageError as problem:
                attempts += 1
                member.event("Failed", f'Failed to pull image "{reference}": {problem}', warning=True)
                member.waits("ErrImagePull", str(problem))
                if around.pull_attempts is not None and attempts >= around.pull_attempts:
                    raise
                wait_s = waits.after()
                message = f'Back-off pulling image "{reference}"'
                member.event("BackOff", message, warning=True)
                member.waits("ImagePullBackOff", message)
                await self._sleep(wait_s)
                if self._halted:
                    return None
                continue
            if image is None:
                return None
            member.pulled(image)
            member.event("Pulled", f'Successfully pulled image "{reference}"')
            return image

    async def _run_once(self, image: Image) -> tuple[bool, float]:
        """Whether the run failed, and how long it was in Azure's seconds."""
        around, member = self._around, self.member
        member.created()
        member.event("Created", "Created container")
        try:
            container = await around.runtime.start(self._spec(image))
        except StartError as problem:
            member.event("Failed", f"Error: {problem}", warning=True)
            member.refused_to_start(str(problem))
            return True, 0.0
        member.event("Started", "Started container")
        begun = around.clock.monotonic()
        restarts = self._policy is not RestartPolicy.NEVER
        health = Health(member, container, around.clock, grace_s=around.grace_s, restarts=restarts)
        member.runs_since(container.started, ready=health.ready_at_start)
        self.container = container
        try:
            end = await self._until_it_ends(container, health)
        finally:
            self.container = None
        member.ended(end)
        scale = around.pace.backoff(1.0)
        return end.code != 0 or health.killed, (around.clock.monotonic() - begun) / scale

    async def _until_it_ends(self, container: Container, health: Health) -> Exit:
        if self._halted:
            return await container.stop(self._grace_s)
        watching = asyncio.create_task(health.watch(), name=f"health of {container.spec.id}")
        try:
            return await container.wait()
        finally:
            watching.cancel()
            await asyncio.wait({watching})
            if not watching.cancelled():
                watching.result()

    def _again(self, failed: bool) -> bool:
        return self._policy is RestartPolicy.ALWAYS or (self._policy is RestartPolicy.ON_FAILURE and failed)

    async def _back_off(self, wait_s: float) -> None:
        if wait_s > 0:
            self.member.event("BackOff", "Back-off restarting failed container", warning=True)
            self.member.waits("CrashLoopBackOff", f"Back-off {wait_s:g}s restarting failed")
            await self._sleep(wait_s)

    async def _sleep(self, azure_s: float) -> None:
        await self._unless_halted(self._around.clock.sleep(self._around.pace.backoff(azure_s)))

    async def _unless_halted(self, work: Coroutine[object, object, T]) -> T | None:
        """The work's result; None when ``halt`` came first, which ends the work."""
        if self._halted:
            work.close()
            return None
        task = asyncio.ensure_future(work)
        self._pending = task  # type: ignore[assignment]  # a Future's result type only matters to who awaits it
        try:
            return await task
        except asyncio.CancelledError:
            if self._halted and task.cancelled():
                return None
            raise
        finally:
            self._pending = None

    def _spec(self, image: Image) -> ContainerSpec:
        around, plan, run = self._around, self.member.plan, self.member.runs
        return ContainerSpec(
            id=f"{around.key}.{plan.name}.{run}",
            owner=around.owner,
            image=image,
            command=plan.command,
            arguments=plan.arguments,
            environment=plan.environment,
            working_directory=plan.working_directory,
            ports=plan.ports,
            group_ports=around.ports,
            address=around.address,
            cpu=plan.cpu,
            memory_bytes=plan.memory_bytes,
            mounts=plan.mounts,
            log=log_file(around.folder, plan.name, run),
            directory=around.folder / plan.name / f"run-{run}",
        )


def log_file(folder: Path, container: str, run: int) -> Path:
    """Where the output of a container's run is kept; runs count from 1."""
    return folder / container / f"run-{run}.log"
