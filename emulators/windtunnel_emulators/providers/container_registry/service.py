"""What Microsoft.ContainerRegistry keeps beside the store: the registries' ports, uploads, build contexts, runs."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_str
from windtunnel_emulators.registry.access import Access
from windtunnel_emulators.registry.app import RegistryServer
from windtunnel_emulators.registry.callers import AzureCallers
from windtunnel_emulators.registry.inventory import Inventory
from windtunnel_emulators.registry.registries import TYPE, Registries
from windtunnel_emulators.registry.uploads import Uploads
from windtunnel_emulators.runtime.builder import ImageBuilder

from .blob_endpoint import WORD, BlobEndpoint
from .builds import run_build
from .contexts import Contexts
from .engine_builds import build_with_engine
from .logs import RUN_TYPE, RunLogs
from .retention import retain
from .running import Runner
from .runs import run_number
from .signing import Signer

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence
    from pathlib import Path

    from windtunnel_emulators.arm.ids import ResourceId
    from windtunnel_emulators.arm.provider import Resource
    from windtunnel_emulators.asgi import ASGI
    from windtunnel_emulators.world import World

    from .logs import LogWriter
    from .plans import Plan

_EVERY_S = 3600.0
_CONTEXT_LIFETIME_S = 24 * 3600.0
_BUILDER = "registry tasks"
"""Who pushes what an engine has built."""
_log = logging.getLogger(__name__)


class RegistryService:
    """One per process."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.folder: Path = world.folder / "container_registry"
        self.registries = Registries(world.resources, world.tenant)
        self.access = Access(world.tokens, AzureCallers(world.tokens, world.tokens.directory), world.clock)
        self.logs = RunLogs(self.folder / "logs", world.resources)
        self.contexts = Contexts(self.folder / "contexts")
        self.signer = Signer(self.folder, world.clock)
        self.routes: Mapping[str, ASGI] = {WORD: BlobEndpoint(self.contexts, self.logs, self.signer, world.clock)}
        self._uploads = Uploads(world.content)
        self._server = RegistryServer(
            registries=self.registries,
            content=world.content,
            inventory=Inventory(world.content),
            uploads=self._uploads,
            access=self.access,
        )
        self._runner = Runner(self)
        self._last_run: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Bring files in line with the store, and open every registry's port where it was."""
        self.world.content.blobs.reconcile()
        self._uploads.expire()
        for registry in self.world.resources.list(TYPE):
            await self._open(registry.id)
        self._begin(self._keep_house(), "housekeeping of registries")

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def open_soon(self, registry: Resource) -> str:
        """The login server of a new registry, whose port takes connections from now on.

        What an earlier registry of that id has left, whose removal may still be at work, is not the new one's.
        """
        name = _listener(registry.id)
        self.world.content.drop_registry(registry.id.key)
        self.logs.drop(registry.id)
        self._last_run.pop(registry.id.key, None)
        port = self.world.listeners.port(name)
        if port is None:
            port = self.world.listeners.reserve(name)
            self._begin(self._open(registry.id), f"opening of registry {registry.id.name}")
        return f"localhost:{port}"

    async def remove(self, registry: Resource) -> Resource:
        """The work ``delete`` of a registry. Safe to repeat, and safe when another one has its name by now."""
        current = self.world.resources.get(registry.id)
        if current is None or current.state.get("instance") == registry.state.get("instance"):
            await self.world.listeners.close(_listener(registry.id), forget=True)
            self.world.content.drop_registry(registry.id.key)
            self.logs.drop(registry.id)
            self._last_run.pop(registry.id.key, None)
        return registry

    async def run(self, run: Resource) -> Resource:
        """The work ``run`` of a run."""
        return await self._runner.run(run)

    def cancel_soon(self, run: ResourceId) -> None:
        self._runner.cancel(run.key)

    def next_run(self, registry: ResourceId) -> str:
        """A run's name that none of the registry has had."""
        last = self._last_run.get(registry.key)
        if last is None:
            runs = self.world.resources.list(RUN_TYPE, parent=registry)
            last = max((run_number(run.id.name) for run in runs), default=0)
        self._last_run[registry.key] = last + 1
        return f"cf{last + 1}"

    async def build(
        self,
        *,
        context: Path,
        plan: Plan,
        images: Sequence[str],
        servers: Sequence[str],
        log: LogWriter,
        registry: str,
        work: Path,
    ) -> str:
        """Build an image and put it into a registry; returns its digest. Raises ``RunFailed``."""
        builder, found = self.world.runtime, self.registries.get(registry)
        if isinstance(builder, ImageBuilder) and found is not None:
            return await build_with_engine(
                builder,
                context=context,
                plan=plan,
                images=images,
                server=found.login_server,
                token=self.access.issue_refresh(found, _BUILDER),
                log=log,
            )
        return await run_build(
            world=self.world,
            context=context,
            plan=plan,
            images=images,
            servers=servers,
            log=log,
            registry=registry,
            work=work,
        )

    async def _open(self, id: ResourceId) -> None:
        """Serve a registry, and write its login server down when its port has changed."""
        name = _listener(id)
        registry = self.world.resources.get(id)
        if registry is None:
            await self.world.listeners.close(name, forget=True)  # its creation was undone
            return
        port = await self.world.listeners.open(name, self._server.app(id.key))
        server = f"localhost:{port}"
        before = as_str(registry.properties.get("loginServer"))
        if before != server:
            _log.warning("registry %s: its login server was %s and is %s from now on", id.name, before, server)
            self.world.resources.save(replace(registry, properties={**registry.properties, "loginServer": server}))

    async def _keep_house(self) -> None:
        """Once an hour: what nobody finished or needs any more."""
        while True:
            await self.world.clock.sleep(_EVERY_S)
            self._uploads.expire()
            self.world.content.blobs.sweep()
            self.contexts.expire(self.world.clock.now().timestamp() - _CONTEXT_LIFETIME_S)
            for registry in self.world.resources.list(TYPE):
                retain(registry, self.world)

    def _begin(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=problem)


def _listener(id: ResourceId) -> str:
    return f"registry {id.key}"
