"""What Azure has and this emulator has not: refused with the way out, and what Azure itself no longer has.

The table of limits in the documentation says the same, with what is accepted although it has less effect here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import not_implemented
from windtunnel_emulators.providers.container_instance.bodies import LOG_TYPES

from .terms import invalid, one_of

if TYPE_CHECKING:
    from windtunnel_emulators.providers.container_instance.bodies import (
        Diagnostics,
        EncryptionProperties,
        Extension,
        GroupBody,
        GroupProperties,
    )

_ZONES = ("1", "2", "3")
_MAX_ZONES = 1


def check_features(name: str, body: GroupBody, properties: GroupProperties) -> None:
    """Refuse what cannot be done here, and check the parts of a group that are kept but have no effect."""
    if properties.os_type == "Windows":
        raise not_implemented(
            f"The 'osType' 'Windows' of container group '{name}'", "Containers of this emulator run on Linux."
        )
    if properties.container_group_profile is not None or properties.standby_pool_profile is not None:
        raise not_implemented(
            f"Creating container group '{name}' from a profile or a standby pool",
            "Send its containers in the request.",
        )
    if properties.secret_references is not None:
        raise not_implemented(
            f"The 'secretReferences' of container group '{name}' (secrets of a key vault)",
            "Send the values as secure environment variables or as a secret volume.",
        )
    _check_zones(name, body.zones or [])
    if properties.diagnostics is not None:
        _check_diagnostics(name, properties.diagnostics)
    if properties.encryption_properties is not None:
        _check_encryption(name, properties.encryption_properties)
    for index, extension in enumerate(properties.extensions or []):
        _check_extension(name, extension, f"properties.extensions[{index}]")
    if properties.confidential_compute_properties is not None and properties.sku != "Confidential":
        raise invalid(
            "InvalidConfidentialComputeProperties",
            f"The 'confidentialComputeProperties' of container group '{name}' need the 'sku' 'Confidential'.",
            "properties.confidentialComputeProperties",
        )


def _check_zones(name: str, zones: list[str]) -> None:
    if len(zones) > _MAX_ZONES:
        raise invalid(
            "InvalidZones",
            f"Container group '{name}' has {len(zones)} 'zones'; at most {_MAX_ZONES} is allowed.",
            "zones",
        )
    for index, zone in enumerate(zones):
        if zone not in _ZONES:
            raise invalid(
                "InvalidZones",
                f"The zone '{zone}' of container group '{name}' is invalid. {one_of(_ZONES)}",
                f"zones[{index}]",
            )


def _check_diagnostics(name: str, diagnostics: Diagnostics) -> None:
    analytics = diagnostics.log_analytics
    if analytics is None:
        return
    for field, value in (("workspaceId", analytics.workspace_id), ("workspaceKey", analytics.workspace_key)):
        if not value:
            raise invalid(
                "InvalidLogAnalytics",
                f"The '{field}' in the 'logAnalytics' of container group '{name}' is missing.",
                f"properties.diagnostics.logAnalytics.{field}",
            )
    if analytics.log_type is not None and analytics.log_type not in LOG_TYPES:
        raise invalid(
            "InvalidLogAnalytics",
            f"The 'logType' '{analytics.log_type}' in the 'logAnalytics' of container group '{name}' is invalid."
            f" {one_of(LOG_TYPES)}",
            "properties.diagnostics.logAnalytics.logType",
        )


def _check_encryption(name: str, encryption: EncryptionProperties) -> None:
    for field, value in (
        ("vaultBaseUrl", encryption.vault_base_url),
        ("keyName", encryption.key_name),
        ("keyVersion", encryption.key_version),
    ):
        if not value:
            raise invalid(
                "InvalidEncryptionProperties",
                f"The '{field}' in the 'encryptionProperties' of container group '{name}' is missing.",
                f"properties.encryptionProperties.{field}",
            )
    if not (encryption.vault_base_url or "").startswith("https://"):
        raise invalid(
            "InvalidEncryptionProperties",
            f"The 'vaultBaseUrl' '{encryption.vault_base_url}' in the 'encryptionProperties' of container group"
            f" '{name}' is invalid. It must start with 'https://'.",
            "properties.encryptionProperties.vaultBaseUrl",
        )


def _check_extension(name: str, extension: Extension, path: str) -> None:
    if not extension.name:
        raise invalid("InvalidExtension", f"An extension of container group '{name}' has no 'name'.", f"{path}.name")
    properties = extension.properties
    for field, value in (
        ("extensionType", properties.extension_type if properties else None),
        ("version", properties.version if properties else None),
    ):
        if not value:
            raise invalid(
                "InvalidExtension",
                f"The extension '{extension.name}' of container group '{name}' has no '{field}'.",
                f"{path}.properties.{field}",
            )
