"""Microsoft.Devices: IoT hubs, which really listen, with their policies, consumer groups and certificates."""

from __future__ import annotations

from windtunnel_emulators.arm.locations import regions
from windtunnel_emulators.arm.provider import Action, Provider, ResourceType

from . import certificates, consumer_groups, hubs, names, policies, routing, statistics
from .service import IotHubs
from .surface import list_operations
from .unbuilt import ACTIONS
from .versions import API_VERSIONS

_LOCATIONS = tuple(region.display_name for region in regions().values())
_GROUPS = "eventHubEndpoints/{endpoint}/ConsumerGroups"

HUBS: ResourceType[IotHubs] = ResourceType(
    name="IotHubs",
    api_versions=API_VERSIONS,
    locations=_LOCATIONS,
    view=hubs.view,
    put=hubs.put,
    patch=hubs.patch,
    delete=hubs.delete,
    works={
        "create": lambda hub, service: service.create(hub),
        "update": lambda hub, service: service.update(hub),
        "delete": lambda hub, service: service.remove(hub),
    },
    failed=hubs.failed,
    links=hubs.LINKS,
    operation_view=hubs.poll,
    actions=(
        Action(method="POST", path="listkeys", act=policies.list_keys),
        Action(method="POST", path="IotHubKeys/{name}/listkeys", act=policies.get_keys),
        Action(method="GET", path=_GROUPS, act=consumer_groups.list_all),
        Action(method="GET", path=f"{_GROUPS}/{{name}}", act=consumer_groups.get),
        Action(method="PUT", path=f"{_GROUPS}/{{name}}", act=consumer_groups.put),
        Action(method="DELETE", path=f"{_GROUPS}/{{name}}", act=consumer_groups.delete),
        Action(method="POST", path="routing/routes/$testall", act=routing.try_all),
        Action(method="POST", path="routing/routes/$testnew", act=routing.try_new),
        Action(method="GET", path="routingEndpointsHealth", act=routing.endpoints_health),
        Action(method="GET", path="IotHubStats", act=statistics.stats),
        Action(method="GET", path="quotaMetrics", act=statistics.quotas),
        Action(method="GET", path="skus", act=statistics.skus),
        Action(method="GET", path="jobs", act=statistics.jobs),
        Action(method="GET", path="jobs/{id}", act=statistics.job),
        *ACTIONS,
    ),
)
CERTIFICATES: ResourceType[IotHubs] = ResourceType(
    name="IotHubs/certificates",
    api_versions=API_VERSIONS,
    locations=(),
    view=certificates.view,
    put=certificates.put,
    delete=certificates.delete,
    actions=(
        Action(method="POST", path="generateVerificationCode", act=certificates.generate_code),
        Action(method="POST", path="verify", act=certificates.verify),
    ),
    tracked=False,
)

PROVIDER: Provider[IotHubs] = Provider(
    namespace="Microsoft.Devices",
    types=(HUBS, CERTIFICATES),
    service=IotHubs,
    actions=(
        Action(method="POST", path="checkNameAvailability", act=names.check_availability),
        Action(method="GET", path="usages", act=statistics.usages),
        Action(method="GET", path="operations", act=list_operations),
    ),
)
