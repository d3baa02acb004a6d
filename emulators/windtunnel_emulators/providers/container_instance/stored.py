"""How a container group is kept: the body with defaults filled in, and apart from it what is never answered."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import msgspec

from .bodies import EmptyDirVolume, GroupProperties
from .container_bodies import ConfigMap

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.jsontypes import Json, JsonObject

    from .bodies import Identity, Volume
    from .container_bodies import EnvironmentVariable

PROVISIONING_TIMEOUT_S = 1800
"""How long a group may take to start before it has failed: the service's own number."""

_ALLOW_ALL = "eyJhbGxvd19hbGwiOiB0cnVlLCAiY29udGFpbmVycyI6IHsibGVuZ3RoIjogMCwgImVsZW1lbnRzIjogbnVsbH19"
"""The policy of a confidential group that brings none, as in the specification's example: everything is allowed."""

_IDENTITIES = uuid.UUID("6d3f4c1e-8f0b-5a7e-9a55-0c1f6f7f7a11")
"""The namespace that object ids of identities are derived in, so that the same identity always has the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What is kept beside a group and never answered."""

    environment: dict[str, dict[str, str]]
    """By container name, then by variable."""
    volumes: dict[str, dict[str, str]]
    """By volume name: files in base64, or the key of a storage account."""
    registries: dict[str, str]
    """Passwords by server."""
    other: dict[str, str]
    """What this emulator has no use for, but must not answer."""


def store(properties: GroupProperties) -> tuple[JsonObject, JsonObject]:
    """The properties to keep and answer, and the secrets to keep. Changes ``properties``, which was checked before."""
    secrets = _take_secrets(properties)
    _fill_in(properties)
    return cast("JsonObject", msgspec.to_builtins(properties)), cast("JsonObject", msgspec.to_builtins(secrets))


def load(properties: JsonObject) -> GroupProperties:
    """What ``store`` kept, typed."""
    return msgspec.convert(properties, GroupProperties)


def load_secrets(secrets: JsonObject) -> Secrets:
    """What ``store`` kept apart, typed."""
    return msgspec.convert(secrets, Secrets)


def identity_envelope(identity: Identity | None, resource_key: str, tenant: str) -> JsonObject | None:
    """The identity as answered: with the ids that the directory gave it. None when the group has none."""
    if identity is None or identity.type in (None, "None"):
        return None
    shown: JsonObject = {}
    if identity.user_assigned_identities:
        users: dict[str, Json] = {
            name: {
                "principalId": _object_id("principal", name.lower()),
                "clientId": _object_id("client", name.lower()),
            }
            for name in identity.user_assigned_identities
        }
        shown["userAssignedIdentities"] = users
    if "SystemAssigned" in (identity.type or ""):
        shown["principalId"] = _object_id("principal", resource_key)
    shown["tenantId"] = tenant
    shown["type"] = identity.type
    return shown


def _object_id(kind: str, name: str) -> str:
    return str(uuid.uuid5(_IDENTITIES, f"{kind}:{name}"))


def _take_secrets(properties: GroupProperties) -> Secrets:
    environment: dict[str, dict[str, str]] = {}
    for container in properties.containers or []:
        if container.properties is not None:
            environment[container.name or ""] = _take_values(container.properties.environment_variables or [])
    for init in properties.init_containers or []:
        if init.properties is not None:
            environment[init.name or ""] = _take_values(init.properties.environment_variables or [])
    registries: dict[str, str] = {}
    for credential in properties.image_registry_credentials or []:
        if credential.password is not None:
            registries[credential.server or ""] = credential.password
            credential.password = None
    other: dict[str, str] = {}
    analytics = properties.diagnostics.log_analytics if properties.diagnostics else None
    if analytics is not None:
        other["workspaceKey"] = analytics.workspace_key or ""
        analytics.workspace_key = analytics.workspace_resource_id = None
    for extension in properties.extensions or []:
        if extension.properties is not None:
            extension.properties.protected_settings = None
    return Secrets(
        environment={name: values for name, values in environment.items() if values},
        volumes=_take_volumes(properties.volumes or []),
        registries=registries,
        other=other,
    )


def _take_values(variables: Iterable[EnvironmentVariable]) -> dict[str, str]:
    values: dict[str, str] = {}
    for variable in variables:
        if variable.secure_value is not None:
            values[variable.name or ""] = variable.secure_value
            variable.secure_value = None
    return values


def _take_volumes(volumes: Iterable[Volume]) -> dict[str, dict[str, str]]:
    values: dict[str, dict[str, str]] = {}
    for volume in volumes:
        if volume.secret is not None:
            values[volume.name or ""] = volume.secret
            volume.secret = {}
        elif volume.azure_file is not None and volume.azure_file.storage_account_key is not None:
            values[volume.name or ""] = {"storageAccountKey": volume.azure_file.storage_account_key}
            volume.azure_file.storage_account_key = None
        elif volume.empty_dir is not None:
            volume.empty_dir = EmptyDirVolume()
    return values


def _fill_in(properties: GroupProperties) -> None:
    """The defaults that the service answers with, as recorded."""
    if properties.sku in (None, "NotSpecified"):
        properties.sku = "Standard"
    properties.restart_policy = properties.restart_policy or "Always"
    properties.init_containers = properties.init_containers or []
    for container in properties.containers or []:
        own = container.properties
        if own is None:
            continue
        own.ports = own.ports or []
        own.environment_variables = own.environment_variables or []
        own.config_map = own.config_map or ConfigMap()
        own.config_map.key_value_pairs = own.config_map.key_value_pairs or {}
        for port in own.ports:
            port.protocol = port.protocol or "TCP"
    for init in properties.init_containers:
        if init.properties is not None:
            init.properties.environment_variables = init.properties.environment_variables or []
    address = properties.ip_address
    if address is not None:
        for exposed in address.ports or []:
            exposed.protocol = exposed.protocol or "TCP"
        if address.dns_name_label is not None and address.auto_generated_domain_name_label_scope is None:
            address.auto_generated_domain_name_label_scope = "Unsecure"
    encryption = properties.encryption_properties
    if encryption is not None and not (encryption.vault_base_url or "").endswith("/"):
        encryption.vault_base_url = f"{encryption.vault_base_url}/"
    if properties.sku == "Confidential":
        confidential = properties.confidential_compute_properties
        if confidential is not None and not confidential.cce_policy:
            confidential.cce_policy = _ALLOW_ALL
