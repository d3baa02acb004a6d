"""Microsoft.Storage: accounts with two keys, and their blobs. Files, queues and tables are not there."""

from __future__ import annotations

from windtunnel_emulators.arm.locations import regions
from windtunnel_emulators.arm.provider import Action, Provider, ResourceType

from . import accounts
from .service import StorageService

API_VERSIONS = (
    "2019-06-01", "2021-09-01", "2022-09-01", "2023-01-01", "2023-05-01", "2024-01-01", "2025-01-01", "2025-06-01",
    "2026-04-01", "2026-09-01",
)  # fmt: skip

ACCOUNTS: ResourceType[StorageService] = ResourceType(
    name="storageAccounts",
    api_versions=API_VERSIONS,
    locations=tuple(region.display_name for region in regions().values()),
    view=accounts.view,
    put=accounts.put,
    patch=accounts.patch,
    delete=accounts.delete,
    works={"delete": lambda account, service: service.remove(account)},
    actions=(
        Action(method="POST", path="listKeys", act=accounts.list_keys),
        Action(method="POST", path="regenerateKey", act=accounts.regenerate_key),
    ),
)

PROVIDER: Provider[StorageService] = Provider(
    namespace="Microsoft.Storage",
    types=(ACCOUNTS,),
    service=StorageService,
    actions=(Action(method="POST", path="checkNameAvailability", act=accounts.check_availability),),
)
