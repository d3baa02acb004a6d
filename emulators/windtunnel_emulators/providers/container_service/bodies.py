"""Clusters as they are stored: what a body makes of one, with the defaults recorded from the service."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
import uuid
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.jsontypes import as_list, as_object, as_str

from . import checks, pools

if TYPE_CHECKING:
    from windtunnel_emulators.arm.ids import ResourceId
    from windtunnel_emulators.jsontypes import Json, JsonObject

    from .versions import Versions

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,52}[A-Za-z0-9])?")
_MANAGED = re.compile(r"[-\w.()]{1,80}(?<!\.)")
_LEAVE_OUT = "Leave it out."
_REFUSED = {
    "aadProfile": "The cluster's users are those of its credentials; leave it out.",
    "azureMonitorProfile": "Leave it out; the cluster's own metrics API is there (kubectl top).",
    "diskEncryptionSetID": _LEAVE_OUT,
    "httpProxyConfig": _LEAVE_OUT,
    "ingressProfile": "Install an ingress controller of your choice, or use Services of type LoadBalancer.",
    "oidcIssuerProfile": "Leave it out.",
    "podIdentityProfile": _LEAVE_OUT,
    "privateLinkResources": _LEAVE_OUT,
    "serviceMeshProfile": _LEAVE_OUT,
    "windowsProfile": "There are no Windows nodes; leave it out.",
    "workloadAutoScalerProfile": "Use a HorizontalPodAutoscaler, which works.",
    "aiToolchainOperatorProfile": _LEAVE_OUT,
}
_REFUSED_SECURITY = {
    "defender": _LEAVE_OUT,
    "azureKeyVaultKms": _LEAVE_OUT,
    "workloadIdentity": _LEAVE_OUT,
    "imageCleaner": _LEAVE_OUT,
}
_REFUSED_API = {
    "authorizedIPRanges": "The API listens on this machine only; leave it out.",
    "enablePrivateCluster": "The API listens on this machine only; leave it out.",
    "enableVnetIntegration": "Networks are not emulated; leave it out.",
    "privateDNSZone": _LEAVE_OUT,
    "subnetId": "Networks are not emulated; leave it out.",
}
_KEPT = (
    "apiServerAccessProfile",
    "linuxProfile",
    "autoScalerProfile",
    "upgradeSettings",
    "publicNetworkAccess",
    "addonProfiles",
    "supportPlan",
)
"""Answered as given; of these, the cluster autoscaler obeys ``autoScalerProfile``."""
_MERGED: dict[str, JsonObject] = {
    "autoUpgradeProfile": {"nodeOSUpgradeChannel": "NodeImage"},
    "securityProfile": {},
    "storageProfile": {
        "diskCSIDriver": {"enabled": True},
        "fileCSIDriver": {"enabled": True},
        "snapshotController": {"enabled": True},
    },
    "oidcIssuerProfile": {"enabled": False},
    "workloadAutoScalerProfile": {},
    "metricsProfile": {"costAnalysis": {"enabled": False}},
    "nodeProvisioningProfile": {"mode": "Manual", "defaultNodePools": "Auto"},
    "bootstrapProfile": {"artifactSource": "Direct"},
}


def check_name(name: str) -> None:
    """Raises ``ArmError`` 400."""
    if not _NAME.fullmatch(name):
        raise checks.invalid(
            "resourceName",
            f"the cluster name '{name}' must begin and end with a letter or digit, have only letters, digits, hyphens"
            " and underscores, and be at most 63 characters long",
        )


def create(id: ResourceId, location: str, body: JsonObject, versions: Versions) -> JsonObject:
    """The properties of a new cluster. Raises ``ArmError``."""
    check_name(id.name)
    check_refused(body)
    asked = checks.text(body, "kubernetesVersion", "properties") or versions.default
    version = versions.resolve(asked)
    prefix = checks.text(body, "dnsPrefix", "properties")
    if prefix is None:
        raise checks.invalid("dnsPrefix", "dnsPrefix is required")
    if not _PREFIX.fullmatch(prefix):
        raise checks.invalid(
            "dnsPrefix",
            f"the DNS prefix '{prefix}' must begin and end with a letter or digit, have only letters, digits and"
            " hyphens, and be at most 54 characters long",
            "https://aka.ms/aks-naming-rules",
        )
    if body.get("enableRBAC") is False:
        raise checks.invalid("enableRBAC", "clusters without RBAC are not emulated: leave it out or say true")
    network = _network(checks.obj(body, "networkProfile", "properties") or {})
    uid = secrets.token_hex(12)
    host = f"{prefix}-{_word(uid)}"
    managed = checks.text(body, "nodeResourceGroup", "properties") or f"MC_{id.group}_{id.name}_{location}"[:80]
    if not _MANAGED.fullmatch(managed):
        raise checks.invalid("nodeResourceGroup", f"'{managed}' is no name of a resource group")
    around = pools.Around(
        location=location,
        version=version,
        asked_version=asked,
        versions=versions,
        max_pods=_max_pods(network),
    )
    return {
        "powerState": {"code": "Running"},
        "kubernetesVersion": asked,
        "currentKubernetesVersion": version,
        "dnsPrefix": prefix,
        "fqdn": f"{host}.hcp.{location}.azmk8s.io",
        "azurePortalFQDN": f"{host}.portal.hcp.{location}.azmk8s.io",
        "agentPoolProfiles": _pools(body, [], around),
        "servicePrincipalProfile": _principal(body, {}),
        "nodeResourceGroup": managed,
        "enableRBAC": True,
        "supportPlan": "KubernetesOfficial",
        "networkProfile": network,
        "maxAgentPools": 100,
        "identityProfile": {
            "kubeletidentity": {
                "resourceId": f"/subscriptions/{id.subscription}/resourcegroups/{managed}/providers/"
                f"Microsoft.ManagedIdentity/userAssignedIdentities/{id.name}-agentpool",
                "clientId": str(uuid.uuid4()),
                "objectId": str(uuid.uuid4()),
            }
        },
        **_merged(body, {}),
        **_kept(body),
        "disableLocalAccounts": checks.flag(body, "disableLocalAccounts", "properties") or False,
        "resourceUID": uid,
    }


def update(id: ResourceId, location: str, body: JsonObject, before: JsonObject, versions: Versions) -> JsonObject:
    """The properties of a cluster after a PUT. What the body does not say stays. Raises ``ArmError``."""
    check_refused(body)
    for name in ("dnsPrefix", "nodeResourceGroup", "fqdnSubdomain"):
        asked = checks.text(body, name, "properties")
        if asked is not None and asked.lower() != as_str(before.get(name)).lower():
            raise immutable(name)
    if body.get("enableRBAC") is False:
        raise immutable("enableRBAC")
    network = as_object(before.get("networkProfile"))
    wanted = checks.obj(body, "networkProfile", "properties") or {}
    for name in ("networkPlugin", "podCidr", "serviceCidr", "dnsServiceIP"):
        if checks.given(wanted, name) is not None and wanted[name] != network.get(name):
            raise immutable(f"networkProfile.{name}")
    current = as_str(before.get("currentKubernetesVersion"))
    asked_version = checks.text(body, "kubernetesVersion", "properties") or as_str(before.get("kubernetesVersion"))
    version = current if asked_version == before.get("kubernetesVersion") else versions.resolve(asked_version)
    versions.check_upgrade(current, version)
    around = pools.Around(
        location=location,
        version=version,
        asked_version=asked_version,
        versions=versions,
        max_pods=_max_pods(network),
    )
    return {
        **before,
        "kubernetesVersion": asked_version,
        "currentKubernetesVersion": version,
        "agentPoolProfiles": _pools(body, as_list(before.get("agentPoolProfiles")), around),
        "servicePrincipalProfile": _principal(body, as_object(before.get("servicePrincipalProfile"))),
        "networkProfile": {**network, **{k: v for k, v in wanted.items() if v is not None}},
        **_merged(body, before),
        **_kept(body),
        "disableLocalAccounts": _flag_after(body, before, "disableLocalAccounts"),
    }


def check_refused(body: JsonObject) -> None:
    """Raises ``ArmError`` 501 for what would be answered and not done."""
    checks.refuse(body, _REFUSED, "a managed cluster")
    security = as_object(body.get("securityProfile"))
    checks.refuse(security, _REFUSED_SECURITY, "the securityProfile of a managed cluster")
    access = as_object(body.get("apiServerAccessProfile"))
    checks.refuse(access, _REFUSED_API, "the apiServerAccessProfile of a managed cluster")
    provisioning = as_object(body.get("nodeProvisioningProfile"))
    if as_str(provisioning.get("mode")).lower() == "auto":
        way_out = {"nodeProvisioningProfile": "Use pools with enableAutoScaling."}
        checks.refuse({"nodeProvisioningProfile": True}, way_out, "a managed cluster")
    for name, addon in (checks.obj(body, "addonProfiles", "properties") or {}).items():
        if as_object(addon).get("enabled") is True:
            checks.refuse({name: True}, {name: "Leave the add-on out."}, "the addonProfiles of a managed cluster")


def around_of(properties: JsonObject, location: str, versions: Versions) -> pools.Around:
    """What the pools of a stored cluster depend on."""
    return pools.Around(
        location=location,
        version=as_str(properties.get("currentKubernetesVersion")),
        asked_version=as_str(properties.get("kubernetesVersion")),
        versions=versions,
        max_pods=_max_pods(as_object(properties.get("networkProfile"))),
    )


def immutable(name: str) -> ArmError:
    """400, for what a cluster keeps as long as it lives."""
    return ArmError(
        400,
        "PropertyChangeNotAllowed",
        f"Changing property 'properties.{name}' is not allowed.",
        target=f"properties.{name}",
    )


def _pools(body: JsonObject, before: list[Json], around: pools.Around) -> list[Json]:
    given = body.get("agentPoolProfiles")
    if given is None and before:
        return before
    known = {as_str(as_object(pool).get("name")): as_object(pool) for pool in before}
    found: list[JsonObject] = []
    for item in as_list(given):
        pool = as_object(item)
        name = checks.text(pool, "name", "agentPoolProfile") or ""
        found.append(pools.make(pool, name, known.get(name), around))
    if not found:
        raise checks.invalid("agentPoolProfiles", "Must define at least one system pool")
    pools.check_together(found)
    made: list[Json] = [*found]
    return made


def _principal(body: JsonObject, before: JsonObject) -> JsonObject:
    given = checks.obj(body, "servicePrincipalProfile", "properties") or {}
    client = checks.text(given, "clientId", "servicePrincipalProfile") or as_str(before.get("clientId")) or "msi"
    return {"clientId": client}


def _network(given: JsonObject) -> JsonObject:
    where = "networkProfile"
    plugin = checks.one_of(given, "networkPlugin", ("azure", "kubenet", "none"), where) or "azure"
    if given.get("networkPlugin") == "none":
        raise checks.invalid(f"{where}.networkPlugin", "clusters without a network are not emulated")
    mode = checks.one_of(given, "networkPluginMode", ("overlay",), where)
    if mode is None and plugin == "azure" and checks.given(given, "networkPlugin") is None:
        mode = "overlay"
    pods = _cidr(given, "podCidr", "10.244.0.0/16")
    services = _cidr(given, "serviceCidr", "10.0.0.0/16")
    if pods.overlaps(services):
        raise checks.invalid(f"{where}.podCidr", f"podCidr {pods} overlaps with serviceCidr {services}")
    dns = checks.text(given, "dnsServiceIP", where) or str(services.network_address + 10)
    try:
        inside = ipaddress.ip_address(dns) in services and dns != str(services.network_address + 1)
    except ValueError:
        inside = False
    if not inside:
        raise checks.invalid(f"{where}.dnsServiceIP", f"dnsServiceIP {dns} must be in serviceCidr {services}")
    found: JsonObject = {key: value for key, value in given.items() if value not in (None, "")}
    found.update(
        {
            "networkPlugin": plugin,
            **({"networkPluginMode": mode} if mode else {}),
            "networkPolicy": as_str(given.get("networkPolicy")) or "none",
            "networkDataplane": as_str(given.get("networkDataplane")) or "azure",
            "loadBalancerSku": checks.text(given, "loadBalancerSku", where) or "standard",
            "loadBalancerProfile": {
                "managedOutboundIPs": {"count": 1},
                **as_object(given.get("loadBalancerProfile")),
                "backendPoolType": "nodeIPConfiguration",
            },
            "podCidr": str(pods),
            "serviceCidr": str(services),
            "dnsServiceIP": dns,
            "outboundType": as_str(given.get("outboundType")) or "loadBalancer",
            "podCidrs": [str(pods)],
            "serviceCidrs": [str(services)],
            "ipFamilies": ["IPv4"],
        }
    )
    return found


def _cidr(given: JsonObject, name: str, default: str) -> ipaddress.IPv4Network:
    text = checks.text(given, name, "networkProfile") or default
    try:
        found = ipaddress.IPv4Network(text)
    except ValueError as problem:
        raise checks.invalid(f"networkProfile.{name}", f"{name} is {text!r}: {problem}") from problem
    if name == "serviceCidr" and not 12 <= found.prefixlen <= 24:
        raise checks.invalid(f"networkProfile.{name}", f"{name} {text} must have 12 to 24 bits of prefix")
    if name == "podCidr" and found.prefixlen > 22:
        raise checks.invalid(f"networkProfile.{name}", f"{name} {text} is too small: each node takes a /24 of it")
    return found


def _max_pods(network: JsonObject) -> int:
    """Microsoft Learn, "Configure maximum pods": by network plugin."""
    if network.get("networkPlugin") == "kubenet":
        return 110
    return 250 if network.get("networkPluginMode") == "overlay" else 30


def _merged(body: JsonObject, before: JsonObject) -> JsonObject:
    return {
        name: {**default, **as_object(before.get(name)), **(checks.obj(body, name, "properties") or {})}
        for name, default in _MERGED.items()
    }


def _kept(body: JsonObject) -> JsonObject:
    return {name: body[name] for name in _KEPT if checks.given(body, name) not in (None, {})}


def _flag_after(body: JsonObject, before: JsonObject, name: str) -> bool:
    asked = checks.flag(body, name, "properties")
    return before.get(name) is True if asked is None else asked


def _word(uid: str) -> str:
    """Eight letters and digits, as in the recorded host names."""
    digest = hashlib.sha256(uid.encode()).digest()
    return "".join("abcdefghijklmnopqrstuvwxyz0123456789"[byte % 36] for byte in digest[:8])
