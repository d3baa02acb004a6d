"""``Clients``: the SDK's clients for one subscription of one cloud, made on first use, over one set of connections."""

from __future__ import annotations

from functools import cached_property
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
    from azure.mgmt.resource.resources import ResourceManagementClient

    from windtunnel.clouds import Cloud, Transport

USER_AGENT = f"windtunnel/{__version__}"
# Azure sends no Retry-After for container groups: the SDKs would then wait 30 s. Azure ML's client polled every 5 s.
_POLLING_INTERVAL_S = 5


class _Options(TypedDict):
    base_url: str
    credential_scopes: list[str]
    transport: Transport
    polling_interval: int
    user_agent: str


class Clients:
    """Raises ``MissingExtra`` when the SDKs are not installed."""

    def __init__(self, cloud: Cloud, subscription: str) -> None:
        self.cloud = cloud
        self.subscription = subscription

    @cached_property
    def transport(self) -> Transport:
        """One pool of connections for all clients: one handshake per host."""
        if self.cloud.transport is not None:
            return self.cloud.transport(self.cloud)
        try:
            from azure.core.pipeline.transport import RequestsTransport
        except ModuleNotFoundError as error:
            raise MissingExtra("talking to Azure", "azure", error.name or "azure-core") from error
        transport = RequestsTransport(
            connection_verify=True if self.cloud.ca_file is None else str(self.cloud.ca_file),
            use_env_settings=self.cloud.environment_proxies,
        )
        # It takes both kinds of requests; its type names the older one only.
        return cast("Transport", transport)

    @cached_property
    def credential(self) -> TokenCredential:
        """The cloud's credential; what it cannot do shows when a token is asked for."""
        try:
            return self.cloud.credential(self.cloud, self.transport)
        except ModuleNotFoundError as error:
            raise MissingExtra("logging in to Azure", "azure", error.name or "azure-identity") from error

    @cached_property
    def resources(self) -> ResourceManagementClient:
        """Resource groups."""
        try:
            from azure.mgmt.resource.resources import ResourceManagementClient as Client
        except ModuleNotFoundError as error:
            raise MissingExtra("resource groups", "azure", error.name or "azure-mgmt-resource") from error
        return Client(self.credential, self.subscription, **self._options)

    @cached_property
    def registries(self) -> ContainerRegistryManagementClient:
        """Container registries."""
        try:
            from azure.mgmt.containerregistry import ContainerRegistryManagementClient as Client
        except ModuleNotFoundError as error:
            raise MissingExtra("container registries", "azure", error.name or "azure-mgmt-containerregistry") from error
        return Client(self.credential, self.subscription, **self._options)

    @cached_property
    def tasks(self) -> ContainerRegistryTasksMgmtClient:
        """Builds inside a registry."""
        try:
            from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient as Client
        except ModuleNotFoundError as error:
            raise MissingExtra("image builds", "azure", error.name or "azure-mgmt-containerregistrytasks") from error
        return Client(self.credential, self.subscription, **self._options)

    @cached_property
    def instances(self) -> ContainerInstanceManagementClient:
        """Container groups."""
        try:
            from azure.mgmt.containerinstance import ContainerInstanceManagementClient as Client
        except ModuleNotFoundError as error:
            raise MissingExtra("container groups", "azure", error.name or "azure-mgmt-containerinstance") from error
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
