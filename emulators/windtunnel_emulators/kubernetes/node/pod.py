"""One pod on a node: from its volumes to its containers, what is told of it to the API, and its end.

A task per pod does all of it in order; ``update`` and ``gone`` may be called at any moment by who watches the API.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import (
    STRATEGIC_MERGE_PATCH,
    KubernetesProblem,
    StatusError,
)
from windtunnel_emulators.kubernetes.client.kinds import POD
from windtunnel_emulators.kubernetes.client.meta import (
    deleting,
    entries,
    name_of,
    namespace_of,
    number,
    optional_number,
    parse_time,
    text,
    uid_of,
)
from windtunnel_emulators.kubernetes.network.addresses import ANNOTATION
from windtunnel_emulators.kubernetes.node import security
from windtunnel_emulators.kubernetes.node.environment import referred
from windtunnel_emulators.kubernetes.node.hooks import PodHooks
from windtunnel_emulators.kubernetes.node.plans import grace_s, group_plan
from windtunnel_emulators.kubernetes.node.status import Standing, known_status, pod_status
from windtunnel_emulators.kubernetes.node.volumes import NotMounted, Volumes
from windtunnel_emulators.kubernetes.node.words import KubeletWords
from windtunnel_emulators.runtime.folders import remove_tree
from windtunnel_emulators.runtime.group import ContainerGroup
from windtunnel_emulators.runtime.hooks import NotConfigured

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.node.surroundings import NodeSurroundings
    from windtunnel_emulators.runtime.interface import Credentials
    from windtunnel_emulators.runtime.status import ContainerStatus, GroupStatus

_log = logging.getLogger(__name__)
_FIRST_MOUNT_RETRY_S, _MOUNT_RETRY_S = 0.1, 2.0
_API_RETRY_S = 0.5
_LAST_DELAY_S = 10.0
_TOKEN_CHECK_S = 30.0


class PodWorker:
    """Runs one pod. ``done`` is called when nothing of it is left and the API has let it go."""

    def __init__(self, pod: JsonObject, node: NodeSurroundings, done: Callable[[str], None]) -> None:
        self.pod = pod
        self.uid = uid_of(pod)
        self.group: ContainerGroup | None = None
        self.address: str | None = None
        """In the cluster; None before it has one."""
        self._node = node
        self._done = done
        self._folder = node.folder / "pods" / self.uid
        self.owner = f"{node.owner}/pods/{namespace_of(pod)}/{name_of(pod)}/{self.uid}"
        self._started = parse_time(text(pod, "status", "startTime") or None) or node.clock.now()
        self._loopback: str | None = None
        self._wake = asyncio.Event()
        self._refresh = asyncio.Event()
        self._gone = False
        self._closing = False
        self._sent: JsonObject | None = None
        self._ended = False
        self._terminal: tuple[str, str, str] | None = None
        self._told: dict[tuple[str, str, str], int] = {}
        self.volumes = Volumes(self._folder / "volumes", node.sources, node.sources, node.allocatable)
        self.hooks = PodHooks(
            lambda: self.pod,
            folder=self._folder,
            logs=self._folder / "containers",
            volumes=self.volumes,
            sources=node.sources,
            names=node.network.names,
            node=node.allocatable,
            run=self._run_fields,
        )
        self._tasks = [asyncio.create_task(self._run(), name=f"pod {self.owner}")]

    # What others tell it

    def update(self, pod: JsonObject) -> None:
        """The API has another version of it."""
        before, self.pod = self.pod, pod
        if self.group is not None and not self.ending:
            for container in (*entries(pod, "spec", "containers"), *entries(pod, "spec", "initContainers")):
                # Of what may change in place only the image changes what runs; a pod keeps its containers.
                self.group.renew(text(container, "name"), text(container, "image"))
        self._wake.set()
        if before.get("metadata") != pod.get("metadata"):
            self._refresh.set()

    def gone(self) -> None:
        """The API has it no more: it ends, and nothing is told."""
        self._gone = True
        self._wake.set()

    def refers_to(self, namespace: str, what: str) -> bool:
        return namespace_of(self.pod) == namespace and what in self.volumes.refers_to

    @property
    def references(self) -> set[tuple[str, str]]:
        """(namespace, ``configmap/NAME``) of all that it is made of."""
        return {(namespace_of(self.pod), what) for what in self.volumes.refers_to | referred(self.pod)}

    def refresh(self) -> None:
        """Something that its volumes or names are made of has changed."""
        self._refresh.set()

    def evict(self, reason: str, message: str) -> None:
        """The node ends it, for good."""
        if self._terminal is None:
            self._terminal = ("Failed", reason, message)
            self._wake.set()

    @property
    def loopback(self) -> str | None:
        """Where its processes listen; None before it has a network."""
        return self._loopback

    @property
    def ending(self) -> bool:
        return deleting(self.pod) or self._gone

    async def close(self) -> None:
        """End its processes without a word to the API, as the emulators end."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.group is not None:
            await self.group.close()

    # Its life

    async def _run(self) -> None:
        try:
            await self._live()
        except Exception as problem:
            _log.exception("pod %s failed", self.owner)
            self._event("FailedSync", f"error of the emulators' own: {problem!r}", warning=True)

    async def _live(self) -> None:
        phase = text(self.pod, "status", "phase")
        if phase in ("Succeeded", "Failed"):
            await self._until(lambda: self.ending)
            await self._let_go()
            return
        refused = None if text(self.pod, "status", "startTime") else self._node.refusal(self.pod)
        if refused is not None:
            self._terminal = ("Failed", *refused)
            self._event(refused[0], refused[1], warning=True)
            await self._report()
            await self._until(lambda: self.ending)
            await self._let_go()
            return
        if not self.ending and await self._prepare():
            await self._begin()
            self._tasks.append(asyncio.create_task(self._keep_current(), name=f"volumes of {self.owner}"))
            await self._follow()
        await self._end()

    async def _prepare(self) -> bool:
        """Volumes and the network; False when it is to end before it has them."""
        node = self._node
        self.address = node.range.take(self.uid, text(self.pod, "status", "podIP") or None)
        loopback = node.runtime.allocate_address(self.owner, self._former_loopback())
        self._loopback = loopback
        node.network.pods.set(self.address, loopback)
        self.hooks.write_hosts(loopback, self._hostname())
        told: str | None = None
        delay = _FIRST_MOUNT_RETRY_S
        while not self.ending and self._terminal is None:
            try:
                await self.volumes.prepare(self.pod, self._run_fields())
                return True
            except (NotMounted, KubernetesProblem) as problem:
                said = str(problem)
                if said != told:
                    told = said
                    await self._report()
                self._event("FailedMount", said, warning=True)
            await self._wait(delay)
            delay = min(_MOUNT_RETRY_S, delay * 2)
        return False

    async def _begin(self) -> None:
        node = self._node
        credentials = (*await self._pull_credentials(), *node.registry_credentials())
        pod = self.pod
        group = ContainerGroup(
            group_plan(pod, self.owner, credentials),
            runtime=node.runtime,
            clock=node.clock,
            pace=node.pace,
            folder=self._folder / "containers",
            on_change=self._changed,
            words=KubeletWords(f"{name_of(pod)}_{namespace_of(pod)}", self.uid),
            hooks=self.hooks,
            images=node.images,
        )
        self.group = group
        for container in entries(pod, "spec", "containers"):
            unkept = security.not_kept(pod, container)
            if unkept:
                name = text(container, "name")
                message = f"container {name}: not enforced by this node: {', '.join(unkept)}"
                self._event("NotEnforced", message, warning=True, container=name)
        known = known_status(pod)
        if known is not None:
            self._told = {}
            group.restore(known)
        else:
            await group.start()

    async def _pull_credentials(self) -> tuple[Credentials, ...]:
        while True:
            try:
                return await self._node.sources.pull_credentials(self.pod)
            except (KubernetesProblem, NotConfigured) as problem:
                _log.info("pull secrets of %s: %s", self.owner, problem)
            await self._wait(_API_RETRY_S)

    async def _follow(self) -> None:
        """Until it is to end or has ended."""
        group = self.group
        assert group is not None
        deadline = self._deadline()
        while not self.ending:
            over = group.status.finished
            await self._report()
            if self._terminal is not None:
                await self._stop_group(grace_s(self.pod))
                await self._report()
                await self._until(lambda: self.ending)
                return
            if over and text(self._sent or {}, "phase") in ("Succeeded", "Failed"):
                self._node.network.pods.leave(self.address or "")
                await self._until(lambda: self.ending)
                return
            left = None if deadline is None else deadline - self._node.clock.monotonic()
            if left is not None and left <= 0:
                deadline = None
                message = "Pod was active on the node longer than the specified deadline"
                self._event("DeadlineExceeded", message)
                self._terminal = ("Failed", "DeadlineExceeded", message)
                continue
            await self._wait(left)

    def _deadline(self) -> float | None:
        seconds = optional_number(self.pod, "spec", "activeDeadlineSeconds")
        if seconds is None:
            return None
        gone_by = (self._node.clock.now() - self._started).total_seconds()
        return self._node.clock.monotonic() + seconds - gone_by

    async def _end(self) -> None:
        """All containers end, the API is told, and lets it go."""
        if self._gone:
            seconds = grace_s(self.pod)
        else:
            seconds = number(self.pod, "metadata", "deletionGracePeriodSeconds", default=int(grace_s(self.pod)))
        await self._stop_group(float(seconds))
        self._ended = True
        if not self._gone:
            await self._report()
        await self._let_go()

    async def _stop_group(self, seconds: float) -> None:
        if self.address is not None:
            self._node.network.pods.leave(self.address)
        if self.group is not None:
            await self.group.stop(seconds)
        for task in self._tasks[1:]:
            task.cancel()

    async def _let_go(self) -> None:
        """The final deletion, and nothing of it is left here."""
        await self._clear()
        delay = _API_RETRY_S
        while not self._gone:
            try:
                await self._node.objects.delete(
                    POD, namespace_of(self.pod), name_of(self.pod), uid=self.uid, grace_period_s=0
                )
                break
            except StatusError as problem:
                if problem.code in (404, 409):
                    # Gone, or another pod has the name by now.
                    break
                _log.warning("the deletion of %s: %s", self.owner, problem)
            except KubernetesProblem as problem:
                _log.info("the deletion of %s: %s", self.owner, problem)
            await self._node.clock.sleep(delay)
            delay = min(_LAST_DELAY_S, delay * 2)
        self._done(self.uid)

    async def _clear(self) -> None:
        node = self._node
        if self.group is not None:
            await self.group.remove()
        node.runtime.release_address(self.owner)
        if self.address is not None:
            node.network.pods.forget(self.address)
            node.range.release(self.uid)
        node.sources.forget(self.pod)
        await asyncio.to_thread(remove_tree, self._folder)

    async def _keep_current(self) -> None:
        """Mounted ConfigMaps, Secrets, labels and tokens, and the names of Services."""
        while True:
            waiting = asyncio.ensure_future(self._refresh.wait())
            limit = asyncio.ensure_future(self._node.clock.sleep(_TOKEN_CHECK_S))
            try:
                await asyncio.wait({waiting, limit}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
                limit.cancel()
            self._refresh.clear()
            try:
                if self._loopback is not None:
                    self.hooks.write_hosts(self._loopback, self._hostname())
                await self.volumes.prepare(self.pod, self._run_fields())
            except NotMounted as problem:
                self._event("FailedMount", str(problem), warning=True)
            except (KubernetesProblem, OSError) as problem:
                _log.info("volumes of %s: %s", self.owner, problem)

    # What is told

    def _changed(self, status: GroupStatus) -> None:
        for field, containers in (("containers", status.containers), ("initContainers", status.init_containers)):
            for container in containers:
                self._tell_events(field, container)
        self._wake.set()

    def _tell_events(self, field: str, container: ContainerStatus) -> None:
        for event in container.events:
            key = (container.name, event.name, event.message)
            for _ in range(self._told.get(key, 0), event.count):
                where = f"spec.{field}{{{container.name}}}"
                self._node.recorder.event(self.pod, event.type, event.name, event.message, field_path=where)
            self._told[key] = event.count

    def _event(self, reason: str, message: str, *, warning: bool = False, container: str = "") -> None:
        path = f"spec.containers{{{container}}}" if container else ""
        self._node.recorder.event(self.pod, "Warning" if warning else "Normal", reason, message, field_path=path)

    async def _report(self) -> None:
        """Tell the API what it is now, unless it knows; tried until it is taken or the pod is gone."""
        delay = _API_RETRY_S
        while not self._gone:
            standing = Standing(
                now=self._node.clock.now(),
                started=self._started,
                host_address=self._node.definition.address,
                address=self.address,
                terminal=self._terminal,
                ending=self._ended,
            )
            status = pod_status(self.pod, None if self.group is None else self.group.status, standing)
            if status == self._sent:
                return
            metadata: JsonObject = {"uid": self.uid}
            if self._loopback is not None and self._sent is None:
                metadata["annotations"] = {ANNOTATION: self._loopback}
            try:
                taken = await self._node.objects.patch(
                    POD,
                    namespace_of(self.pod),
                    name_of(self.pod),
                    {"metadata": metadata, "status": status},
                    content_type=STRATEGIC_MERGE_PATCH,
                    subresource="status",
                )
            except StatusError as problem:
                if problem.code in (404, 409):
                    # Gone, or another pod of that name: the watch says so next.
                    return
                _log.warning("the status of %s: %s", self.owner, problem)
            except KubernetesProblem as problem:
                _log.info("the status of %s: %s", self.owner, problem)
            else:
                self._sent = status
                if uid_of(taken) == self.uid:
                    self.pod = {**self.pod, "status": taken.get("status")}
                return
            await self._node.clock.sleep(delay)
            delay = min(_LAST_DELAY_S, delay * 2)

    # Small things

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._wait(None)

    async def _wait(self, seconds: float | None) -> None:
        """For news, or so long."""
        if seconds is None:
            await self._wake.wait()
        else:
            woken = asyncio.ensure_future(self._wake.wait())
            limit = asyncio.ensure_future(self._node.clock.sleep(seconds))
            try:
                await asyncio.wait({woken, limit}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                woken.cancel()
                limit.cancel()
        self._wake.clear()

    def _hostname(self) -> str:
        return text(self.pod, "spec", "hostname") or name_of(self.pod)[:63].rstrip(".-")

    def _former_loopback(self) -> str | None:
        return text(self.pod, "metadata", "annotations", ANNOTATION) or None

    def _run_fields(self) -> dict[str, str]:
        """What the downward API calls status fields."""
        host, address = self._node.definition.address, self.address or ""
        return {"status.podIP": address, "status.podIPs": address, "status.hostIP": host, "status.hostIPs": host}
