"""The controllers of one cluster together: one set of caches, started and stopped as one."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.shared import SharedObjects
from windtunnel_emulators.kubernetes.controllers.controller import Context, Controller, Settings

if TYPE_CHECKING:
    from collections.abc import Collection

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.kubernetes.client.interface import Client

_PACKAGE = "windtunnel_emulators.kubernetes.controllers"

# The names are kube-controller-manager's (its --controllers flag). Modules are imported when they are asked for.
CONTROLLERS = {
    "deployment-controller": ("deployments.controller", "Deployments"),
    "replicaset-controller": ("replicas.controller", "ReplicaSets"),
    "replicationcontroller-controller": ("replicas.controller", "ReplicationControllers"),
    "endpoints-controller": ("endpoints.controllers", "Endpoints"),
    "endpointslice-controller": ("endpoints.controllers", "EndpointSlices"),
    "endpointslice-mirroring-controller": ("endpoints.controllers", "EndpointSliceMirroring"),
    "serviceaccount-controller": ("accounts", "ServiceAccounts"),
    "serviceaccount-token-controller": ("accounts", "TokenSecrets"),
    "root-ca-certificate-publisher-controller": ("accounts", "RootCertificates"),
    "namespace-controller": ("namespaces", "Namespaces"),
    "garbage-collector-controller": ("garbage.controller", "GarbageCollector"),
    "statefulset-controller": ("sets.stateful", "StatefulSets"),
    "daemonset-controller": ("sets.daemon", "DaemonSets"),
    "job-controller": ("jobs.controller", "Jobs"),
    "cronjob-controller": ("jobs.cron", "CronJobs"),
    "ttl-after-finished-controller": ("jobs.cron", "FinishedJobs"),
    "node-lifecycle-controller": ("nodes.lifecycle", "NodeLifecycle"),
    "taint-eviction-controller": ("nodes.eviction", "TaintEviction"),
    "pod-garbage-collector-controller": ("nodes.podgc", "PodGarbage"),
    "disruption-controller": ("disruption", "Disruption"),
    "resourcequota-controller": ("quotas", "Quotas"),
    "horizontal-pod-autoscaler-controller": ("autoscaling.controller", "Autoscalers"),
    "clusterrole-aggregation-controller": ("roles", "ClusterRoles"),
    "persistentvolume-binder-controller": ("volumes", "VolumeBinding"),
    "persistentvolumeclaim-protection-controller": ("volumes", "ClaimProtection"),
    "persistentvolume-protection-controller": ("volumes", "VolumeProtection"),
}


class Controllers:
    """``Component``: the controllers named in ``only``, all of them by default.

    Raises ``ValueError`` for a name that is none of ``CONTROLLERS``.
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        settings: Settings | None = None,
        only: Collection[str] | None = None,
    ) -> None:
        names = list(CONTROLLERS) if only is None else list(only)
        unknown = sorted(set(names) - set(CONTROLLERS))
        if unknown:
            raise ValueError(f"no controller {', '.join(unknown)}; there are: {', '.join(CONTROLLERS)}")
        self.objects = SharedObjects(client, clock)
        self._context = Context(objects=self.objects, clock=clock, settings=settings or Settings())
        self._controllers = [self._load(name) for name in names]

    def _load(self, name: str) -> Controller:
        module, class_name = CONTROLLERS[name]
        found = getattr(import_module(f"{_PACKAGE}.{module}"), class_name)
        if not (isinstance(found, type) and issubclass(found, Controller)):
            raise TypeError(f"{module}.{class_name} is no controller")
        return found(self._context)

    async def start(self) -> None:
        """Returns once every cache has its first list and the controllers work."""
        await self.objects.start()
        for each in self._controllers:
            await each.start()

    async def stop(self) -> None:
        await asyncio.gather(*(each.stop() for each in self._controllers))
        await self.objects.stop()
