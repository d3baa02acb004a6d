"""Agent pools as they are stored in their cluster: what a body makes of one, with the service's defaults and rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.jsontypes import as_list, as_object, as_str

from . import checks, sizes
from .versions import Versions, minor, older

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.jsontypes import Json, JsonObject

SYSTEM, USER = "System", "User"
MODES = (SYSTEM, USER)
NODE_IMAGE = "AKSUbuntu-2204gen2containerd-202601.07.0"
"""Recorded in January 2026; nothing in a node here depends on it."""
_NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
_TAINT = re.compile(r"(?P<key>[^=:]+)(?:=(?P<value>[^:]*))?:(?P<effect>NoSchedule|PreferNoSchedule|NoExecute)")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_READ_ONLY = frozenset(("provisioningstate", "currentorchestratorversion", "nodeimageversion", "etag", "status"))
_LEAVE_OUT = "Leave it out."
_REFUSED = {
    "vnetSubnetID": "Networks are not emulated; leave it out, and nodes get addresses of this machine.",
    "podSubnetID": "Networks are not emulated; leave it out.",
    "kubeletConfig": "Nodes have no kubelet to configure; leave it out.",
    "linuxOSConfig": "Nodes have no system of their own; leave it out.",
    "windowsProfile": "There are no Windows nodes; leave it out.",
    "creationData": "There are no snapshots of pools; leave it out.",
    "gpuInstanceProfile": "There are no GPUs; leave it out.",
    "capacityReservationGroupID": _LEAVE_OUT,
    "hostGroupID": _LEAVE_OUT,
    "proximityPlacementGroupID": _LEAVE_OUT,
    "nodePublicIPPrefixID": _LEAVE_OUT,
    "enableNodePublicIP": "Nodes have addresses of this machine alone; leave it out.",
    "virtualMachinesProfile": "Only pools of type VirtualMachineScaleSets are emulated.",
    "gatewayProfile": _LEAVE_OUT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a pool's values depend on: its cluster."""

    location: str
    version: str
    """Of the control plane, as it will be."""
    asked_version: str
    """As the cluster's body words it."""
    versions: Versions
    max_pods: int


def make(body: JsonObject, name: str, current: JsonObject | None, around: Around) -> JsonObject:
    """The pool that a body asks for. What it does not say stays as it is. Raises ``ArmError``."""
    where = "agentPoolProfile"
    check_name(name)
    checks.refuse(body, _REFUSED, f"agent pool '{name}'")
    if (checks.one_of(body, "osType", ("Linux", "Windows"), where) or "Linux") == "Windows":
        checks.refuse({"osType": "Windows"}, {"osType": "Only Linux nodes are emulated."}, f"agent pool '{name}'")
    before = current or {}
    pool = {key: value for key, value in body.items() if key.lower() not in _READ_ONLY and value not in (None, "")}
    size = sizes.size(_kept(body, before, "vmSize") or sizes.default(), around.location)
    if current is not None and size.name.lower() != as_str(before.get("vmSize")).lower():
        raise _immutable(name, "vmSize")
    disk_type, disk_gb = size.disk
    mode = checks.one_of(body, "mode", MODES, where) or as_str(before.get("mode")) or USER
    version = _version(body, current, around)
    autoscaling = checks.flag(body, "enableAutoScaling", where)
    if autoscaling is None:
        autoscaling = before.get("enableAutoScaling") is True
    made: JsonObject = {
        **{key: value for key, value in before.items() if key not in ("minCount", "maxCount")},
        **pool,
        "name": name,
        "count": _count(body, before, mode, autoscaling),
        "vmSize": size.name,
        "osDiskSizeGB": checks.number(body, "osDiskSizeGB", where) or before.get("osDiskSizeGB") or disk_gb,
        "osDiskType": checks.one_of(body, "osDiskType", ("Managed", "Ephemeral"), where)
        or before.get("osDiskType")
        or disk_type,
        "kubeletDiskType": as_str(_kept(body, before, "kubeletDiskType"), "OS") or "OS",
        "maxPods": _max_pods(body, current, around),
        "type": checks.one_of(body, "type", ("VirtualMachineScaleSets",), where) or "VirtualMachineScaleSets",
        "enableAutoScaling": autoscaling,
        "scaleDownMode": checks.one_of(body, "scaleDownMode", ("Delete", "Deallocate"), where)
        or before.get("scaleDownMode")
        or "Delete",
        "powerState": {"code": "Running"},
        "orchestratorVersion": version[0],
        "currentOrchestratorVersion": version[1],
        "enableNodePublicIP": False,
        "mode": mode,
        "osType": "Linux",
        "osSKU": _kept(body, before, "osSKU") or "Ubuntu",
        "nodeImageVersion": before.get("nodeImageVersion") or NODE_IMAGE,
        "upgradeSettings": {
            "maxSurge": "10%",
            "maxUnavailable": "0",
            **as_object(before.get("upgradeSettings")),
            **as_object(body.get("upgradeSettings")),
        },
        "enableFIPS": checks.flag(body, "enableFIPS", where) or False,
        "securityProfile": {
            "sshAccess": "LocalUser",
            "enableVTPM": False,
            "enableSecureBoot": False,
            **as_object(before.get("securityProfile")),
            **as_object(body.get("securityProfile")),
        },
    }
    if autoscaling:
        made["minCount"], made["maxCount"] = _bounds(body, before, mode, made["count"])
    power = checks.one_of(checks.obj(body, "powerState", where) or {}, "code", ("Running", "Stopped"), where)
    if power or (current is not None and before.get("powerState")):
        made["powerState"] = {"code": power or as_object(before.get("powerState")).get("code")}
    if as_object(made["powerState"]).get("code") == "Stopped" and mode == SYSTEM:
        raise checks.invalid("agentPoolProfile.powerState", "only user pools can be stopped")
    _check_labels(checks.strings(body, "nodeLabels", where) or {})
    checks.strings(body, "tags", where)
    _check_taints(as_list(body.get("nodeTaints")))
    if not as_list(made.get("nodeTaints")):
        made.pop("nodeTaints", None)
    if as_str(made.get("scaleSetPriority")) in ("", "Regular"):
        made.pop("scaleSetPriority", None)
        made.pop("scaleSetEvictionPolicy", None)
    elif mode == SYSTEM:
        raise checks.invalid("agentPoolProfile.scaleSetPriority", "a system pool cannot have the priority Spot")
    return made


def check_name(name: str) -> None:
    """Raises ``ArmError`` 400."""
    if not _NAME.fullmatch(name):
        raise checks.invalid(
            "agentPool.name",
            f"the agent pool name '{name}' must begin with a lower-case letter, have only lower-case letters and"
            " digits, and be at most 12 characters long",
        )


def check_together(pools: Sequence[JsonObject]) -> None:
    """What holds of all pools of a cluster. Raises ``ArmError`` 400."""
    names = [as_str(pool.get("name")) for pool in pools]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise checks.invalid("agentPoolProfiles", f"the name '{twice[0]}' is there more than once")
    if not any(pool.get("mode") == SYSTEM for pool in pools):
        raise checks.invalid("agentPoolProfiles", "Must define at least one system pool")


def taints(pool: JsonObject) -> list[tuple[str, str, str]]:
    """Key, value, effect."""
    found = [_TAINT.fullmatch(as_str(text)) for text in as_list(pool.get("nodeTaints"))]
    return [(match["key"], match["value"] or "", match["effect"]) for match in found if match is not None]


def nodes(pool: JsonObject) -> int:
    """How many nodes of it run: none of a pool that is stopped."""
    if as_object(pool.get("powerState")).get("code") == "Stopped":
        return 0
    count = pool.get("count")
    return count if isinstance(count, int) else 0


def _kept(body: JsonObject, before: JsonObject, name: str) -> str:
    return checks.text(body, name, "agentPoolProfile") or as_str(before.get(name))


def _count(body: JsonObject, before: JsonObject, mode: str, autoscaling: bool) -> int:
    count = checks.number(body, "count", "agentPoolProfile")
    if count is None:
        known = before.get("count")
        low = checks.number(body, "minCount", "agentPoolProfile")
        count = known if isinstance(known, int) else (low if autoscaling and low is not None else 1)
    least = 1 if mode == SYSTEM else 0
    if not least <= count <= 1000:
        raise checks.invalid(
            "agentPoolProfile.count",
            f"the count of a {mode.lower()} pool is {count} and must be between {least} and 1000",
        )
    return count


def _bounds(body: JsonObject, before: JsonObject, mode: str, count: Json) -> tuple[int, int]:
    found: list[int] = []
    for name in ("minCount", "maxCount"):
        value = checks.number(body, name, "agentPoolProfile")
        if value is None:
            known = before.get(name)
            value = known if isinstance(known, int) else None
        if value is None:
            raise checks.invalid(f"agentPoolProfile.{name}", f"{name} is required when enableAutoScaling is true")
        found.append(value)
    low, high = found
    least = 1 if mode == SYSTEM else 0
    if not least <= low <= high <= 1000:
        raise checks.invalid(
            "agentPoolProfile.minCount",
            f"minCount {low} and maxCount {high} must hold {least} <= minCount <= maxCount <= 1000",
        )
    if not isinstance(count, int) or not low <= count <= high:
        raise checks.invalid(
            "agentPoolProfile.count", f"the count {count} must be between minCount {low} and maxCount {high}"
        )
    return low, high


def _max_pods(body: JsonObject, current: JsonObject | None, around: Around) -> int:
    asked = checks.number(body, "maxPods", "agentPoolProfile")
    if current is not None:
        known = current.get("maxPods")
        if asked is not None and asked != known:
            raise _immutable(as_str(current.get("name")), "maxPods")
        return known if isinstance(known, int) else around.max_pods
    asked = around.max_pods if asked is None else asked
    if not 10 <= asked <= 250:
        raise checks.invalid("agentPoolProfile.maxPods", f"maxPods is {asked} and must be between 10 and 250")
    return asked


def _version(body: JsonObject, current: JsonObject | None, around: Around) -> tuple[str, str]:
    """As it is worded, and the release it stands for."""
    asked = checks.text(body, "orchestratorVersion", "agentPoolProfile")
    if asked is None and current is not None:
        return as_str(current.get("orchestratorVersion")), as_str(current.get("currentOrchestratorVersion"))
    if asked is None:
        return around.asked_version, around.version
    if current is not None and asked == current.get("orchestratorVersion"):
        return asked, as_str(current.get("currentOrchestratorVersion"))
    # A name like 1.33 means what it means for the control plane, where that has the same minor release.
    meant = around.version if minor(around.version) == asked else around.versions.resolve(asked)
    if older(around.version, meant):
        raise ArmError(
            400,
            "NodePoolMcVersionIncompatible",
            f"Node pool version {meant} and control plane version {around.version} are incompatible. Node pool version"
            f" {meant} is bigger than control plane version {around.version}. For more information, please check"
            " https://aka.ms/aks/UpgradeVersionRules",
            target="agentPoolProfile.orchestratorVersion",
        )
    if int(minor(around.version).split(".")[1]) - int(minor(meant).split(".")[1]) > 3:
        raise ArmError(
            400,
            "NodePoolMcVersionIncompatible",
            f"Node pool version {meant} is more than three minor versions behind control plane version"
            f" {around.version}. For more information, please check https://aka.ms/aks/UpgradeVersionRules",
            target="agentPoolProfile.orchestratorVersion",
        )
    if current is not None:
        around.versions.check_upgrade(as_str(current.get("currentOrchestratorVersion")), meant)
    return asked, meant


def _check_labels(labels: dict[str, str]) -> None:
    for key, value in labels.items():
        prefix, _, name = key.rpartition("/")
        if not name or not _LABEL.fullmatch(name) or not _LABEL.fullmatch(value) or len(prefix) > 253:
            raise checks.invalid("agentPoolProfile.nodeLabels", f"'{key}={value}' is no label of a node")
        if prefix == "kubernetes.azure.com":
            raise checks.invalid("agentPoolProfile.nodeLabels", f"labels of {prefix} are reserved for the service")


def _check_taints(given: list[Json]) -> None:
    for text in given:
        if not isinstance(text, str) or not _TAINT.fullmatch(text):
            raise checks.invalid(
                "agentPoolProfile.nodeTaints",
                f"'{text}' is no taint; one is written as key=value:NoSchedule (or PreferNoSchedule, NoExecute)",
            )


def _immutable(pool: str, name: str) -> ArmError:
    return ArmError(
        400,
        "PropertyChangeNotAllowed",
        f"Changing property 'properties.{name}' of agent pool '{pool}' is not allowed.",
        target=f"properties.{name}",
    )
