"""Microsoft.ContainerInstance: container groups whose containers really run, and profiles of such groups."""

from __future__ import annotations

from windtunnel_emulators.arm.provider import Links, Provider, ResourceType

from . import actions, groups, locations
from .capabilities import capabilities
from .profiles import CONTAINER_GROUP_PROFILES
from .service import ContainerInstances

API_VERSIONS = (
    "2017-08-01-preview",
    "2017-10-01-preview",
    "2017-12-01-preview",
    "2018-02-01-preview",
    "2018-04-01",
    "2018-06-01",
    "2018-07-01",
    "2018-09-01",
    "2018-10-01",
    "2019-12-01",
    "2020-11-01",
    "2021-03-01",
    "2021-07-01",
    "2021-09-01",
    "2021-10-01",
    "2022-09-01",
    "2022-10-01-preview",
    "2023-02-01-preview",
    "2023-05-01",
    "2023-05-15-preview",
    "2024-05-01-preview",
    "2024-09-01-preview",
    "2024-10-01-preview",
    "2024-11-01-preview",
    "2025-09-01",
    "2026-05-01",
    "2026-06-01-preview",
)

CONTAINER_GROUPS: ResourceType[ContainerInstances] = ResourceType(
    name="containerGroups",
    api_versions=API_VERSIONS,
    locations=capabilities().locations,
    view=groups.view,
    put=groups.put,
    patch=groups.patch,
    delete=groups.delete,
    works={
        "create": groups.create,
        "update": groups.create,
        "start": groups.create,
        "delete": groups.remove,
    },
    failed=groups.failed,
    actions=actions.ACTIONS,
    # Recorded: a link of 2018 whatever the caller's version, no Location, "Pending" while it goes on.
    links=Links(api_version="2018-06-01", in_progress=groups.PENDING, location=True),
    operation_view=groups.poll,
    busy=groups.busy,
)

PROVIDER: Provider[ContainerInstances] = Provider(
    namespace="Microsoft.ContainerInstance",
    types=(CONTAINER_GROUPS, CONTAINER_GROUP_PROFILES),
    service=ContainerInstances,
    actions=locations.ACTIONS,
)
