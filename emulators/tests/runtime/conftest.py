"""A runtime whose containers do what the test says, and groups on it whose clock stands still."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.clock import ManualClock, Pace
from windtunnel_emulators.runtime.group import ContainerGroup
from windtunnel_emulators.runtime.interface import Exit, Image, ImageError, StartError, Usage
from windtunnel_emulators.runtime.plan import ContainerPlan, GroupPlan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from windtunnel_emulators.runtime.interface import Attachment, ContainerSpec, Credentials
    from windtunnel_emulators.runtime.plan import RestartPolicy
    from windtunnel_emulators.runtime.status import GroupStatus


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class StagedCommand:
    """Ends at once, with the code that the container was told; ``None`` never ends."""

    def __init__(self, code: int | None) -> None:
        self._code = code
        self.closed = False

    async def send(self, data: bytes) -> None:
        raise BrokenPipeError

    async def resize(self, rows: int, columns: int) -> None: ...

    async def close_input(self) -> None: ...

    async def errors(self) -> AsyncIterator[bytes]:
        return
        yield b""

    async def output(self) -> AsyncIterator[bytes]:
        if self._code is None:
            await asyncio.Event().wait()
        if self._code:
            yield b"not well\n"

    async def wait(self) -> int:
        assert self._code is not None
        return self._code

    async def close(self) -> None:
        self.closed = True


class StagedContainer:
    """Runs until the test ends it."""

    def __init__(self, spec: ContainerSpec, clock: ManualClock) -> None:
        self.spec = spec
        self.started: datetime = clock.now()
        self.health: int | None = 0
        """What an executed command ends with; None: it hangs."""
        self.executed: list[StagedCommand] = []
        self.stops: list[float] = []
        self.deaf = False
        """It ignores SIGTERM and ends only when a grace of 0 is given."""
        self._clock = clock
        self._end: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> bool:
        return not self._end.done()

    def end(self, code: int = 0, reason: str | None = None) -> None:
        if self.running:
            why = reason or ("Completed" if code == 0 else "Error")
            self._end.set_result(Exit(code=code, reason=why, started=self.started, finished=self._clock.now()))

    async def wait(self) -> Exit:
        return await asyncio.shield(self._end)

    async def stop(self, grace_s: float) -> Exit:
        self.stops.append(grace_s)
        if not self.deaf or grace_s == 0:
            self.end(143 if grace_s else 137)
        return await self.wait()

    def attach(self) -> Attachment:
        raise StartError("nothing to see")

    async def execute(
        self, command: tuple[str, ...], *, terminal: tuple[int, int] | None = None, separate: bool = False
    ) -> StagedCommand:
        self.executed.append(StagedCommand(self.health))
        return self.executed[-1]

    def usage(self) -> Usage:
        return Usage(cpu_seconds=0.0, memory_bytes=0)


class StagedRuntime:
    """Knows every image but those in ``missing``; starts every command but those in ``unstartable``."""

    name = "staged"

    def __init__(self, clock: ManualClock) -> None:
        self.started: list[StagedContainer] = []
        self.pulled: list[str] = []
        self.missing: set[str] = set()
        self.unstartable: set[str] = set()
        self.health: int | None = 0
        """Of the containers that are yet to be started."""
        self.addresses: dict[str, str] = {}
        self._clock = clock

    def running(self, name: str) -> StagedContainer:
        """The container of that name which runs now; there is exactly one."""
        (found,) = [c for c in self.started if c.running and c.spec.id.split(".")[-2] == name]
        return found

    def limits(self) -> Mapping[str, str]:
        return {}

    async def start_up(self) -> None: ...

    async def close(self) -> None: ...

    async def pull(self, reference: str, credentials: tuple[Credentials, ...] = ()) -> Image:
        self.pulled.append(reference)
        if reference in self.missing:
            raise ImageError("there is no such image", denied=True)
        return Image(reference=reference, digest=f"sha256:{'0' * 64}")

    async def start(self, spec: ContainerSpec) -> StagedContainer:
        if spec.image.reference in self.unstartable:
            raise StartError("exec: 'nonesuch': executable file not found in $PATH")
        container = StagedContainer(spec, self._clock)
        container.health = self.health
        self.started.append(container)
        return container

    def allocate_address(self, owner: str, preferred: str | None = None) -> str:
        return self.addresses.setdefault(owner, preferred or f"127.77.0.{len(self.addresses) + 1}")

    def release_address(self, owner: str) -> None:
        self.addresses.pop(owner, None)


class Stage:
    """One group and all it stands on. Its pace is Azure's, so that waits are the documented ones."""

    def __init__(self, folder: Path, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.runtime = StagedRuntime(self.clock)
        self.folder = folder
        self.seen: list[GroupStatus] = []
        self._groups: list[ContainerGroup] = []

    def group(self, plan: GroupPlan) -> ContainerGroup:
        group = ContainerGroup(
            plan,
            runtime=self.runtime,
            clock=self.clock,
            pace=Pace.parse("azure"),
            folder=self.folder,
            on_change=self.seen.append,
        )
        self._groups.append(group)
        return group

    async def close(self) -> None:
        """End what a test left running, as its tasks would otherwise be found by the garbage collector."""
        async with asyncio.timeout(20):
            for group in self._groups:
                await group.close()

    async def settle(self) -> None:
        """Let everything happen that needs no time to pass. Files are removed in threads, which is not waited for."""
        for _ in range(3):
            await self.clock.advance(0)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Where a file has to be removed first."""
        async with asyncio.timeout(20):
            while not holds():
                await asyncio.sleep(0.001)
                await self.settle()

    async def run(self, plan: GroupPlan) -> ContainerGroup:
        group = self.group(plan)
        await group.start()
        await self.settle()
        return group


@pytest.fixture
def make_stage() -> Callable[..., Stage]:
    """For who ends what it began by itself."""
    return Stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path / "group")
    yield stage
    await stage.close()


@pytest.fixture
def one_container() -> Callable[..., GroupPlan]:
    """Makes plans of one container ``a``; keywords are those of its ``ContainerPlan``."""

    def plan(policy: RestartPolicy, *, pull_attempts: int | None = None, **settings: object) -> GroupPlan:
        container = ContainerPlan(name="a", image="image", **settings)  # type: ignore[arg-type]  # the test's own
        return GroupPlan(
            owner="/groups/one", containers=(container,), restart_policy=policy, pull_attempts=pull_attempts
        )

    return plan
