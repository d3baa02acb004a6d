"""Rules of the other kinds: configuration, storage, quotas, budgets, autoscalers, events, leases, classes."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects import names
from windtunnel_emulators.kubernetes.objects.causes import too_long
from windtunnel_emulators.kubernetes.objects.findings import Findings, number
from windtunnel_emulators.kubernetes.objects.placementrules import check_taints
from windtunnel_emulators.kubernetes.objects.resourcerules import amount, check_limits, check_quota

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.quantities import Quantity

MOST_DATA = 1024 * 1024
_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_IMMUTABLE = "field is immutable"
_WHEN_IMMUTABLE = "field is immutable when `immutable` is set"
_TOKEN_ACCOUNT = "kubernetes.io/service-account.name"  # noqa: S105 - the name of an annotation
_SECRET_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}
_HIGHEST_PRIORITY = 1_000_000_000
_SYSTEM_CLASSES = ("system-node-critical", "system-cluster-critical")


def check_config_map(whole: JsonObject, found: Findings) -> None:
    data, binary = as_object(whole.get("data")), as_object(whole.get("binaryData"))
    size = 0
    for key, value in data.items():
        found.each(f"data[{key}]", key, names.config_key(key))
        if key in binary:
            found.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
        size += len(as_str(value).encode())
    for key, value in binary.items():
        found.each(f"binaryData[{key}]", key, names.config_key(key))
        size += _decoded_size(value)
    if size > MOST_DATA:
        found.add([too_long("", MOST_DATA)])


def _decoded_size(value: Json) -> int:
    return len(as_str(value)) * 3 // 4


def check_secret(whole: JsonObject, found: Findings) -> None:
    data, kind = as_object(whole.get("data")), as_str(whole.get("type"))
    size = 0
    for key, value in data.items():
        found.each(f"data[{key}]", key, names.config_key(key))
        size += _decoded_size(value)
    if size > MOST_DATA:
        found.add([too_long("data", MOST_DATA)])
    for key in _SECRET_KEYS.get(kind, ()):
        if key not in data:
            found.required(f"data[{key}]")
        elif kind.startswith("kubernetes.io/docker"):
            _check_json(f"data[{key}]", data[key], found)
    if kind == "kubernetes.io/basic-auth" and "username" not in data and "password" not in data:
        found.required("data[username]")
        found.required("data[password]")
    if kind == "kubernetes.io/service-account-token":
        annotations = as_object(as_object(whole.get("metadata")).get("annotations"))
        if not annotations.get(_TOKEN_ACCOUNT):
            found.required(f"metadata.annotations[{_TOKEN_ACCOUNT}]")


def _check_json(field: str, value: Json, found: Findings) -> None:
    from windtunnel_emulators.kubernetes.objects.decode import json_problem

    raw = b""
    try:
        raw = base64.b64decode(as_str(value))
        json.loads(raw)
    except (ValueError, binascii.Error):
        found.invalid(field, "<secret contents redacted>", json_problem(raw))


def check_immutable_data(old: JsonObject, new: JsonObject, found: Findings) -> None:
    """What is marked as immutable stays as it is; the type of a secret always does."""
    if old.get("kind") == "Secret" and old.get("type") != new.get("type"):
        found.invalid("type", new.get("type"), _IMMUTABLE)
    if old.get("immutable") is True:
        if new.get("immutable") is not True:
            found.forbidden("immutable", _WHEN_IMMUTABLE)
        for name in ("data", "binaryData"):
            if as_object(old.get(name)) != as_object(new.get(name)):
                found.forbidden(name, _WHEN_IMMUTABLE)


def check_node(whole: JsonObject, found: Findings) -> None:
    spec = as_object(whole.get("spec"))
    check_taints(as_list(spec.get("taints")), found)
    for index, network in enumerate(as_list(spec.get("podCIDRs"))):
        found.network(f"spec.podCIDRs[{index}]", network)


def check_node_update(old: JsonObject, new: JsonObject, found: Findings) -> None:
    before, after = as_object(old.get("spec")), as_object(new.get("spec"))
    if before.get("podCIDRs") and before.get("podCIDRs") != after.get("podCIDRs"):
        found.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
    if before.get("providerID") and before.get("providerID") != after.get("providerID"):
        found.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')


def check_limit_range(whole: JsonObject, found: Findings) -> None:
    check_limits(as_object(whole.get("spec")), found)


def check_resource_quota(whole: JsonObject, found: Findings) -> None:
    check_quota(as_object(whole.get("spec")), found)


def check_quota_update(old: JsonObject, new: JsonObject, found: Findings) -> None:
    before, after = as_object(old.get("spec")).get("scopes"), as_object(new.get("spec")).get("scopes")
    if before != after:
        found.invalid("spec.scopes", after, _IMMUTABLE)


def _storage(spec: JsonObject, found: Findings) -> None:
    name = spec.get("storageClassName")
    if isinstance(name, str) and name:
        found.each("spec.storageClassName", name, names.subdomain(name))
    found.one_of("spec.volumeMode", spec.get("volumeMode"), ("Block", "Filesystem"))


def _access_modes(spec: JsonObject, found: Findings) -> None:
    modes = as_list(spec.get("accessModes"))
    for mode in modes:
        found.one_of("spec.accessModes", mode, _MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        found.forbidden("spec.accessModes", "may not use ReadWriteOncePod with other access modes")


def check_volume(whole: JsonObject, found: Findings) -> None:
    """A PersistentVolume."""
    from windtunnel_emulators.kubernetes.objects.schemas import definition

    spec = as_object(whole.get("spec"))
    if not spec.get("accessModes"):
        found.required("spec.accessModes")
    _access_modes(spec, found)
    capacity = as_object(spec.get("capacity"))
    if not capacity:
        found.required("spec.capacity")
    if "storage" not in capacity or len(capacity) > 1:
        found.unsupported("spec.capacity", spec.get("capacity"), ("storage",))
    for name, value in capacity.items():
        if amount(value).amount <= 0:
            found.invalid(f"spec.capacity[{name}]", value, "must be greater than zero")
    found.one_of(
        "spec.persistentVolumeReclaimPolicy", spec.get("persistentVolumeReclaimPolicy"), ("Delete", "Recycle", "Retain")
    )
    fields = definition("io.k8s.api.core.v1.PersistentVolumeSpec").properties
    sources = [
        name
        for name, field in fields.items()
        if name != "nodeAffinity" and name != "claimRef" and field.ref and spec.get(name)
    ]
    if not sources:
        found.required("spec", "must specify a volume type")
    for name in sources[1:]:
        found.forbidden(f"spec.{name}", "may not specify more than 1 volume type")
    path = as_str(as_object(spec.get("hostPath")).get("path"))
    if spec.get("hostPath") is not None:
        if not path:
            found.required("spec.hostPath.path")
        elif ".." in path.split("/"):
            found.invalid("spec.hostPath.path", path, "must not contain '..'")
    _storage(spec, found)


def check_claim(whole: JsonObject, found: Findings) -> None:
    """A PersistentVolumeClaim."""
    spec = as_object(whole.get("spec"))
    if not spec.get("accessModes"):
        found.required("spec.accessModes", "at least 1 access mode is required")
    _access_modes(spec, found)
    if spec.get("selector") is not None:
        found.selector("spec.selector", spec["selector"])
    requests = as_object(as_object(spec.get("resources")).get("requests"))
    if "storage" not in requests:
        found.required("spec.resources[storage]")
    elif amount(requests["storage"]).amount <= 0:
        found.invalid("spec.resources[storage]", requests["storage"], "must be greater than zero")
    _storage(spec, found)


def check_claim_update(old: JsonObject, new: JsonObject, found: Findings) -> None:
    """Only the size grows, once the claim is bound."""
    before, after = dict(as_object(old.get("spec"))), dict(as_object(new.get("spec")))
    sizes: list[Quantity] = []
    for spec in (before, after):
        resources = dict(as_object(spec.get("resources")))
        requests = dict(as_object(resources.get("requests")))
        sizes.append(amount(requests.pop("storage", "0")))
        spec["resources"] = {**resources, "requests": requests}
        if spec is before and not spec.get("volumeName"):
            spec["volumeName"] = after.get("volumeName")
        if spec is before and not spec.get("storageClassName"):
            spec["storageClassName"] = after.get("storageClassName")
    before = {name: value for name, value in before.items() if value is not None}
    after = {name: value for name, value in after.items() if value is not None}
    if before != after:
        message = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        found.forbidden("spec", message)
    elif sizes[1] < sizes[0]:
        found.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")


def check_event(whole: JsonObject, found: Findings) -> None:
    """Of both groups."""
    namespace = as_str(as_object(whole.get("metadata")).get("namespace"))
    about = as_object(whole.get("involvedObject") or whole.get("regarding"))
    theirs = as_str(about.get("namespace"))
    new = "regarding" in whole
    if not new and theirs and theirs != namespace:
        found.invalid("involvedObject.namespace", theirs, "does not match event.namespace")
    if new:
        if not whole.get("eventTime"):
            found.required("eventTime")
        if whole.get("type") not in ("Normal", "Warning"):
            found.invalid("type", "", f"has invalid value: {as_str(whole.get('type'))}")


def check_autoscaler(whole: JsonObject, found: Findings) -> None:
    """Of both versions."""
    from windtunnel_emulators.kubernetes.objects.autoscalerrules import check_behavior, check_metrics

    spec = as_object(whole.get("spec"))
    least, most = spec.get("minReplicas"), number(spec.get("maxReplicas"))
    if isinstance(least, int) and least < 1:
        found.invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        found.invalid("spec.maxReplicas", most, "must be greater than 0")
    if isinstance(least, int) and most < least:
        found.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    target = as_object(spec.get("scaleTargetRef"))
    for name in ("kind", "name"):
        if not target.get(name):
            found.required(f"spec.scaleTargetRef.{name}")
    if not target.get("apiVersion"):
        found.invalid("spec.scaleTargetRef.apiVersion", "", "apiVersion must specify API group")
    check_metrics(as_list(spec.get("metrics")), found)
    if least == 0:
        message = "must specify at least one Object or External metric to support scaling to zero replicas"
        found.forbidden("spec.metrics", message)
    check_behavior(as_object(spec.get("behavior")), found)


def check_budget(whole: JsonObject, found: Findings) -> None:
    spec = as_object(whole.get("spec"))
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        shown: JsonObject = {
            "MinAvailable": least,
            "Selector": spec.get("selector"),
            "MaxUnavailable": most,
            "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
        }
        found.invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set")
    for name, value in (("minAvailable", least), ("maxUnavailable", most)):
        if value is not None:
            found.amount_or_percent(f"spec.{name}", value)
    if spec.get("selector") is not None:
        found.selector("spec.selector", spec["selector"])
    policy = spec.get("unhealthyPodEvictionPolicy")
    found.one_of("spec.unhealthyPodEvictionPolicy", policy, ("AlwaysAllow", "IfHealthyBudget"))


def check_storage_class(whole: JsonObject, found: Findings) -> None:
    if not whole.get("provisioner"):
        found.required("provisioner")
    found.one_of("reclaimPolicy", whole.get("reclaimPolicy"), ("Delete", "Retain"))
    found.one_of("volumeBindingMode", whole.get("volumeBindingMode"), ("Immediate", "WaitForFirstConsumer"))


def check_storage_class_update(old: JsonObject, new: JsonObject, found: Findings) -> None:
    for name in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
        if old.get(name) != new.get(name):
            found.forbidden(name, f"updates to {name} are forbidden.")


def check_driver(whole: JsonObject, found: Findings) -> None:
    spec = as_object(whole.get("spec"))
    found.one_of("spec.fsGroupPolicy", spec.get("fsGroupPolicy"), ("File", "None", "ReadWriteOnceWithFSType"))
    for mode in as_list(spec.get("volumeLifecycleModes")):
        found.one_of("spec.volumeLifecycleModes", mode, ("Persistent", "Ephemeral"))


def check_priority_class(whole: JsonObject, found: Findings) -> None:
    name = as_str(as_object(whole.get("metadata")).get("name"))
    value = number(whole.get("value"))
    if name.startswith("system-"):
        if name not in _SYSTEM_CLASSES:
            message = (
                "priority class names with 'system-' prefix are reserved for system use only."
                f" error: {name} is not a known system priority class"
            )
            found.forbidden("metadata.name", message)
    elif value > _HIGHEST_PRIORITY:
        found.forbidden("value", f"maximum allowed value of a user defined priority is {_HIGHEST_PRIORITY}")
    found.one_of("preemptionPolicy", whole.get("preemptionPolicy"), ("PreemptLowerPriority", "Never"))


def check_priority_class_update(old: JsonObject, new: JsonObject, found: Findings) -> None:
    for name in ("value", "preemptionPolicy"):
        if old.get(name) != new.get(name):
            found.invalid(name, new.get(name), _IMMUTABLE)


def check_lease(whole: JsonObject, found: Findings) -> None:
    spec = as_object(whole.get("spec"))
    seconds = spec.get("leaseDurationSeconds")
    if isinstance(seconds, int) and seconds <= 0:
        found.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")
    found.not_negative("spec.leaseTransitions", spec.get("leaseTransitions"))


def check_runtime_class(whole: JsonObject, found: Findings) -> None:
    handler = as_str(whole.get("handler"))
    found.each("handler", handler, names.label(handler))


def check_runtime_class_update(old: JsonObject, new: JsonObject, found: Findings) -> None:
    if old.get("handler") != new.get("handler"):
        found.invalid("handler", new.get("handler"), _IMMUTABLE)


def check_revision(whole: JsonObject, found: Findings) -> None:
    """A ControllerRevision."""
    found.not_negative("revision", whole.get("revision"))
    if whole.get("data") is None:
        found.required("data", "data is mandatory")


def check_revision_update(old: JsonObject, new: JsonObject, found: Findings) -> None:
    if old.get("data") != new.get("data"):
        found.invalid("data", new.get("data"), _IMMUTABLE)
