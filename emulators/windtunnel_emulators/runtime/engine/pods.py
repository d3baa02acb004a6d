"""The network that the containers of a group share, and the ports of it that are published at the group's address."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_str
from windtunnel_emulators.runtime.engine import pause
from windtunnel_emulators.runtime.engine.client import EngineProblem
from windtunnel_emulators.runtime.interface import StartError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.runtime.engine.client import DockerApi, Engine
    from windtunnel_emulators.runtime.interface import ContainerSpec

_IMAGE = f"{pause.REPOSITORY}:{pause.TAG}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One group's network."""

    container: str
    """Of the container that holds it."""
    address: str
    ports: tuple[int, ...]


class Pods:
    """Makes and removes them; ``labels`` are those of the runtime."""

    def __init__(self, engine: Engine, labels: Mapping[str, str]) -> None:
        self._engine = engine
        self._labels = labels
        self._pods: dict[str, Pod] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def join(self, spec: ContainerSpec) -> str:
        """The network mode for a container of the group. Raises ``StartError``."""
        ports = tuple(sorted({*spec.group_ports, *spec.ports}))
        async with self._lock(spec.owner):
            pod = self._pods.get(spec.owner)
            if pod is not None and (pod.address != spec.address or not set(ports) <= set(pod.ports)):
                await self._remove(spec.owner)
                pod = None
            if pod is None:
                pod = self._pods[spec.owner] = await self._make(spec, ports)
            return f"container:{pod.container}"

    async def leave(self, owner: str) -> None:
        """The group has no containers any more; nothing when it has no network."""
        async with self._lock(owner):
            await self._remove(owner)

    def _lock(self, owner: str) -> asyncio.Lock:
        return self._locks.setdefault(owner, asyncio.Lock())

    async def _make(self, spec: ContainerSpec, ports: tuple[int, ...]) -> Pod:
        def work(api: DockerApi) -> str:
            _have_image(api)
            host = api.create_host_config(
                port_bindings={port: (spec.address, port) for port in ports}, restart_policy={"Name": "no"}
            )
            made = api.create_container(
                _IMAGE,
                host_config=host,
                ports=list(ports),
                hostname=spec.owner.rsplit("/", 1)[-1][:63] or None,
                labels={**self._labels, "windtunnel.owner": spec.owner, "windtunnel.part": "network"},
            )
            container = as_str(made.get("Id"))
            try:
                api.start(container)
            except BaseException:
                api.remove_container(container, v=True, force=True)
                raise
            return container

        try:
            container = await self._engine.call(work)
        except (EngineProblem, ValueError) as problem:
            shown = ", ".join(str(port) for port in ports) or "none"
            raise StartError(
                f"the network of {spec.owner} at {spec.address} (ports {shown}) cannot be made: {problem}"
            ) from problem
        return Pod(container=container, address=spec.address, ports=ports)

    async def _remove(self, owner: str) -> None:
        pod = self._pods.pop(owner, None)
        if pod is not None:
            await remove(self._engine, pod.container)


async def remove(engine: Engine, container: str) -> None:
    """End and delete a container; nothing when it is gone already."""
    try:
        await engine.call(lambda api: api.remove_container(container, v=True, force=True))
    except EngineProblem as problem:
        # 409: somebody else is removing it at this moment.
        if problem.status not in (404, 409):
            raise


def _have_image(api: DockerApi) -> None:
    from windtunnel_emulators.runtime.engine.client import checked

    try:
        checked(lambda: api.inspect_image(_IMAGE), "")
    except EngineProblem as problem:
        if problem.status != 404:
            raise
        architecture = as_str(api.version().get("Arch"))
        api.import_image_from_data(
            pause.archive(architecture), repository=pause.REPOSITORY, tag=pause.TAG, changes=['ENTRYPOINT ["/pause"]']
        )
