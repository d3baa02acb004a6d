"""Images of the emulated registries for kind's nodes, which cannot reach these: pulled to the Docker engine, with the
credentials that a kubelet would show, and loaded from there when a pod first names them.

A pod may ask before its image is there; its kubelet tries again by itself. Pull policy ``Always`` therefore fails.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.client.informer import Informer
from windtunnel_emulators.kubernetes.client.kinds import POD
from windtunnel_emulators.kubernetes.engines.interface import EngineProblem
from windtunnel_emulators.runtime.interface import RuntimeProblem

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Client
    from windtunnel_emulators.kubernetes.engines.kind import RunningKind
    from windtunnel_emulators.runtime.interface import Credentials, Runtime

_AGAIN_S = 5.0
_log = logging.getLogger(__name__)


class KindImages:
    """A ``Component``."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        running: RunningKind,
        *,
        runtime: Runtime,
        local_name: Callable[[str], str | None],
        credentials: Callable[[], tuple[Credentials, ...]],
    ) -> None:
        """``local_name`` is what the engine calls an image of an emulated registry, None for any other."""
        self._clock = clock
        self._running = running
        self._runtime = runtime
        self._local_name = local_name
        self._credentials = credentials
        self._pods = Informer(client, POD, clock)
        self._pods.add_handler(self._changed)
        self._loads: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        await self._pods.start()

    async def stop(self) -> None:
        await self._pods.stop()
        for task in self._loads.values():
            task.cancel()
        await asyncio.gather(*self._loads.values(), return_exceptions=True)
        self._loads.clear()

    def _changed(self, old: JsonObject | None, new: JsonObject | None) -> None:
        spec = as_object((new or {}).get("spec"))
        for section in ("initContainers", "containers"):
            for container in as_list(spec.get(section)):
                image = as_str(as_object(container).get("image"))
                local = self._local_name(image) if image not in self._loads else None
                if local is not None:
                    self._loads[image] = asyncio.create_task(self._load(image, local), name=f"image {image}")

    async def _load(self, image: str, local: str) -> None:
        while True:
            try:
                await self._runtime.pull(image, self._credentials())
                if local != image:
                    await self._running.tag(local, image)
                await self._running.load(image)
            except (RuntimeProblem, EngineProblem) as problem:
                _log.warning("image %s is not on the nodes yet: %s", image, problem)
                await self._clock.sleep(_AGAIN_S)
            else:
                return
