"""Keeps one container of a group running: pull, start, watch, and again as the restart policy says.

One task per container runs ``Supervisor.run``; ``halt`` may be called from any other task and makes it return.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from windtunnel_emulators.runtime.backoff import Backoff
from windtunnel_emulators.runtime.folders import earlier_runs, remove_all
from windtunnel_emulators.runtime.health import Health
from windtunnel_emulators.runtime.hooks import KnownImages, NoHooks, NotConfigured
from windtunnel_emulators.runtime.interface import ContainerSpec, ImageError, RuntimeProblem, StartError
from windtunnel_emulators.runtime.plan import PullPolicy, RestartPolicy
from windtunnel_emulators.runtime.probes import perform
from windtunnel_emulators.runtime.words import Words

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from windtunnel_emulators.clock import Clock, Pace
    from windtunnel_emulators.runtime.hooks import Hooks
    from windtunnel_emulators.runtime.interface import Container, Credentials, Exit, Image, Runtime
    from windtunnel_emulators.runtime.member import Member
    from windtunnel_emulators.runtime.plan import ContainerPlan

T = TypeVar("T")
_log = logging.getLogger(__name__)
_LAST_GRACE_S = 2.0
"""What is left at least between SIGTERM and SIGKILL after a hook that took long, as with a kubelet."""
_RETRY_S = 10.0
"""How long a container that is not configured waits; Azure's seconds."""


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
    hostname: str | None = None
    words: Words = field(default_factory=Words)
    hooks: Hooks = field(default_factory=NoHooks)
    images: KnownImages | None = None
    """What need not be pulled again; None pulls every time."""


class Supervisor:
    """One container's life."""

    def __init__(self, member: Member, policy: RestartPolicy, around: Surroundings) -> None:
        self.member = member
        self._policy = policy
        self._around = around
        self._restart_waits = Backoff(first_at_once=True)
        self._halted = False
        self._renewed = False
        """Another image is to run, which nothing has been done for yet."""
        self._ending: asyncio.Task[None] | None = None
        self._grace_s = around.grace_s
        self._pending: asyncio.Future[object] | None = None
        self.container: Container | None = None
        """The one that runs now."""
        self.up = asyncio.Event()
        """Set when it has started (its startup probe included) or is over: what comes after it may begin."""

    async def run(self) -> None:
        """Returns when the container is over for good or ``halt`` was called; raises ``ImageError`` when its image
        cannot be had and is not to be tried again."""
        try:
            await self._run()
        finally:
            self.up.set()

    async def _run(self) -> None:
        while not self._halted:
            image = await self._pull()
            if image is None:
                return
            failed, run_s = await self._run_once(image)
            if self._halted:
                return
            if self._renewed:
                # Whatever the policy; the end is not seen as one (an API server takes what has ended as over then).
                self.member.waits("ContainerCreating")
                # Counted, so that an image that crashes at once waits as after any restart.
                if self.member.last_ended:
                    self._restart_waits.after(run_s)
                continue
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
        container = self.container
        if container is not None:
            self.member.event("Killing", self._around.words.stopping(self.member.plan.name))
            # One that is to be renewed is on its way: its hook is not done twice.
            await (self._end(container, grace_s) if self._ending is None else container.stop(grace_s))

    def renew(self, image: str, *, ends: bool) -> None:
        """Another image from now on. One that waits is tried with it at once, and one that runs is ended and run again
        with it if it ``ends``; what is over stays over."""
        member = self.member
        member.plan = replace(member.plan, image=image)
        if member.status().over:
            return
        self._restart_waits = Backoff(first_at_once=True)
        if self._pending is not None:
            self._renewed = True
            self._pending.cancel()
        elif ends:
            self._renewed = True
            if self.container is not None:
                self._end_to_renew(self.container)

    def _end_to_renew(self, container: Container) -> None:
        if self._ending is None:
            member, words = self.member, self._around.words
            member.event("Killing", words.ended_by_change(member.plan.name, sidecar=member.plan.sidecar))
            self._ending = asyncio.create_task(self._end(container, self._grace_s), name=f"end of {container.spec.id}")

    async def _end(self, container: Container, grace_s: float) -> None:
        """Its hook, then the signals."""
        hook = self.member.plan.pre_stop
        if hook is not None and grace_s > 0 and container.running:
            clock = self._around.clock
            begun = clock.monotonic()
            done = asyncio.ensure_future(perform(hook, container, clock))
            limit = asyncio.ensure_future(clock.sleep(grace_s))
            ended = asyncio.ensure_future(container.wait())
            try:
                await asyncio.wait({done, limit, ended}, return_when=asyncio.FIRST_COMPLETED)
                outcome = done.result() if done.done() else None
                if container.running and (outcome is None or not outcome.healthy):
                    why = "it took longer than the grace" if outcome is None else outcome.message
                    self.member.event("FailedPreStopHook", f"PreStopHook failed: {why}", warning=True)
            finally:
                for task in (done, limit, ended):
                    task.cancel()
                await asyncio.gather(done, limit, ended, return_exceptions=True)
            grace_s = max(_LAST_GRACE_S, grace_s - (clock.monotonic() - begun))
        await container.stop(grace_s)

    async def _pull(self) -> Image | None:
        """None when halted."""
        while not self._halted:
            self._renewed = False
            image = await self._pull_of(self.member.plan.image)
            if image is not None and not self._renewed:
                return image
        return None

    async def _pull_of(self, reference: str) -> Image | None:
        """None when halted or renewed. Raises ``ImageError`` after the last attempt."""
        around, member, words = self._around, self.member, self._around.words
        waits = Backoff(first_at_once=False)
        attempts = 0
        while not self._interrupted:
            known = None if around.images is None else around.images.get(reference)
            if known is not None and member.plan.pull is not PullPolicy.ALWAYS:
                member.pulled(known)
                member.event("Pulled", words.present(reference))
                return known
            if member.plan.pull is PullPolicy.NEVER:
                message = f'Container image "{reference}" is not present with pull policy of Never'
                member.event("ErrImageNeverPull", message, warning=True)
                member.event("Failed", "Error: ErrImageNeverPull", warning=True)
                member.waits("ErrImageNeverPull", message)
                await self._sleep(waits.after())
                continue
            member.event("Pulling", words.pulling(reference))
            begun = around.clock.monotonic()
            try:
                image = await self._unless_halted(self._fetched(reference))
            except ImageError as problem:
                attempts += 1
                member.event("Failed", words.pull_failed(reference, str(problem)), warning=True)
                if words.kubernetes:
                    member.event("Failed", "Error: ErrImagePull", warning=True)
                member.waits("ErrImagePull", words.pull_error(reference, str(problem)))
                if around.pull_attempts is not None and attempts >= around.pull_attempts:
                    raise
                if words.kubernetes:
                    # Seen by who looks: a kubelet gets to the back-off with its next look at the pod.
                    await self._sleep(1.0)
                    if self._interrupted:
                        return None
                wait_s = waits.after()
                member.event("BackOff", f'Back-off pulling image "{reference}"', warning=True)
                if words.kubernetes:
                    member.event("Failed", "Error: ImagePullBackOff", warning=True)
                member.waits("ImagePullBackOff", words.pull_backs_off(reference, str(problem)))
                await self._sleep(wait_s)
                continue
            if image is None:
                return None
            if around.images is not None:
                around.images.put(reference, image)
            member.pulled(image)
            member.event("Pulled", words.pulled(image, around.clock.monotonic() - begun))
            return image
        return None

    async def _fetched(self, reference: str) -> Image:
        """Raises ``ImageError``, whatever went wrong: a container that cannot have its image waits and says why."""
        around = self._around
        try:
            return await around.runtime.pull(reference, around.credentials)
        except ImageError:
            raise
        except (RuntimeProblem, OSError) as problem:
            raise ImageError(str(problem), denied=False) from problem
        except Exception as problem:
            _log.exception("the pull of %s failed", reference)
            raise ImageError(f"an error of the emulators' own: {problem!r}", denied=False) from problem

    async def _run_once(self, image: Image) -> tuple[bool, float]:
        """Whether the run failed, and how long it was in Azure's seconds."""
        around, member, words = self._around, self.member, self._around.words
        run = member.runs + 1
        try:
            plan = await self._prepared(image)
            if plan is None or self._renewed:
                return True, 0.0
            spec = self._spec(plan, image, run)
            member.created(spec.id)
            member.event("Created", words.created(plan.name))
            container = await around.runtime.start(spec)
        except StartError as problem:
            member.event("Failed", f"Error: {problem}", warning=True)
            member.refused_to_start(str(problem))
            return True, 0.0
        member.event("Started", words.started(plan.name))
        begun = around.clock.monotonic()
        restarts = self._policy is not RestartPolicy.NEVER
        health = Health(
            member,
            container,
            around.clock,
            grace_s=around.grace_s,
            restarts=restarts,
            words=words,
            end=lambda grace_s: self._end(container, grace_s),
            started=self._started,
        )
        hook = plan.post_start
        member.runs_since(container.started, ready=health.ready_at_start and hook is None)
        self.container = container
        try:
            end = await self._until_it_ends(container, health)
        finally:
            self.container = None
        member.ended(end, await around.hooks.message(plan, run, end))
        scale = around.pace.backoff(1.0)
        return end.code != 0 or health.killed, (around.clock.monotonic() - begun) / scale

    async def _until_it_ends(self, container: Container, health: Health) -> Exit:
        if self._halted:
            return await container.stop(self._grace_s)
        if self._renewed:
            self._end_to_renew(container)
        watching = asyncio.create_task(self._watch(container, health), name=f"health of {container.spec.id}")
        try:
            return await container.wait()
        finally:
            watching.cancel()
            await asyncio.wait({watching})
            if not watching.cancelled():
                watching.result()
            if self._ending is not None:
                ending, self._ending = self._ending, None
                await ending

    async def _watch(self, container: Container, health: Health) -> None:
        """The hook after the start, then the probes."""
        member = self.member
        hook = member.plan.post_start
        if hook is not None:
            outcome = await perform(hook, container, self._around.clock)
            if not outcome.healthy and container.running:
                health.killed = True
                member.event("FailedPostStartHook", f"PostStartHook failed: {outcome.message}", warning=True)
                member.event("Killing", "FailedPostStartHook")
                await container.stop(self._around.grace_s)
                return
        await health.watch()

    def _started(self) -> None:
        self.member.has_started()
        self.up.set()

    async def _prepared(self, image: Image) -> ContainerPlan | None:
        """The plan with what its hooks add; None when it could not be had before it was halted or renewed."""
        member = self.member
        while True:
            try:
                return await self._unless_halted(self._around.hooks.prepare(member.plan, image, member.runs + 1))
            except NotConfigured as problem:
                member.event("Failed", f"Error: {problem}", warning=True)
                member.waits(problem.reason, str(problem))
                await self._sleep(_RETRY_S)
            if self._interrupted:
                return None

    def _again(self, failed: bool) -> bool:
        return self._policy is RestartPolicy.ALWAYS or (self._policy is RestartPolicy.ON_FAILURE and failed)

    async def _back_off(self, wait_s: float) -> None:
        if wait_s > 0:
            words, name = self._around.words, self.member.plan.name
            self.member.event("BackOff", words.backs_off(name), warning=True)
            self.member.waits("CrashLoopBackOff", words.waits_to_restart(name, wait_s))
            await self._sleep(wait_s)

    async def _sleep(self, azure_s: float) -> None:
        await self._unless_halted(self._around.clock.sleep(self._around.pace.backoff(azure_s)))

    @property
    def _interrupted(self) -> bool:
        return self._halted or self._renewed

    async def _unless_halted(self, work: Coroutine[object, object, T]) -> T | None:
        """The work's result; None when ``halt`` or ``renew`` came first, which ends the work."""
        if self._halted:
            work.close()
            return None
        task = asyncio.ensure_future(work)
        self._pending = task  # type: ignore[assignment]  # a Future's result type only matters to who awaits it
        try:
            return await task
        except asyncio.CancelledError:
            if self._interrupted and task.cancelled():
                return None
            raise
        finally:
            self._pending = None

    def _spec(self, plan: ContainerPlan, image: Image, run: int) -> ContainerSpec:
        around = self._around
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
            takes_input=plan.takes_input,
            terminal=plan.terminal,
            hostname=around.hostname,
            log=log_file(around.folder, plan.name, run),
            directory=around.folder / plan.name / f"run-{run}",
        )


def log_file(folder: Path, container: str, run: int) -> Path:
    """Where the output of a container's run is kept; runs count from 1."""
    return folder / container / f"run-{run}.log"
