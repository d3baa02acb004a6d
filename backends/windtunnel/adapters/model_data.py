"""``ModelData``: the storage account that keeps what AKS services collect, as Azure ML's workspaces had one."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from windtunnel.adapters.aci_desired import TAG_OWNER, TAG_TARGET
from windtunnel.adapters.errors import translated
from windtunnel.errors import NotConfigured, ServiceError
from windtunnel.spec import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel.adapters.building import Settings
    from windtunnel.adapters.clients import Clients

CONTAINER = "modeldata"
PACKAGE = "azure-storage-blob"
"""What an image needs to write there."""


class ModelData:
    """Raises the errors of ``windtunnel.errors``."""

    def __init__(self, clients: Clients, settings: Settings) -> None:
        self._clients = clients
        self._settings = settings

    def ensure(self) -> str:
        """The connection string of the profile's account, which is there with its container from now on."""
        account = self._require()
        group = self._settings.resource_group
        operations: Any = self._clients.storage.storage_accounts
        doing = f"storage account {account!r}"
        from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

        with translated(doing):
            try:
                found = operations.get_properties(group, account)
            except ResourceNotFoundError:
                body = {
                    "location": self._settings.location,
                    "kind": "StorageV2",
                    "sku": {"name": "Standard_LRS"},
                    "tags": {TAG_TARGET: Target.AKS.value, TAG_OWNER: self._settings.owner},
                }
                found = operations.begin_create(group, account, body).result()
        connection = self._connection(account, str(found.primary_endpoints.blob))
        with (
            translated(f"container {CONTAINER!r} of {doing}"),
            self._service(connection) as service,
            suppress(ResourceExistsError),  # made by an earlier deployment
        ):
            service.create_container(CONTAINER)
        return connection

    def workspace(self) -> str:
        """The beginning of every path: subscription, resource group, and the cluster in place of a workspace."""
        return f"{self._clients.subscription}/{self._settings.resource_group}/{self._settings.workspace}"

    def read(self, service: str) -> Mapping[str, bytes]:
        """What a service has collected: content by path below the container; nothing where nothing ever was."""
        from azure.core.exceptions import ResourceNotFoundError

        account = self._require()
        operations: Any = self._clients.storage.storage_accounts
        with translated(f"storage account {account!r}"):
            try:
                found = operations.get_properties(self._settings.resource_group, account)
            except ResourceNotFoundError:
                return {}
        connection = self._connection(account, str(found.primary_endpoints.blob))
        prefix = f"{self.workspace().lower()}/{service}/"
        with translated(f"reading the data of service {service!r}"), self._service(connection) as client:
            container = client.get_container_client(CONTAINER)
            names = [cast("str", blob.name) for blob in container.list_blobs(name_starts_with=prefix)]
            return {name: container.download_blob(name).readall() for name in names}

    def _require(self) -> str:
        account = self._settings.storage
        if account is None:
            raise NotConfigured(
                "collect_model_data was asked for, and no storage account is set",
                way_out="Give its name: --set storage=..., or WINDTUNNEL_STORAGE. It is created when missing; names are"
                " unique over all of Azure.",
            )
        return account

    def _connection(self, account: str, endpoint: str) -> str:
        operations: Any = self._clients.storage.storage_accounts
        with translated(f"the keys of storage account {account!r}"):
            body = operations.list_keys(self._settings.resource_group, account, cls=_as_json)
        keys = [key.get("value") for key in body.get("keys", [])]
        if not keys or not keys[0]:
            raise ServiceError(f"storage account {account!r} gave no key")
        scheme = endpoint.partition(":")[0]
        return (
            f"DefaultEndpointsProtocol={scheme};AccountName={account};AccountKey={keys[0]};"
            f"BlobEndpoint={endpoint.rstrip('/')}"
        )

    def _service(self, connection: str) -> Any:
        from azure.storage.blob import BlobServiceClient

        return BlobServiceClient.from_connection_string(connection)


def _as_json(response: Any, _model: object, _headers: object) -> Any:
    """For the SDK's ``cls``: the body itself in place of its model, whose name for the keys has changed."""
    return response.http_response.json()
