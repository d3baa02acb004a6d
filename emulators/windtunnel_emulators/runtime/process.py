"""The process runtime: containers are child processes of this machine, kept by the keeper.

It runs the images that the emulated registry's tasks build and the stand-ins of the catalogue; any other image is
refused with the way out.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import socket
import sys
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime import filesystem
from windtunnel_emulators.runtime.addresses import Addresses
from windtunnel_emulators.runtime.cgroups import ControlGroups, Hierarchies
from windtunnel_emulators.runtime.connection import KeeperConnection
from windtunnel_emulators.runtime.folders import remove_tree
from windtunnel_emulators.runtime.interface import ImageError, StartError
from windtunnel_emulators.runtime.memory_watch import MemoryWatch, Watched
from windtunnel_emulators.runtime.process_container import ProcessContainer
from windtunnel_emulators.runtime.records import Records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.runtime.cgroups import ControlGroup
    from windtunnel_emulators.runtime.filesystem import FileSystem
    from windtunnel_emulators.runtime.interface import ContainerSpec, Credentials, Image
    from windtunnel_emulators.runtime.sources import ImageSource

_log = logging.getLogger(__name__)
_LINUX = sys.platform == "linux"


class ProcessRuntime:
    """Implements ``interface.Runtime``. ``folder`` is its own.

    ``own_root`` and ``control_groups``: None takes what works here, False does without, True (``own_root`` only)
    insists.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        sources: Sequence[ImageSource] = (),
        *,
        own_root: bool | None = None,
        control_groups: bool | None = None,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._sources = tuple(sources)
        self._own_root = own_root
        self._use_groups = control_groups is not False
        self._keeper = KeeperConnection()
        self._addresses = Addresses(str(folder))
        self._records = Records(folder / "running.jsonl")
        self._watch = MemoryWatch(clock)
        self._containers: dict[str, ProcessContainer] = {}
        self._groups: ControlGroups | None = None
        self._file_system: FileSystem | None = None
        self._choosing = asyncio.Lock()

    @property
    def name(self) -> str:
        return "process"

    @property
    def keeper_pid(self) -> int | None:
        """Of the process that keeps the containers; None while there is none."""
        return self._keeper.pid

    def limits(self) -> Mapping[str, str]:
        groups = self._control_groups()
        watched = "watched ten times a second: a container that uses more is killed (OOMKilled), so it may pass briefly"
        kernels = "enforced by the kernel (control group): a container that needs more is killed (OOMKilled)"
        memory = kernels if groups.memory else watched if _LINUX else "not enforced on this system"
        cpu = (
            "enforced by the kernel (control group quota)"
            if groups.cpu
            else "not enforced: this user may not make control groups here"
        )
        file_system = self._file_system
        return {
            "memory": memory,
            "cpu": cpu,
            "filesystem": "found out with the first container" if file_system is None else file_system.description,
            "addresses": (
                "each group has its own in 127.0.0.0/8; what listens on 0.0.0.0 is seen at all of them"
                if self._addresses.distinct
                else "all groups are at 127.0.0.1, so no two can use the same port"
            ),
        }

    async def start_up(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        left = await asyncio.to_thread(self._records.sweep)
        if left:
            _log.warning("ended what a predecessor that was killed had left running: %s", ", ".join(left))
        count = await asyncio.to_thread(self._control_groups().sweep)
        if count:
            _log.warning("ended %d processes that a predecessor had left running", count)

    async def close(self) -> None:
        await asyncio.gather(*(container.stop(0) for container in list(self._containers.values())))
        await self._watch.close()
        await self._keeper.close()
        await asyncio.to_thread(self._records.sweep)
        await asyncio.to_thread(self._control_groups().sweep)

    async def pull(self, reference: str, credentials: tuple[Credentials, ...] = ()) -> Image:
        for source in self._sources:
            if source.owns(reference):
                return await source.fetch(reference, credentials)
        raise ImageError(
            f"image {reference!r} cannot run here: the process runtime runs images that the emulated registry's tasks"
            " have built, and stand-ins for a few images of Microsoft's tutorials; start the emulators with"
            " --runtime docker to run any image",
            denied=False,
        )

    async def start(self, spec: ContainerSpec) -> ProcessContainer:
        if spec.id in self._containers:
            raise StartError(f"a container {spec.id} runs already")
        file_system = await self._files()
        around = await asyncio.to_thread(file_system.surround, spec)
        group = self._limit(spec)
        container = ProcessContainer(spec, around, keeper=self._keeper, clock=self._clock, group=group)
        try:
            await container.launch()
        except BaseException:
            if group is not None:
                group.remove()
            await asyncio.to_thread(remove_tree, spec.directory)
            raise
        self._containers[spec.id] = container
        container.on_end(lambda: self._forget(spec.id))
        self._records.add(container.init, f"{spec.owner} ({spec.id})")
        if spec.memory_bytes is not None and not self._control_groups().memory:
            watched = Watched(init=container.init, most_bytes=spec.memory_bytes, exceeded=container.exceeded_memory)
            self._watch.add(spec.id, watched)
        for sentence in _closed_ports(spec):
            container.note(sentence)
        return container

    def allocate_address(self, owner: str, preferred: str | None = None) -> str:
        return self._addresses.allocate(owner, preferred)

    def release_address(self, owner: str) -> None:
        self._addresses.release(owner)

    async def _files(self) -> FileSystem:
        async with self._choosing:
            if self._file_system is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file_system = await filesystem.choose(self._folder, self._keeper, own_root=self._own_root)
            return self._file_system

    def _control_groups(self) -> ControlGroups:
        if self._groups is None:
            key = hashlib.sha256(str(self._folder.resolve()).encode()).hexdigest()[:12]
            found = Hierarchies.find() if self._use_groups and _LINUX else Hierarchies()
            self._groups = ControlGroups(found, f"windtunnel-{key}-")
        return self._groups

    def _limit(self, spec: ContainerSpec) -> ControlGroup | None:
        groups = self._control_groups()
        if not groups.memory and not groups.cpu:
            return None
        try:
            return groups.create(spec.id, cpu=spec.cpu, memory_bytes=spec.memory_bytes)
        except OSError as problem:
            raise StartError(f"the limits of container {spec.id} cannot be set: {problem}") from problem

    def _forget(self, name: str) -> None:
        self._containers.pop(name, None)
        self._watch.remove(name)
        if not self._containers:
            self._records.clear()


def _closed_ports(spec: ContainerSpec) -> list[str]:
    """A sentence for each port that this user may not listen on."""
    closed: list[str] = []
    for port in spec.ports:
        if port >= 1024:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((spec.address, port))
            except OSError as problem:
                if problem.errno in (errno.EACCES, errno.EPERM):
                    closed.append(
                        f"windtunnel: this user may not listen on port {port}: ports below 1024 need root, or"
                        f" 'sysctl net.ipv4.ip_unprivileged_port_start={port}' on this machine, or use a port above"
                    )
    return closed
