"""A whole cluster in this process, for tests of clusters on any engine."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from windtunnel_emulators.clock import Pace, RealClock
from windtunnel_emulators.kubernetes.cluster import Cluster, Surroundings
from windtunnel_emulators.kubernetes.engines.selection import make_engine
from windtunnel_emulators.kubernetes.plan import ClusterPlan, PoolPlan
from windtunnel_emulators.runtime.process import ProcessRuntime
from windtunnel_emulators.server import Listeners
from windtunnel_emulators.standins.catalogue import StandIns
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from windtunnel_emulators.kubernetes.engines.interface import Engine

_DEADLINE_S = 30.0
ASSETS = "KUBEBUILDER_ASSETS"


def pool(name: str = "np1", count: int = 1, **more: object) -> PoolPlan:
    made = PoolPlan(
        name=name, count=count, cpu=4, memory_bytes=14 << 30, version="1.34.4", instance_type="Standard_D3_v2"
    )
    return replace(made, **more)  # type: ignore[arg-type]  # fields by name, as a test spells them


def plan(*pools: PoolPlan, version: str = "1.34.4") -> ClusterPlan:
    return ClusterPlan(
        uid="0123456789abcdef01234567",
        name="glider",
        version=version,
        region="eastus",
        pools=pools or (pool(),),
        host="glider-1234.hcp.eastus.azmk8s.io",
        service_cidr="10.0.0.0/16",
        pod_cidr="10.244.0.0/16",
    )


@dataclass
class Machine:
    """What clusters need of a process; ``again`` is the next process on the same files."""

    folder: Path
    kind: str
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    clock: RealClock = field(default_factory=RealClock)

    async def start(self) -> None:
        self.store = Store(self.folder / "store.db")
        self.stack.callback(self.store.close)
        unused = cast("ssl.SSLContext", None)  # every listener of a cluster has a context of its own
        self.listeners = Listeners(self.store, unused)
        self.stack.push_async_callback(self.listeners.close_all)
        self.runtime = ProcessRuntime(self.folder / "runtime", self.clock, (StandIns(self.folder / "stand-ins"),))
        await self.runtime.start_up()
        self.stack.push_async_callback(self.runtime.close)
        self.engine: Engine = make_engine(
            self.kind, environment=os.environ, store=self.store, clock=self.clock, listeners=self.listeners
        )

    async def again(self) -> None:
        await self.stack.aclose()
        await self.start()

    def cluster(self, wanted: ClusterPlan) -> Cluster:
        """Stopped at the end."""
        made = Cluster(
            wanted,
            Surroundings(
                engine=self.engine,
                runtime=self.runtime,
                clock=self.clock,
                pace=Pace.parse("fast"),
                folder=self.folder / "clusters",
                credentials=lambda plan: (),
                local_name=lambda reference: None,
            ),
        )
        self.stack.push_async_callback(made.stop)
        return made

    async def eventually(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Asks again until it is so; fails after the deadline."""
        end = time.monotonic() + _DEADLINE_S
        while not await holds():
            assert time.monotonic() < end, "it did not come about"
            await asyncio.sleep(0.02)  # there is no event: what is waited for is on the other side of an API
