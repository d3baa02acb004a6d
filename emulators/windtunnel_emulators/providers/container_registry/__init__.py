"""Microsoft.ContainerRegistry: registries with their credentials and replications, tasks, runs, imports."""

from __future__ import annotations

from windtunnel_emulators.arm.locations import regions
from windtunnel_emulators.arm.provider import Action, Provider, ResourceType

from . import credentials, names, registries, replications, runs, tasks
from .imports import import_image
from .service import RegistryService
from .surface import list_operations
from .unbuilt import generate_credentials, unbuilt_types
from .versions import API_VERSIONS

_LOCATIONS = tuple(region.display_name for region in regions().values())

REGISTRIES: ResourceType[RegistryService] = ResourceType(
    name="registries",
    api_versions=API_VERSIONS,
    locations=_LOCATIONS,
    view=registries.view,
    put=registries.put,
    patch=registries.patch_any,
    delete=registries.delete,
    works={"delete": lambda registry, service: service.remove(registry)},
    actions=(
        Action(method="POST", path="listCredentials", act=credentials.list_credentials),
        Action(method="POST", path="regenerateCredential", act=credentials.regenerate),
        Action(method="GET", path="listUsages", act=credentials.list_usages),
        Action(method="POST", path="generateCredentials", act=generate_credentials),
        Action(method="POST", path="importImage", act=import_image),
        Action(method="POST", path="scheduleRun", act=runs.schedule),
        Action(method="POST", path="listBuildSourceUploadUrl", act=runs.upload_url),
    ),
)
REPLICATIONS: ResourceType[RegistryService] = ResourceType(
    name="registries/replications",
    api_versions=API_VERSIONS,
    locations=_LOCATIONS,
    view=replications.view,
    put=replications.put,
    patch=replications.patch,
    delete=replications.delete,
    works={"create": replications.create, "delete": replications.remove},
    links=replications.LINKS,
    operation_view=replications.poll,
)
TASKS: ResourceType[RegistryService] = ResourceType(
    name="registries/tasks",
    api_versions=API_VERSIONS,
    locations=_LOCATIONS,
    view=tasks.view,
    put=tasks.put,
    patch=tasks.patch,
    delete=tasks.delete,
    select=tasks.select,
    actions=(Action(method="POST", path="listDetails", act=tasks.list_details),),
)
RUNS: ResourceType[RegistryService] = ResourceType(
    name="registries/runs",
    api_versions=API_VERSIONS,
    locations=(),
    view=runs.view,
    patch=runs.patch,
    works={"run": lambda run, service: service.run(run)},
    select=runs.select,
    actions=(
        Action(method="POST", path="cancel", act=runs.cancel),
        Action(method="POST", path="listLogSasUrl", act=runs.list_log_url),
    ),
    tracked=False,
)

PROVIDER: Provider[RegistryService] = Provider(
    namespace="Microsoft.ContainerRegistry",
    types=(REGISTRIES, REPLICATIONS, TASKS, RUNS, *unbuilt_types()),
    service=RegistryService,
    actions=(
        Action(method="POST", path="checkNameAvailability", act=names.check_availability),
        Action(method="GET", path="operations", act=list_operations),
    ),
)
