"""Registries: what a body may ask for, what an answer shows. The answers' shape is that of recordings, newest fields.

What is stored is what holds: public network access and network rules are enforced by the data plane, and what has no
effect here (encryption with a key of one's own, quarantine, soft delete) is refused.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError, not_implemented
from windtunnel_emulators.arm.provider import Change, Removal, Resource, View
from windtunnel_emulators.jsontypes import JsonObject, as_object, as_str

from .bodies import NetworkRules, Policies, RegistryBody, RegistryProperties, one_of, read
from .identities import identity_of
from .names import check_new_name
from .skus import TIERS, premium_only
from .times import offset, system_data, zulu

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call
    from windtunnel_emulators.jsontypes import Json

    from .service import RegistryService

_LIVE = "Use a registry in Azure for it."
_SWITCH = ("enabled", "disabled")
_ENABLED = ("Enabled", "Disabled")


def put(call: Call, existing: Resource | None, service: RegistryService) -> Change:
    """A new registry answers 200 with Succeeded at once, as recorded; its port listens from then on."""
    assert call.id is not None
    body = read(call.body, RegistryBody)
    if existing is None:
        check_new_name(call.id, service.world.resources)
        if body.sku is None:
            raise ArmError(400, "MissingSku", "The property 'sku' is required for a registry.", target="sku")
    sku = _sku(body, existing)
    resource = Resource(
        id=call.id,
        location=as_str(as_object(call.body).get("location")) or (existing.location if existing else None),
        tags=dict(body.tags or {}),
        properties=_new_properties(call, existing),
        envelope={"sku": {"name": sku, "tier": sku}, "systemData": system_data(call, existing)},
        secrets=existing.secrets if existing else {"password": new_password(), "password2": new_password()},
        state=existing.state if existing else {"instance": str(uuid.uuid4())},
        etag=existing.etag if existing else "",
    )
    resource = _with(resource, body.properties or RegistryProperties(), sku, call)
    identity = identity_of(body.identity, call, as_object(existing.envelope.get("identity")) if existing else {})
    if identity:
        resource = replace(resource, envelope={**resource.envelope, "identity": identity})
    if existing is None:
        login_server = service.open_soon(resource)
        resource = replace(resource, properties={**resource.properties, "loginServer": login_server})
    return Change(resource=resource, status=200)


def patch(call: Call, existing: Resource, service: RegistryService) -> Change:
    """Changes what is sent and leaves the rest."""
    body = read(call.body, RegistryBody)
    sku = _sku(body, existing)
    envelope: JsonObject = {
        **existing.envelope,
        "sku": {"name": sku, "tier": sku},
        "systemData": system_data(call, existing),
    }
    if body.identity is not None:
        identity = identity_of(body.identity, call, as_object(existing.envelope.get("identity")))
        envelope.pop("identity", None)
        if identity:
            envelope["identity"] = identity
    resource = replace(existing, envelope=envelope, tags=existing.tags if body.tags is None else dict(body.tags))
    return Change(resource=_with(resource, body.properties or RegistryProperties(), sku, call), status=200)


def patch_any(call: Call, existing: Resource | None, service: RegistryService) -> Change:
    """``patch`` in the form that a type wants."""
    assert existing is not None
    return patch(call, existing, service)


def delete(_: Call, __: Resource, ___: RegistryService) -> Removal:
    return Removal(status=200, work="delete")


def view(resource: Resource, _: RegistryService, how: View) -> JsonObject:
    """The same in every answer."""
    properties = dict(resource.properties)
    sku = as_str(as_object(resource.envelope.get("sku")).get("name"))
    if sku != "Premium":
        properties.pop("networkRuleSet", None)
    return {**resource.envelope, "tags": dict(resource.tags or {}), "properties": properties}


def new_password() -> str:
    """As long as Azure's, of letters and digits."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return "".join(secrets.choice(alphabet) for _ in range(52))


def _new_properties(call: Call, existing: Resource | None) -> JsonObject:
    """The defaults: PUT replaces, so that what is not sent goes back to them. What a registry is born with stays."""
    born = existing.properties if existing else {}
    now = offset(call.now)
    policies: JsonObject = {
        "quarantinePolicy": {"status": "disabled"},
        "trustPolicy": {"type": "Notary", "status": "disabled"},
        "retentionPolicy": {"days": 7, "lastUpdatedTime": now, "status": "disabled"},
        "exportPolicy": {"status": "enabled"},
        "azureADAuthenticationAsArmPolicy": {"status": "enabled"},
        "softDeletePolicy": {"retentionDays": 7, "lastUpdatedTime": now, "status": "disabled"},
    }
    return {
        "loginServer": born.get("loginServer", ""),
        "creationDate": born.get("creationDate", zulu(call.now)),
        "provisioningState": "Succeeded",
        "adminUserEnabled": False,
        "networkRuleSet": {"defaultAction": "Allow", "virtualNetworkRules": [], "ipRules": []},
        "policies": policies,
        "encryption": {"status": "disabled"},
        "dataEndpointEnabled": False,
        "dataEndpointHostNames": [],
        "privateEndpointConnections": [],
        "publicNetworkAccess": "Enabled",
        "networkRuleBypassOptions": "AzureServices",
        "zoneRedundancy": born.get("zoneRedundancy", "Disabled"),
        "anonymousPullEnabled": False,
        "roleAssignmentMode": "LegacyRegistryPermissions",
    }


def _with(resource: Resource, wanted: RegistryProperties, sku: str, call: Call) -> Resource:
    """The resource with what a body sets. Raises ``ArmError`` for what the tier or the emulator has not."""
    changed: JsonObject = dict(resource.properties)
    if wanted.admin_user_enabled is not None:
        changed["adminUserEnabled"] = wanted.admin_user_enabled
    if wanted.encryption is not None and one_of(wanted.encryption.status, _SWITCH, "encryption.status") == "enabled":
        raise not_implemented("Encryption with a key of your own", _LIVE)
    if wanted.data_endpoint_enabled:
        premium_only(sku, "properties.dataEndpointEnabled")
        raise not_implemented("A dedicated data endpoint", "Every registry has one port for all; leave it disabled.")
    if wanted.anonymous_pull_enabled is not None:
        if wanted.anonymous_pull_enabled and sku == "Basic":
            raise ArmError(
                400,
                "SkuNotSupported",
                "'properties.anonymousPullEnabled' is supported only for registries of SKU 'Standard' or 'Premium';"
                " this one has SKU 'Basic'. Change the registry's SKU and try again.",
                target="properties.anonymousPullEnabled",
            )
        changed["anonymousPullEnabled"] = wanted.anonymous_pull_enabled
    access = one_of(wanted.public_network_access, _ENABLED, "properties.publicNetworkAccess")
    if access is not None:
        if access == "Disabled":
            premium_only(sku, "properties.publicNetworkAccess")
        changed["publicNetworkAccess"] = access
    bypass = one_of(
        wanted.network_rule_bypass_options, ("AzureServices", "None"), "properties.networkRuleBypassOptions"
    )
    if bypass is not None:
        changed["networkRuleBypassOptions"] = bypass
    zones = one_of(wanted.zone_redundancy, _ENABLED, "properties.zoneRedundancy")
    if zones is not None:
        changed["zoneRedundancy"] = zones
    if wanted.network_rule_set is not None:
        changed["networkRuleSet"] = _network_rules(wanted.network_rule_set, sku)
    if wanted.policies is not None:
        changed["policies"] = _policies(as_object(changed["policies"]), wanted.policies, sku, call)
    mode = one_of(
        wanted.role_assignment_mode,
        ("AbacRepositoryPermissions", "LegacyRegistryPermissions"),
        "properties.roleAssignmentMode",
    )
    if mode == "AbacRepositoryPermissions":
        raise not_implemented("roleAssignmentMode AbacRepositoryPermissions", "Roles are not emulated.")
    return replace(resource, properties=changed)


def _network_rules(wanted: NetworkRules, sku: str) -> JsonObject:
    default = one_of(wanted.default_action, ("Allow", "Deny"), "properties.networkRuleSet.defaultAction") or "Allow"
    rules = wanted.ip_rules or []
    if default == "Deny" or rules:
        premium_only(sku, "properties.networkRuleSet")
    if wanted.virtual_network_rules:
        raise not_implemented("A registry's virtual network rules", "Use ipRules, or a registry in Azure.")
    import ipaddress

    shown: list[Json] = []
    for position, rule in enumerate(rules):
        place = f"properties.networkRuleSet.ipRules[{position}].value"
        try:
            ipaddress.ip_network(rule.value, strict=False)
        except ValueError as error:
            raise ArmError(
                400, "InvalidNetworkRule", f"'{place}' is no IP address or CIDR range: {error}.", target=place
            ) from error
        shown.append({"action": "Allow", "value": rule.value})
    return {"defaultAction": default, "virtualNetworkRules": [], "ipRules": shown}


def _policies(before: JsonObject, wanted: Policies, sku: str, call: Call) -> JsonObject:
    changed = dict(before)
    now = offset(call.now)
    for policy, name in ((wanted.quarantine, "quarantinePolicy"), (wanted.soft_delete, "softDeletePolicy")):
        if policy is not None and one_of(policy.status, _SWITCH, f"properties.policies.{name}.status") == "enabled":
            raise not_implemented(f"A registry's {name}", _LIVE)
    if wanted.trust is not None:
        status = one_of(wanted.trust.status, _SWITCH, "properties.policies.trustPolicy.status")
        if status == "enabled":
            premium_only(sku, "properties.policies.trustPolicy")
        changed["trustPolicy"] = {"type": "Notary", "status": status or "disabled"}
    if wanted.retention is not None:
        status = one_of(wanted.retention.status, _SWITCH, "properties.policies.retentionPolicy.status")
        if status == "enabled":
            premium_only(sku, "properties.policies.retentionPolicy")
        was = as_object(before["retentionPolicy"])
        days = was["days"] if wanted.retention.days is None else wanted.retention.days
        if not isinstance(days, int) or not 0 <= days <= 365:
            raise ArmError(
                400,
                "InvalidRetentionPolicy",
                f"The retention policy's days are {days}; they must be 0 to 365.",
                target="properties.policies.retentionPolicy.days",
            )
        changed["retentionPolicy"] = {"days": days, "lastUpdatedTime": now, "status": status or was["status"]}
    for policy, name in ((wanted.export, "exportPolicy"), (wanted.arm_tokens, "azureADAuthenticationAsArmPolicy")):
        status = None if policy is None else one_of(policy.status, _SWITCH, f"properties.policies.{name}.status")
        if status is not None:
            changed[name] = {"status": status}
    if as_object(changed["exportPolicy"]).get("status") == "disabled":
        premium_only(sku, "properties.policies.exportPolicy")
    return changed


def _sku(body: RegistryBody, existing: Resource | None) -> str:
    before = as_str(as_object(existing.envelope.get("sku")).get("name")) if existing else ""
    return one_of(body.sku.name if body.sku else None, TIERS, "sku.name") or before or "Basic"
