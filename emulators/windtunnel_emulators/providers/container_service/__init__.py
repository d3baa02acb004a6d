"""Microsoft.ContainerService: managed Kubernetes clusters whose nodes run pods."""

from __future__ import annotations

from windtunnel_emulators.arm.locations import regions
from windtunnel_emulators.arm.provider import Links, Provider, ResourceType

from . import actions, clusters, locations
from .api_versions import API_VERSIONS
from .maintenance import MAINTENANCE_CONFIGURATIONS
from .service import ContainerService

MANAGED_CLUSTERS: ResourceType[ContainerService] = ResourceType(
    name="managedClusters",
    api_versions=API_VERSIONS,
    locations=tuple(region.display_name for region in regions().values()),
    view=clusters.view,
    put=clusters.put,
    patch=clusters.patch,
    delete=clusters.delete,
    works={
        "create": clusters.create,
        "update": clusters.apply,
        "upgrade": clusters.apply,
        "pool": clusters.apply,
        "newpool": clusters.apply,
        "start": clusters.start,
        "stop": clusters.stop,
        "rotate": clusters.rotate,
        "delete": clusters.remove,
    },
    failed=clusters.failed,
    actions=actions.ACTIONS,
    # Recorded in October 2025: a link of its own version whatever the caller's.
    links=Links(api_version="2025-03-01", location=True),
    operation_view=clusters.poll,
    busy=clusters.busy,
)

PROVIDER: Provider[ContainerService] = Provider(
    namespace="Microsoft.ContainerService",
    types=(MANAGED_CLUSTERS, MAINTENANCE_CONFIGURATIONS),
    service=ContainerService,
    actions=locations.ACTIONS,
)
