"""What all controllers are: a queue of keys, filled by the changes of kinds they watch, emptied by ``reconcile``.

``reconcile`` looks at the caches and acts until the world is as it should be; it is safe to run again at any moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from windtunnel_emulators.kubernetes.client.interface import Kind, KubernetesProblem, StatusError
from windtunnel_emulators.kubernetes.client.meta import entries, join_key, key_of, labels_of, namespace_of, text
from windtunnel_emulators.kubernetes.client.queue import WorkQueue
from windtunnel_emulators.kubernetes.client.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.client.informer import Informer
    from windtunnel_emulators.kubernetes.client.shared import SharedObjects

    KeysOf = Callable[[JsonObject], Iterable[str]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The times of the controllers, as the flags of kube-controller-manager name them, with its defaults."""

    node_monitor_period_s: float = 5.0
    node_monitor_grace_period_s: float = 50.0
    hpa_sync_period_s: float = 15.0
    hpa_downscale_stabilization_s: int = 300
    hpa_tolerance: float = 0.1
    hpa_cpu_initialization_period_s: float = 300.0
    hpa_initial_readiness_delay_s: float = 30.0
    terminated_pod_threshold: int = 12500
    pod_gc_period_s: float = 20.0
    pod_gc_quarantine_s: float = 40.0
    job_backoff_s: float = 10.0
    quota_resync_s: float = 5.0
    namespace_retry_s: float = 0.2
    root_ca: str = ""
    """The certificate authority, PEM, for each namespace's ``kube-root-ca.crt``; none is published when empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The world of the controllers of one cluster."""

    objects: SharedObjects
    clock: Clock
    settings: Settings = Settings()


class Controller:
    """One of them. Subclasses name themselves, watch in ``prepare`` and act in ``reconcile``."""

    name: ClassVar[str]
    component: ClassVar[str] = ""
    """What events say they are from, where that differs from the name."""
    workers: ClassVar[int] = 3

    def __init__(self, context: Context) -> None:
        self.objects = context.objects
        self.clock = context.clock
        self.settings = context.settings
        self.queue = WorkQueue(context.clock)
        self.recorder = Recorder(context.objects.client, context.clock, self.component or self.name)
        self._tasks: list[asyncio.Task[None]] = []
        self.prepare()

    def prepare(self) -> None:
        """Ask for informers and add handlers; nothing is running yet."""

    async def reconcile(self, key: str) -> None:
        """Bring what ``key`` names into order. Raises ``KubernetesProblem``: it is tried again then."""
        raise NotImplementedError

    def watch(self, kind: Kind, keys: KeysOf | None = None) -> Informer:
        """Queue what a change of the kind concerns: its own key, or what ``keys`` says of both old and new."""
        informer = self.objects.informer(kind)
        queue = self.queue
        keys_of: KeysOf = _own_key if keys is None else keys

        def changed(old: JsonObject | None, new: JsonObject | None) -> None:
            if old is not None:
                for key in keys_of(old):
                    queue.add(key)
            if new is not None:
                for key in keys_of(new):
                    queue.add(key)

        informer.add_handler(changed)
        return informer

    async def start(self) -> None:
        await self.recorder.start()
        for number in range(self.workers):
            self._tasks.append(asyncio.create_task(self._work(), name=f"{self.name} {number}"))

    async def stop(self) -> None:
        await self.queue.close()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.recorder.stop()

    def also(self, task: asyncio.Task[None]) -> None:
        """Stop this task with the controller."""
        self._tasks.append(task)

    async def _work(self) -> None:
        while (key := await self.queue.get()) is not None:
            try:
                await self.reconcile(key)
            except StatusError as failure:
                if namespace_terminating(failure):
                    self.queue.forget(key)
                    continue
                if failure.code != 409:
                    _log.info("%s: %s: %s", self.name, key, failure)
                self.queue.add_rate_limited(key)
            except KubernetesProblem as failure:
                _log.info("%s: %s: %s", self.name, key, failure)
                self.queue.add_rate_limited(key)
            except Exception:
                # A defect in one object's work may not end the work on all others.
                _log.exception("%s: %s", self.name, key)
                self.queue.add_rate_limited(key)
            else:
                self.queue.forget(key)
            finally:
                self.queue.done(key)


def _own_key(obj: JsonObject) -> Iterable[str]:
    return (key_of(obj),)


def namespace_terminating(failure: StatusError) -> bool:
    """Refused because the namespace is going: nothing can or need be made in it."""
    return any(each.get("reason") == "NamespaceTerminating" for each in entries(failure.status, "details", "causes"))


def keys_of_controller(kind: Kind) -> KeysOf:
    """The key of what controls an object, if that is of the kind."""

    def keys(obj: JsonObject) -> Iterable[str]:
        references = obj.get("metadata")
        owners = references.get("ownerReferences") if isinstance(references, dict) else None
        for each in owners if isinstance(owners, list) else ():
            if (
                isinstance(each, dict)
                and each.get("controller") is True
                and each.get("kind") == kind.name
                and text(each, "apiVersion").rpartition("/")[0] == kind.group
            ):
                yield join_key(namespace_of(obj), text(each, "name"))

    return keys


def orphan_labels(obj: JsonObject) -> dict[str, str] | None:
    """The labels of an object that nothing controls; None of one that is controlled."""
    metadata = obj.get("metadata")
    owners = metadata.get("ownerReferences") if isinstance(metadata, dict) else None
    if isinstance(owners, list) and any(isinstance(each, dict) and each.get("controller") is True for each in owners):
        return None
    return labels_of(obj)
