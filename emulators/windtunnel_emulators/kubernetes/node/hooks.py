"""What a node does around each run of a pod's container: environment, mounts and the message of its end."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import KubernetesProblem
from windtunnel_emulators.kubernetes.client.meta import entries, flag, namespace_of, text
from windtunnel_emulators.kubernetes.node import security
from windtunnel_emulators.kubernetes.node.environment import command, environment
from windtunnel_emulators.runtime.hooks import NotConfigured
from windtunnel_emulators.runtime.interface import Mount
from windtunnel_emulators.runtime.logs import read_log
from windtunnel_emulators.runtime.supervisor import log_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.network.names import Names
    from windtunnel_emulators.kubernetes.node.sources import Sources
    from windtunnel_emulators.kubernetes.node.volumes import Volumes
    from windtunnel_emulators.runtime.interface import Exit, Image
    from windtunnel_emulators.runtime.plan import ContainerPlan

_LONGEST_MESSAGE = 4096
_LOG_LINES, _LOG_BYTES = 80, 2048
"""What of a failed container's log stands for the message that it did not write."""


class PodHooks:
    """Implements ``runtime.hooks.Hooks`` for one pod."""

    def __init__(
        self,
        pod: Callable[[], JsonObject],
        *,
        folder: Path,
        logs: Path,
        volumes: Volumes,
        sources: Sources,
        names: Names,
        node: JsonObject,
        run: Callable[[], Mapping[str, str]],
    ) -> None:
        self._pod = pod
        self._folder = folder
        self._logs = logs
        self._volumes = volumes
        self._sources = sources
        self._names = names
        self._node = node
        self._run = run

    async def prepare(self, plan: ContainerPlan, image: Image, run: int) -> ContainerPlan:
        try:
            return await self._prepared(plan, run)
        except KubernetesProblem as problem:
            raise NotConfigured(str(problem)) from problem

    async def _prepared(self, plan: ContainerPlan, run: int) -> ContainerPlan:
        pod = self._pod()
        container = self._container(pod, plan.name)
        security.refuse(pod, container)
        links = flag(pod, "spec", "enableServiceLinks", default=True)
        services = self._names.variables(namespace_of(pod), links=links)
        variables = await environment(
            pod, container, services=services, references=self._sources, node=self._node, run=self._run()
        )
        message = self._message_file(plan.name, run)
        message.parent.mkdir(parents=True, exist_ok=True)
        message.touch(mode=0o666)
        target = text(container, "terminationMessagePath", default="/dev/termination-log")
        mounts = (
            Mount(source=self.hosts_file, target="/etc/hosts"),
            *self._volumes.mounts(container, pod, variables),
            Mount(source=message, target=target),
        )
        if not self.hosts_file.exists():
            mounts = mounts[1:]
        return replace(
            plan,
            command=command(container, "command", variables),
            arguments=command(container, "args", variables),
            environment=variables,
            mounts=mounts,
        )

    async def message(self, plan: ContainerPlan, run: int, end: Exit) -> str:
        found = _taken(self._message_file(plan.name, run))
        if found:
            return found.decode("utf-8", "replace")
        container = self._container(self._pod(), plan.name)
        if text(container, "terminationMessagePolicy") == "FallbackToLogsOnError" and end.code != 0:
            return read_log(log_file(self._logs, plan.name, run), tail=_LOG_LINES)[-_LOG_BYTES:]
        return ""

    @property
    def hosts_file(self) -> Path:
        """What the containers see as ``/etc/hosts``."""
        return self._folder / "etc-hosts"

    def write_hosts(self, loopback: str, hostname: str) -> None:
        """Bring it up to date, in place: it is mounted."""
        pod = self._pod()
        aliases = [f"{text(a, 'ip')}\t{' '.join(_names(a))}" for a in entries(pod, "spec", "hostAliases")]
        lines = [f"{loopback}\tlocalhost {hostname}", *aliases, *self._names.hosts(namespace_of(pod))]
        content = "\n".join(lines) + "\n"
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self.hosts_file.exists() or self.hosts_file.read_text("utf-8") != content:
            with open(self.hosts_file, "w", encoding="utf-8") as file:
                file.write(content)

    def _message_file(self, container: str, run: int) -> Path:
        return self._folder / "messages" / f"{container}-{run}"

    def _container(self, pod: JsonObject, name: str) -> JsonObject:
        both = (*entries(pod, "spec", "containers"), *entries(pod, "spec", "initContainers"))
        nothing: JsonObject = {}
        return next((c for c in both if text(c, "name") == name), nothing)

    def takes_tty(self, name: str) -> bool:
        return flag(self._container(self._pod(), name), "tty")


def _taken(file: Path) -> bytes:
    """What a container wrote there; the file is gone after that."""
    try:
        with open(file, "rb") as source:
            found = source.read(_LONGEST_MESSAGE)
        os.unlink(file)
    except OSError:
        # It has removed the file itself.
        return b""
    return found


def _names(alias: JsonObject) -> list[str]:
    found = alias.get("hostnames")
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
