"""The modules that are on the device: each with its container, its condition, and what is kept of it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.edge.agent import create_options
from windtunnel_emulators.edge.agent.create_options import CreateOptionsProblem
from windtunnel_emulators.edge.agent.planner import Action, Present
from windtunnel_emulators.edge.agent.records import Record
from windtunnel_emulators.edge.agent.restarts import Condition
from windtunnel_emulators.edge.agent.specs import key_of
from windtunnel_emulators.edge.interface import EdgeProblem
from windtunnel_emulators.iot.manifests.deployment import PullPolicy
from windtunnel_emulators.runtime.folders import remove_tree
from windtunnel_emulators.runtime.interface import ContainerSpec, RuntimeProblem
from windtunnel_emulators.runtime.logs import LogWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.edge.agent.create_options import Options
    from windtunnel_emulators.edge.agent.planner import Step
    from windtunnel_emulators.edge.agent.records import Records
    from windtunnel_emulators.iot.manifests.deployment import Module as Desired
    from windtunnel_emulators.runtime.interface import Container, Credentials, Exit, Image, Mount, Runtime

_STOP_GRACE_S = 10.0
"""Docker's, which the real agent leaves as it is."""
_log = logging.getLogger(__name__)


class StepFailed(EdgeProblem):
    """A step that could not be taken; the message says of which module and why."""


class Images(Protocol):
    """Where images come from."""

    async def get(self, reference: str, credentials: tuple[Credentials, ...], *, kept_only: bool) -> Image:
        """Pulled, or with ``kept_only`` as the device has it. Raises ``ImageError``."""
        ...

    async def kept(self, reference: str, digest: str) -> Image | None:
        """An image that the device has."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a module finds around it on its device."""

    address: str
    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]


class Surroundings(Protocol):
    """Makes a place for each module."""

    async def enter(self, module: str) -> Place:
        """Raises ``EdgeProblem``."""
        ...

    async def publish(self, module: str, options: Options) -> None:
        """Open its ports at the device's address. Raises ``EdgeProblem``."""
        ...

    async def leave(self, module: str) -> None:
        """It does not run any more; safe to repeat."""
        ...


@dataclass(slots=True, kw_only=True)
class Module:
    """One module on the device."""

    spec: Desired
    image: Image
    condition: Condition | None = None
    restarts: int = 0
    by_order: bool = False
    given_up: bool = False
    """It cannot be made as its deployment says."""
    exit_code: int | None = None
    description: str = ""
    started: float | None = None
    exited: float | None = None
    restarted: float | None = None
    container: Container | None = None
    watch: asyncio.Task[None] | None = field(default=None, repr=False)

    def record(self) -> Record:
        ended = self.condition.value if self.condition in (Condition.STOPPED, Condition.FAILED) else None
        return Record(
            made_of=key_of(self.spec),
            digest=self.image.digest,
            restarts=self.restarts,
            ended=ended,
            by_order=self.by_order,
            exit_code=self.exit_code,
            description=self.description,
            started=self.started,
            exited=self.exited,
            restarted=self.restarted,
        )


class Machine:
    """Takes the steps of a plan. ``changed`` is called whenever a module has ended by itself."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        images: Images,
        surroundings: Surroundings,
        records: Records,
        clock: Clock,
        folder: Path,
        owner: str,
    ) -> None:
        """``folder`` is for the modules' logs and files; ``owner`` is what the runtime calls the device."""
        self._runtime = runtime
        self._images = images
        self._surroundings = surroundings
        self._records = records
        self._clock = clock
        self._folder = folder
        self._owner = owner
        self._pulled: dict[str, Image] = {}
        self._changed: Callable[[], None] = _nobody
        self.modules: dict[str, Module] = {}

    def on_change(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def present(self) -> dict[str, Present]:
        """As the planner sees it."""
        return {
            name: Present(
                spec=module.spec,
                condition=module.condition,
                restarts=module.restarts,
                started=module.started or 0.0,
                exited=module.exited or 0.0,
                by_order=module.by_order,
                given_up=module.given_up,
            )
            for name, module in self.modules.items()
        }

    async def recall(self, desired: Mapping[str, Desired]) -> None:
        """At the first deployment after a start: modules that were there before and have not changed are there again,
        made but not started, unless they had ended. What was started does not count as started again."""
        for name, spec in desired.items():
            record = self._records.get(name)
            if record is None or record.made_of != key_of(spec) or name in self.modules:
                continue
            image = await self._images.kept(spec.image, record.digest) if record.digest else None
            if image is None:
                continue
            self.modules[name] = Module(
                spec=spec,
                image=image,
                condition=None if record.ended is None else Condition(record.ended),
                restarts=record.restarts,
                by_order=record.by_order,
                exit_code=record.exit_code,
                description=record.description,
                started=record.started,
                exited=record.exited,
                restarted=record.restarted,
            )
        for name in self._records.names():
            if name not in desired:
                self._records.remove(name)
                await asyncio.to_thread(remove_tree, self.folder(name))

    async def take(self, step: Step, credentials: tuple[Credentials, ...]) -> None:
        """Raises ``StepFailed``."""
        name = step.module
        try:
            match step.action:
                case Action.PULL:
                    assert step.spec is not None
                    kept_only = step.spec.pull_policy is PullPolicy.NEVER
                    self._pulled[name] = await self._images.get(step.spec.image, credentials, kept_only=kept_only)
                case Action.CREATE:
                    assert step.spec is not None
                    self._create(step.spec)
                case Action.START:
                    await self._start(name)
                case Action.RESTART:
                    module = self.modules[name]
                    module.restarts += 1
                    module.restarted = self._clock.now().timestamp()
                    await self._start(name)
                case Action.STOP:
                    await self.stop(name, by_order=True)
                case Action.REMOVE:
                    await self._remove(name)
                case Action.CLEAR:
                    self.modules[name].restarts = 0
                    self._keep(name)
                case Action.ADOPT:
                    assert step.spec is not None
                    self.modules[name].spec = step.spec
        except (RuntimeProblem, EdgeProblem, CreateOptionsProblem) as problem:
            verb = step.action.value
            raise StepFailed(f"Error while trying to {verb} module {name}: {problem}") from problem

    async def restart(self, name: str) -> None:
        """By order of somebody: stopped and started, not counted. Raises ``StepFailed``."""
        try:
            await self.stop(name, by_order=False, quiet=True)
            await self._start(name)
        except (RuntimeProblem, EdgeProblem, CreateOptionsProblem) as problem:
            raise StepFailed(f"module {name} could not be started again: {problem}") from problem

    async def stop(self, name: str, *, by_order: bool, quiet: bool = False, grace_s: float = _STOP_GRACE_S) -> None:
        """End a module's container; nothing when it does not run. ``quiet`` keeps nothing of it."""
        module = self.modules[name]
        container, watch = module.container, module.watch
        if container is None:
            return
        module.by_order = by_order
        if watch is not None:
            watch.cancel()
        module.container = module.watch = None
        end = await container.stop(grace_s)
        await self._surroundings.leave(name)
        if not quiet:
            self._ended(module, end, by_order=by_order)

    async def close(self, grace_s: float) -> None:
        """End all; what is kept says that they ran, so that they run again."""
        running = [name for name, module in self.modules.items() if module.container is not None]
        await asyncio.gather(*(self.stop(name, by_order=False, quiet=True, grace_s=grace_s) for name in running))

    def folder(self, name: str) -> Path:
        """Of a module: its log, and while it runs what it writes."""
        return self._folder / name

    def log(self, name: str) -> Path:
        return self.folder(name) / "log"

    # Steps.

    def _create(self, spec: Desired) -> None:
        # A module that cannot be made is there all the same, failed, with the reason.
        module = self.modules[spec.name] = Module(spec=spec, image=self._pulled.pop(spec.name))
        self._keep(spec.name)
        try:
            create_options.parse(spec.create_options)
        except CreateOptionsProblem as problem:
            self._failed(module, str(problem))
            module.given_up = True
            raise

    async def _start(self, name: str) -> None:
        module = self.modules[name]
        if module.container is not None or module.given_up:
            return
        options = create_options.parse(module.spec.create_options)
        self._keep(name)
        try:
            place = await self._surroundings.enter(name)
            await self._surroundings.publish(name, options)
            container = await self._runtime.start(self._container(module.spec, module.image, options, place))
        except (RuntimeProblem, EdgeProblem) as problem:
            await self._surroundings.leave(name)
            self._failed(module, str(problem))
            raise
        module.container = container
        module.started = container.started.timestamp()
        module.condition, module.description, module.exit_code = Condition.RUNNING, "running", None
        module.by_order = False
        module.watch = asyncio.create_task(self._watch(module, container), name=f"watch of module {name}")
        self._keep(name)

    def _container(self, spec: Desired, image: Image, options: Options, place: Place) -> ContainerSpec:
        command = options.entrypoint or image.entrypoint
        arguments = options.command or (() if options.entrypoint else image.command)
        folder = self.folder(spec.name)
        return ContainerSpec(
            id=spec.name,
            owner=f"{self._owner}, module {spec.name}",
            image=image,
            # Docker's rule: another entry point forgets the image's command.
            command=(*command, *arguments),
            environment={**options.environment, **spec.env, **place.environment},
            working_directory=options.working_directory,
            ports=tuple(sorted({*image.exposed_ports, *options.ports})),
            address=place.address,
            cpu=options.cpu,
            memory_bytes=options.memory_bytes,
            mounts=place.mounts,
            hostname=spec.name,
            log=self.log(spec.name),
            directory=folder / "run",
        )

    async def _remove(self, name: str) -> None:
        self.modules.pop(name, None)
        self._records.remove(name)
        await self._surroundings.leave(name)
        await asyncio.to_thread(remove_tree, self.folder(name))

    # What happens.

    async def _watch(self, module: Module, container: Container) -> None:
        end = await container.wait()
        if module.container is not container:
            return
        module.container = module.watch = None
        await self._surroundings.leave(module.spec.name)
        self._ended(module, end, by_order=False)
        _log.info("module %s ended with %d (%s)", module.spec.name, end.code, end.reason)
        self._changed()

    def _ended(self, module: Module, end: Exit, *, by_order: bool) -> None:
        module.by_order = by_order
        module.exit_code = end.code
        module.exited = end.finished.timestamp()
        module.condition = Condition.STOPPED if by_order or end.code == 0 else Condition.FAILED
        module.description = (
            "stopped by order" if by_order else f"{'killed for its memory' if end.reason == 'OOMKilled' else 'exited'}"
        )
        self._keep(module.spec.name)

    def _failed(self, module: Module, why: str) -> None:
        """It could not be made or started; its log says so too."""
        module.condition, module.by_order = Condition.FAILED, False
        module.exited, module.exit_code, module.description = self._clock.now().timestamp(), None, why
        writer = LogWriter(self.log(module.spec.name), self._clock.now)
        writer.note(f"windtunnel: {why}")
        writer.close()
        self._keep(module.spec.name)

    def _keep(self, name: str) -> None:
        module = self.modules.get(name)
        if module is not None:
            self._records.put(name, module.record())


def moment(seconds: float | None) -> str:
    """As .NET writes a time; the year 1 for never."""
    if seconds is None:
        return "0001-01-01T00:00:00Z"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def _nobody() -> None:
    """The listener when there is none."""
