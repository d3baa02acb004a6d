"""What nodes pull images with where a pod names no secret: their cluster's kubelet identity.

On Azure that identity may pull from a registry once somebody assigned it the role AcrPull (``az aks create
--attach-acr``). Role assignments are not emulated, so here it may pull from every registry of its own subscription;
a registry checks the identity's token as any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.images.errors import ReferenceProblem
from windtunnel_emulators.images.reference import Reference
from windtunnel_emulators.registry.access import NULL_USER, Access
from windtunnel_emulators.registry.callers import AzureCallers
from windtunnel_emulators.registry.registries import TYPE, Registries, registry_of
from windtunnel_emulators.runtime.interface import Credentials

if TYPE_CHECKING:
    from windtunnel_emulators.kubernetes.plan import ClusterPlan
    from windtunnel_emulators.world import World

_LIFETIME_S = 3600


class PullIdentity:
    """Makes credentials, which are kept nowhere."""

    def __init__(self, world: World) -> None:
        self._world = world

    def local_name(self, reference: str) -> str | None:
        """What an image of a registry here is called at the registry's own port; None for any other image."""
        try:
            wanted = Reference.parse(reference).with_default_tag()
        except ReferenceProblem:
            return None
        registry = Registries(self._world.resources, self._world.tenant).at(wanted.domain)
        return None if registry is None else str(wanted).replace(wanted.domain, registry.login_server, 1)

    def credentials(self, plan: ClusterPlan) -> tuple[Credentials, ...]:
        """For each registry, as the cluster's kubelet identity."""
        world = self._world
        access = Access(world.tokens, AzureCallers(world.tokens), world.clock)
        found: list[Credentials] = []
        for resource in world.resources.list(TYPE):
            registry = registry_of(resource, world.tenant)
            token = access.issue_refresh(registry, plan.identity, _LIFETIME_S)
            found.append(Credentials(server=registry.login_server, username=NULL_USER, password=token))
        return tuple(found)
