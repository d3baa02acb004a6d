"""``Clients``: the SDK's clients for one subscription of one cloud, made on first use, over one set of connections."""

from __future__ import annotations

from functools import cached_property
from importlib import util
from typing import TYPE_CHECKING, TypedDict, cast

from windtunnel import __version__
from windtunnel.adapters.errors import translated
from windtunnel.errors import MissingExtra

if TYPE_CHECKING:
    from azure.core import PipelineClient
    from azure.core.credentials import TokenCredential
    from azure.core.rest import HttpRequest, HttpResponse
    from azure.mgmt.containerinstance import ContainerInstanceManagementClient
    from azure.mgmt.containerregistry import ContainerRegistryManagementClient
    from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient
    from azure.mgmt.containerservice import ContainerServiceClient
    from azure.mgmt.iothub import IotHubClient
    from azure.mgmt.resource.resources import ResourceManagementClient
    from azure.mgmt.storage import StorageManagementClient

    from windtunnel.clouds import Cloud, Transport

USER_AGENT = f"windtunnel/{__version__}"
# Azure sends no Retry-After for container groups: the SDKs would then wait 30 s. Azure ML's client polled every 5 s.
_POLLING_INTERVAL_S = 5
_SDKS = (
    "azure.core",
    "azure.identity",
    "azure.mgmt.containerinstance",
    "azure.mgmt.containerregistry",
    "azure.mgmt.containerregistrytasks",
    "azure.mgmt.containerservice",
    "azure.mgmt.resource.resources",
)


class _Options(TypedDict):
    base_url: str
    credential_scopes: list[str]
    transport: Transport
    polling_interval: int
    user_agent: str


class Clients:
    """Raises ``MissingExtra`` when an SDK is not installed, before anything is done."""

    def __init__(self, cloud: Cloud, subscription: str) -> None:
        for module in _SDKS:
            if not is_installed(module):
                raise MissingExtra("talking to Azure", "azure", module)
        self.cloud = cloud
        self.subscription = subscription

    @cached_property
    def transport(self) -> Transport:
        """One pool of connections for all clients: one handshake per host."""
        if self.cloud.transport is not None:
            return self.cloud.transport(self.cloud)
        from azure.core.pipeline.transport import RequestsTransport

        transport = RequestsTransport(
            connection_verify=True if self.cloud.ca_file is None else str(self.cloud.ca_file),
            use_env_settings=self.cloud.environment_proxies,
        )
        # It takes both kinds of requests; its type names the older one only.
        return cast("Transport", transport)

    @cached_property
    def credential(self) -> TokenCredential:
        """The cloud's credential; what it cannot do shows when a token is asked for."""
        return self.cloud.credential(self.cloud, self.transport)

    @cached_property
    def resources(self) -> ResourceManagementClient:
        """Resource groups."""
        from azure.mgmt.resource.resources import ResourceManagementClient as Client

        return Client(self.credential, self.subscription, **self._options)

    @cached_property
    def registries(self) -> ContainerRegistryManagementClient:
        """Container registries."""
        from azure.mgmt.containerregistry import ContainerRegistryManagementClient as Client

        return Client(self.credential, self.subscription, **self._options)

    @cached_property
    def tasks(self) -> ContainerRegistryTasksMgmtClient:
        """Builds inside a registry."""
        from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient as Client

        return Client(self.credential, self.subscription, **self._options)

    @cached_property
    def instances(self) -> ContainerInstanceManagementClient:
        """Container groups."""
        from azure.mgmt.containerinstance import ContainerInstanceManagementClient as Client

        return Client(self.credential, self.subscription, **self._options)

    @cached_property
    def clusters(self) -> ContainerServiceClient:
        """Kubernetes clusters."""
        from azure.mgmt.containerservice import ContainerServiceClient as Client

        return Client(self.credential, self.subscription, **self._options)

    @cached_property
    def iot_hubs(self) -> IotHubClient:
        """IoT hubs; whoever asks has made sure that the package is there."""
        from azure.mgmt.iothub import IotHubClient as Client

        return Client(self.credential, self.subscription, **self._options)

    @cached_property
    def storage(self) -> StorageManagementClient:
        """Storage accounts. Raises ``MissingExtra``: only model data collection needs them."""
        for module in ("azure.mgmt.storage", "azure.storage.blob"):
            if not is_installed(module):
                raise MissingExtra("model data collection", "azure", module)
        from azure.mgmt.storage import StorageManagementClient as Client

        return Client(self.credential, self.subscription, **self._options)

    @cached_property
    def _plain(self) -> PipelineClient[HttpRequest, HttpResponse]:
        from azure.core import PipelineClient
        from azure.core.pipeline.policies import HeadersPolicy, RetryPolicy, UserAgentPolicy

        retry = cast("object", RetryPolicy())
        policies = [HeadersPolicy(), UserAgentPolicy(USER_AGENT, user_agent_overwrite=True), retry]
        return PipelineClient(base_url="", policies=policies, transport=self.transport)

    def send(self, request: HttpRequest, doing: str) -> HttpResponse:
        """A request outside ARM: an upload, a log, a registry's own API. No token is added. The body is read."""
        with translated(doing):
            return self._plain.send_request(request)

    @property
    def _options(self) -> _Options:
        return {
            "base_url": self.cloud.resource_manager,
            "credential_scopes": [self.cloud.scope],
            "transport": self.transport,
            "polling_interval": _POLLING_INTERVAL_S,
            "user_agent": USER_AGENT,
        }

    def close(self) -> None:
        """Close the connections."""
        if "transport" in self.__dict__:
            self.transport.close()


def is_installed(module: str) -> bool:
    """Without importing it, though the packages around it are."""
    try:
        return util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
