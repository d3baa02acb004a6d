"""The docker runtime: containers of a Docker engine on this machine, for any image.

The containers of a group share one network, whose ports are published at the group's loopback address.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.addresses import Addresses
from windtunnel_emulators.runtime.engine.build import EngineBuilds
from windtunnel_emulators.runtime.engine.client import Engine
from windtunnel_emulators.runtime.engine.container import EngineContainer
from windtunnel_emulators.runtime.engine.guard import LABEL, Guard
from windtunnel_emulators.runtime.engine.images import EngineImages
from windtunnel_emulators.runtime.engine.pods import Pods
from windtunnel_emulators.runtime.engine.sweep import sweep
from windtunnel_emulators.runtime.interface import StartError
from windtunnel_emulators.runtime.roots import existing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.runtime.engine.client import DockerApi
    from windtunnel_emulators.runtime.interface import ContainerSpec, Credentials, Image
    from windtunnel_emulators.runtime.registry_images import Registries

_log = logging.getLogger(__name__)


class DockerRuntime:
    """Implements ``interface.Runtime`` and ``builder.ImageBuilder``. ``folder`` names it: only one runs on a folder."""

    def __init__(self, folder: Path, clock: Clock, registries: Registries, *, url: str | None = None) -> None:
        self._clock = clock
        self.key = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
        """What its containers are labelled with at the engine."""
        self._engine = Engine(url)
        self._images = EngineImages(self._engine, registries)
        self._builds = EngineBuilds(self._engine)
        self._pods = Pods(self._engine, {LABEL: self.key})
        self._addresses = Addresses(str(folder))
        self._ids: dict[tuple[str, str], str] = {}
        self._containers: dict[str, EngineContainer] = {}
        self._guard: Guard | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        return "docker"

    def limits(self) -> Mapping[str, str]:
        return {
            "memory": "enforced by Docker: a container that needs more is killed (OOMKilled)",
            "cpu": "enforced by Docker (quota)",
            "filesystem": "the image's own, by Docker; mounts are at their exact paths",
            "addresses": (
                "each group has its own in 127.0.0.0/8, where its ports are published"
                if self._addresses.distinct
                else "all groups are published at 127.0.0.1, so no two can use the same port"
            ),
        }

    async def start_up(self) -> None:
        """Raises ``EngineProblem`` when no engine answers."""
        count = await self._engine.call(lambda api: sweep(api, self.key))
        if count:
            _log.warning("ended %d containers that a predecessor that was killed had left running", count)

    async def close(self) -> None:
        if not self._engine.connected:
            return
        await asyncio.gather(*self._leaving, return_exceptions=True)
        await self._engine.call(lambda api: sweep(api, self.key))
        await asyncio.gather(*(container.wait() for container in list(self._containers.values())))
        # If that did not work out, the guard tries again when this process has ended.
        guard, self._guard = self._guard, None
        if guard is not None:
            await guard.close()
        self._engine.close()

    async def pull(self, reference: str, credentials: tuple[Credentials, ...] = ()) -> Image:
        image, found = await self._images.pull(reference, credentials)
        self._ids[image.reference, image.digest] = found
        return image

    async def start(self, spec: ContainerSpec) -> EngineContainer:
        if spec.id in self._containers:
            raise StartError(f"a container {spec.id} runs already")
        image = self._ids.get((spec.image.reference, spec.image.digest))
        if image is None:
            raise StartError(f"image {spec.image.reference!r} has not been pulled")
        if self._guard is None:
            self._guard = Guard(self._engine.url, self.key)
        network = await self._pods.join(spec)
        settings = await self._engine.call(lambda api: self._settings(api, spec, network))
        container = await EngineContainer.launch(spec, settings, image, engine=self._engine, clock=self._clock)
        self._containers[spec.id] = container
        container.on_end(lambda: self._containers.pop(spec.id, None))
        return container

    async def build_image(
        self,
        *,
        context: Path,
        dockerfile: str,
        arguments: Mapping[str, str],
        target: str | None,
        cache: bool,
        log: Callable[[str], None],
    ) -> str:
        return await self._builds.build(context, dockerfile, arguments, target, log, cache=cache)

    async def push_image(
        self, image: str, references: Sequence[str], credentials: Credentials, log: Callable[[str], None]
    ) -> str:
        return await self._builds.push(image, references, credentials, log)

    def allocate_address(self, owner: str, preferred: str | None = None) -> str:
        return self._addresses.allocate(owner, preferred)

    def release_address(self, owner: str) -> None:
        self._addresses.release(owner)
        task = asyncio.ensure_future(self._pods.leave(owner))
        self._leaving.add(task)
        task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._leaving.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            _log.warning("the network of a group could not be removed: %s", problem)

    def _settings(self, api: DockerApi, spec: ContainerSpec, network: str) -> JsonObject:
        mounts: list[JsonObject] = [
            {
                "Type": "bind",
                "Source": str(existing(mount).resolve()),
                "Target": mount.target,
                "ReadOnly": mount.read_only,
            }
            for mount in spec.mounts
        ]
        host = api.create_host_config(
            mounts=mounts,
            network_mode=network,
            mem_limit=spec.memory_bytes,
            memswap_limit=spec.memory_bytes,
            nano_cpus=None if spec.cpu is None else round(spec.cpu * 1_000_000_000),
            restart_policy={"Name": "no"},
        )
        settings: JsonObject = {
            "host_config": host,
            "environment": dict(spec.environment),
            "labels": {LABEL: self.key, "windtunnel.owner": spec.owner, "windtunnel.part": spec.id},
            "name": f"windtunnel-{self.key}-{spec.id}",
        }
        if spec.command:
            settings["entrypoint"] = list(spec.command)
            settings["command"] = list(spec.arguments)
        elif spec.arguments:
            settings["command"] = list(spec.arguments)
        if spec.working_directory is not None:
            settings["working_dir"] = spec.working_directory
        return settings
