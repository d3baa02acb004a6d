"""The body of a container group as typed values: what a client may send of the group itself.

Everything is optional here, so that ``validation`` can refuse what is missing with the service's own code. Closed sets
of words carry them in ``words``: they are read without regard to case, and written as the set spells them.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from .container_bodies import AnyObject, Body, Container, InitContainer, Protocol
from .fields import words

OS_TYPES = ("Windows", "Linux")
RESTART_POLICIES = ("Always", "OnFailure", "Never")
SKUS = ("Standard", "Dedicated", "Confidential")
PRIORITIES = ("Regular", "Spot")
ADDRESS_TYPES = ("Public", "Private")
LABEL_SCOPES = ("Unsecure", "TenantReuse", "SubscriptionReuse", "ResourceGroupReuse", "Noreuse")
LOG_TYPES = ("ContainerInsights", "ContainerInstanceLogs")
IDENTITY_TYPES = ("SystemAssigned", "UserAssigned", "SystemAssigned, UserAssigned", "None")

OsType: TypeAlias = Annotated[str, words(*OS_TYPES)]
RestartPolicy: TypeAlias = Annotated[str, words(*RESTART_POLICIES)]
Sku: TypeAlias = Annotated[str, words(*SKUS, "NotSpecified")]
Priority: TypeAlias = Annotated[str, words(*PRIORITIES)]
AddressType: TypeAlias = Annotated[str, words(*ADDRESS_TYPES)]
LabelScope: TypeAlias = Annotated[str, words(*LABEL_SCOPES)]
LogType: TypeAlias = Annotated[str, words(*LOG_TYPES)]
IdentityType: TypeAlias = Annotated[str, words(*IDENTITY_TYPES)]


class Port(Body):
    """A port of the group's address."""

    port: int | None = None
    protocol: Protocol | None = None


class IpAddress(Body):
    """How a group is reached."""

    ports: list[Port] | None = None
    type: AddressType | None = None
    dns_name_label: str | None = None
    auto_generated_domain_name_label_scope: LabelScope | None = None


class AzureFileVolume(Body):
    """A share of a storage account."""

    share_name: str | None = None
    read_only: bool | None = None
    storage_account_name: str | None = None
    storage_account_key: str | None = None
    storage_account_key_reference: str | None = None


class GitRepoVolume(Body):
    """A clone of a repository."""

    directory: str | None = None
    repository: str | None = None
    revision: str | None = None


class EmptyDirVolume(Body):
    """A folder that lives as long as its group."""


class Volume(Body):
    """A folder that containers may mount: exactly one of its kinds."""

    name: str | None = None
    azure_file: AzureFileVolume | None = None
    empty_dir: EmptyDirVolume | None = None
    secret: dict[str, str] | None = None
    secret_reference: dict[str, str] | None = None
    git_repo: GitRepoVolume | None = None


class ImageRegistryCredential(Body):
    """How images of one registry are had."""

    server: str | None = None
    username: str | None = None
    password: str | None = None
    password_reference: str | None = None
    identity: str | None = None
    identity_url: str | None = None


class LogAnalytics(Body):
    """Where logs would be shipped to."""

    workspace_id: str | None = None
    workspace_key: str | None = None
    log_type: LogType | None = None
    metadata: dict[str, str] | None = None
    workspace_resource_id: str | None = None


class Diagnostics(Body):
    """Diagnostic settings of a group."""

    log_analytics: LogAnalytics | None = None


class SubnetId(Body):
    """The subnet that a private group is in."""

    id: str | None = None
    name: str | None = None


class DnsConfiguration(Body):
    """Name servers of a private group."""

    name_servers: list[str] | None = None
    search_domains: str | None = None
    options: str | None = None


class EncryptionProperties(Body):
    """The key that a group's data is encrypted with."""

    vault_base_url: str | None = None
    key_name: str | None = None
    key_version: str | None = None
    identity: str | None = None


class ExtensionProperties(Body):
    """What an extension is and how it is set up."""

    extension_type: str | None = None
    version: str | None = None
    settings: AnyObject | None = None
    protected_settings: AnyObject | None = None


class Extension(Body):
    """Something that virtual nodes add to a group."""

    name: str | None = None
    properties: ExtensionProperties | None = None


class ConfidentialComputeProperties(Body):
    """The policy of a confidential group."""

    cce_policy: str | None = None


class NetworkProfile(Body):
    """How private groups named their network before api-version 2021-07-01."""

    id: str | None = None


class GroupProperties(Body):
    """All that a group is."""

    containers: list[Container] | None = None
    init_containers: list[InitContainer] | None = None
    image_registry_credentials: list[ImageRegistryCredential] | None = None
    restart_policy: RestartPolicy | None = None
    ip_address: IpAddress | None = None
    os_type: OsType | None = None
    volumes: list[Volume] | None = None
    diagnostics: Diagnostics | None = None
    subnet_ids: list[SubnetId] | None = None
    network_profile: NetworkProfile | None = None
    dns_config: DnsConfiguration | None = None
    sku: Sku | None = None
    encryption_properties: EncryptionProperties | None = None
    extensions: list[Extension] | None = None
    confidential_compute_properties: ConfidentialComputeProperties | None = None
    priority: Priority | None = None
    container_group_profile: AnyObject | None = None
    standby_pool_profile: AnyObject | None = None
    secret_references: list[dict[str, str]] | None = None
    identity_acls: AnyObject | None = None


class UserAssignedIdentity(Body):
    """An identity that the group may use; what a client sends of it is not read."""


class Identity(Body):
    """The identities of a group."""

    type: IdentityType | None = None
    user_assigned_identities: dict[str, UserAssignedIdentity | None] | None = None


class GroupBody(Body):
    """The whole body of a PUT."""

    location: str | None = None
    tags: dict[str, str] | None = None
    zones: list[str] | None = None
    identity: Identity | None = None
    properties: GroupProperties | None = None
