"""Request bodies as typed values; what has the wrong type is refused with its place.

Fields that are not named here are read by nobody and not kept: an answer shows only what was understood.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

import msgspec

from windtunnel_emulators.arm.errors import ArmError, invalid_request_content

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.jsontypes import Json

T = TypeVar("T", bound="Body")

_PLACE = re.compile(r" - at `\$\.?(?P<path>[^`]*)`")


class Body(msgspec.Struct, rename="camel", kw_only=True, omit_defaults=True):
    """A part of a body; ``None`` is what was not sent."""


class Policy(Body):
    status: str | None = None


class TrustPolicy(Body):
    type: str | None = None
    status: str | None = None


class DaysPolicy(Body):
    days: int | None = None
    retention_days: int | None = None
    status: str | None = None


class Policies(Body):
    quarantine: Policy | None = msgspec.field(default=None, name="quarantinePolicy")
    trust: TrustPolicy | None = msgspec.field(default=None, name="trustPolicy")
    retention: DaysPolicy | None = msgspec.field(default=None, name="retentionPolicy")
    export: Policy | None = msgspec.field(default=None, name="exportPolicy")
    arm_tokens: Policy | None = msgspec.field(default=None, name="azureADAuthenticationAsArmPolicy")
    soft_delete: DaysPolicy | None = msgspec.field(default=None, name="softDeletePolicy")


class IpRule(Body):
    value: str
    action: str | None = None


class NetworkRules(Body):
    default_action: str | None = None
    ip_rules: list[IpRule] | None = None
    virtual_network_rules: list[dict[str, str]] | None = None


class Encryption(Body):
    status: str | None = None


class RegistryProperties(Body):
    admin_user_enabled: bool | None = None
    network_rule_set: NetworkRules | None = None
    policies: Policies | None = None
    encryption: Encryption | None = None
    data_endpoint_enabled: bool | None = None
    public_network_access: str | None = None
    network_rule_bypass_options: str | None = None
    network_rule_bypass_allowed_for_tasks: bool | None = None
    zone_redundancy: str | None = None
    anonymous_pull_enabled: bool | None = None
    role_assignment_mode: str | None = None
    auto_generated_domain_name_label_scope: str | None = None
    regional_endpoints: str | None = None
    endpoint_protocol: str | None = None
    metadata_search: str | None = None


class Sku(Body):
    name: str


class Identity(Body):
    type: str | None = None
    user_assigned_identities: dict[str, dict[str, str]] | None = None


class RegistryBody(Body):
    """Of PUT and PATCH."""

    sku: Sku | None = None
    identity: Identity | None = None
    properties: RegistryProperties | None = None
    tags: dict[str, str] | None = None


class ReplicationProperties(Body):
    region_endpoint_enabled: bool | None = None
    zone_redundancy: str | None = None


class ReplicationBody(Body):
    properties: ReplicationProperties | None = None
    tags: dict[str, str] | None = None


class NameBody(Body):
    """Of ``checkNameAvailability`` and ``regenerateCredential``."""

    name: str
    type: str | None = None


class ImportCredentials(Body):
    password: str
    username: str | None = None


class ImportSource(Body):
    source_image: str
    resource_id: str | None = None
    registry_uri: str | None = None
    credentials: ImportCredentials | None = None


class ImportBody(Body):
    source: ImportSource
    target_tags: list[str] | None = None
    untagged_target_repositories: list[str] | None = None
    mode: str | None = None


class RunUpdate(Body):
    is_archive_enabled: bool | None = None


def read(body: Json, kind: type[T]) -> T:
    """The body as a typed value. Raises ``ArmError`` 400 ``InvalidRequestContent`` with the place."""
    try:
        return msgspec.convert(_without_nulls(body), kind)
    except msgspec.ValidationError as error:
        text = str(error)
        place = _PLACE.search(text)
        path = place["path"] if place else ""
        reason = _PLACE.sub("", text)
        where = f" at '{path}'" if path else ""
        raise invalid_request_content(
            f"The request content was invalid and could not be deserialized: {reason}{where}.", target=path or None
        ) from error


def one_of(value: str | None, allowed: Iterable[str], place: str) -> str | None:
    """The word in its published spelling, whatever its case. Raises ``ArmError`` 400."""
    if value is None or value == "":
        return None
    for word in allowed:
        if word.lower() == value.lower():
            return word
    raise ArmError(
        400,
        "InvalidParameter",
        f"The value '{value[:100]}' of '{place}' is invalid. Allowed values: {', '.join(allowed)}.",
        target=place,
    )


def _without_nulls(value: Json) -> Json:
    """Clients send null for what they leave to the service."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return value
