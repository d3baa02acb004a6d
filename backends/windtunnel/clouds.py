"""``Cloud``: endpoints, authority, certificate authority and credential. The only thing that differs between places.

An adapter is given one and never asks which it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from windtunnel.errors import NotConfigured

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.core.credentials import TokenCredential
    from azure.core.pipeline.transport import HttpTransport
    from azure.core.rest import HttpRequest, HttpResponse

    from windtunnel.profiles import Profile

    Transport: TypeAlias = HttpTransport[HttpRequest, HttpResponse]

PUBLIC_RESOURCE_MANAGER = "https://management.azure.com"
PUBLIC_AUTHORITY = "https://login.microsoftonline.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """One Azure, as its clients see it."""

    name: str
    resource_manager: str
    """ARM's base URL, without a slash at the end."""
    authority: str
    """The token service's base URL."""
    credential: Callable[[Cloud, Transport], TokenCredential]
    """Makes a credential for this cloud, with its transport."""
    tenant: str | None = None
    ca_file: Path | None = None
    """Authorities to trust in place of the public ones."""
    instance_discovery: bool = True
    """Whether the authority is one that Microsoft's discovery service knows."""
    environment_proxies: bool = True
    """Whether ``HTTPS_PROXY`` and its like apply."""
    transport: Callable[[Cloud], Transport] | None = None
    """Makes the transport; None for azure-core's own."""

    @property
    def scope(self) -> str:
        """What a token for ARM is asked for."""
        return f"{self.resource_manager}/.default"

    @classmethod
    def azure(cls) -> Cloud:
        """Public Azure, with the credential that azure-identity finds."""
        return cls(
            name="azure",
            resource_manager=PUBLIC_RESOURCE_MANAGER,
            authority=PUBLIC_AUTHORITY,
            credential=default_credential,
        )

    @classmethod
    def from_profile(cls, profile: Profile) -> Cloud:
        """Public Azure, or the cloud whose endpoints the profile names. Raises ``NotConfigured``."""
        resource_manager = profile.text("resource_manager") or PUBLIC_RESOURCE_MANAGER
        authority = profile.text("authority") or PUBLIC_AUTHORITY
        for key, url in (("resource_manager", resource_manager), ("authority", authority)):
            if not url.startswith("https://"):
                raise NotConfigured(f"{key} is {url!r}; it must start with https://: tokens are not sent in the clear")
        given = profile.text("ca_file")
        ca_file = Path(given).expanduser() if given else None
        if ca_file is not None and not ca_file.is_file():
            raise NotConfigured(f"ca_file is {given!r}, and there is no such file")
        return cls(
            name="azure",
            resource_manager=resource_manager.rstrip("/"),
            authority=authority.rstrip("/"),
            credential=default_credential,
            tenant=profile.text("tenant"),
            ca_file=ca_file,
        )


def default_credential(cloud: Cloud, transport: Transport) -> TokenCredential:
    """What azure-identity finds: environment, workload and managed identity, az, azd, PowerShell."""
    from azure.identity import DefaultAzureCredential  # lazily: a quarter of a second

    return DefaultAzureCredential(
        authority=cloud.authority,
        disable_instance_discovery=not cloud.instance_discovery,
        transport=transport,
    )


def client_secret(client_id: str, secret: str) -> Callable[[Cloud, Transport], TokenCredential]:
    """A service principal with a secret."""

    def credential(cloud: Cloud, transport: Transport) -> TokenCredential:
        from azure.identity import ClientSecretCredential

        return ClientSecretCredential(
            cloud.tenant or "organizations",
            client_id,
            secret,
            authority=cloud.authority,
            disable_instance_discovery=not cloud.instance_discovery,
            transport=transport,
        )

    return credential
