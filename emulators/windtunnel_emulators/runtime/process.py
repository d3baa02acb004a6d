"""The process runtime: containers are child processes of this machine, kept by the keeper.

It runs the images that the emulated registry's tasks build and the stand-ins of the catalogue; any other image is
refused with the way out.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.addresses import Addresses
from windtunnel_emulators.runtime.connection import KeeperConnection
from windtunnel_emulators.runtime.interface import ImageError
from windtunnel_emulators.runtime.process_container import ProcessContainer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.runtime.interface import ContainerSpec, Credentials, Image
    from windtunnel_emulators.runtime.sources import ImageSource


class ProcessRuntime:
    """Implements ``interface.Runtime``. ``folder`` is its own."""

    def __init__(self, folder: Path, clock: Clock, sources: Sequence[ImageSource] = ()) -> None:
        self._folder = folder
        self._clock = clock
        self._sources = tuple(sources)
        self._keeper = KeeperConnection()
        self._addresses = Addresses()
        self._containers: dict[str, ProcessContainer] = {}

    @property
    def name(self) -> str:
        return "process"

    def limits(self) -> Mapping[str, str]:
        return {"memory": "not enforced", "cpu": "not enforced", "filesystem": "the host's own"}

    async def start_up(self) -> None:
        return

    async def close(self) -> None:
        await asyncio.gather(*(container.stop(0) for container in list(self._containers.values())))
        await self._keeper.close()

    async def pull(self, reference: str, credentials: tuple[Credentials, ...] = ()) -> Image:
        for source in self._sources:
            if source.owns(reference):
                return await source.fetch(reference, credentials)
        raise ImageError(
            f"image {reference!r} cannot run here: the process runtime runs images that the emulated registry's tasks"
            " have built, and stand-ins for a few of Microsoft's tutorial images; start the emulators with"
            " --runtime docker to run any image",
            denied=False,
        )

    async def start(self, spec: ContainerSpec) -> ProcessContainer:
        container = await ProcessContainer.launch(spec, self._keeper, self._clock)
        self._containers[spec.id] = container
        container.on_end(lambda: self._containers.pop(spec.id, None))
        return container

    def allocate_address(self, owner: str) -> str:
        return self._addresses.allocate(owner)

    def release_address(self, owner: str) -> None:
        self._addresses.release(owner)
