"""What tables show of each kind but pods: a function from an object to all the cells of its row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects import networkcells, storagecells, workloadcells
from windtunnel_emulators.kubernetes.objects.cellvalues import (
    NONE,
    UNSET,
    age,
    at,
    containers,
    few,
    labels,
    name,
    number,
    selector,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject


def _quota(whole: JsonObject, now: datetime) -> list[Json]:
    hard, used = as_object(at(whole, "status", "hard")), as_object(at(whole, "status", "used"))
    shown = {key: f"{key}: {used.get(key, '0')}/{hard[key]}" for key in sorted(hard)}
    requests = ", ".join(cell for key, cell in shown.items() if not key.startswith("limits"))
    limits = ", ".join(cell for key, cell in shown.items() if key.startswith("limits"))
    return [name(whole), requests, limits, age(whole, now)]


def _binding(whole: JsonObject, now: datetime) -> list[Json]:
    subjects = [as_object(one) for one in as_list(whole.get("subjects"))]
    users = ", ".join(text(one, "name") for one in subjects if one.get("kind") == "User")
    groups = ", ".join(text(one, "name") for one in subjects if one.get("kind") == "Group")
    accounts = ", ".join(
        f"{text(one, 'namespace')}/{text(one, 'name')}" for one in subjects if one.get("kind") == "ServiceAccount"
    )
    role = f"{text(whole, 'roleRef', 'kind')}/{text(whole, 'roleRef', 'name')}"
    return [name(whole), role, age(whole, now), users, groups, accounts]


def _ingress(whole: JsonObject, now: datetime) -> list[Json]:
    hosts = [text(rule, "host") for rule in as_list(at(whole, "spec", "rules")) if text(rule, "host")]
    addresses = [
        text(one, "ip") or text(one, "hostname") for one in as_list(at(whole, "status", "loadBalancer", "ingress"))
    ]
    return [
        name(whole),
        text(whole, "spec", "ingressClassName") or NONE,
        few(hosts) or "*",
        ",".join(one for one in addresses if one),
        "80, 443" if at(whole, "spec", "tls") else "80",
        age(whole, now),
    ]


def _budget(whole: JsonObject, now: datetime) -> list[Json]:
    least, most = at(whole, "spec", "minAvailable"), at(whole, "spec", "maxUnavailable")
    shown = ["N/A" if value is None else str(value) for value in (least, most)]
    return [name(whole), *shown, number(whole, "status", "disruptionsAllowed"), age(whole, now)]


def _request(whole: JsonObject, now: datetime) -> list[Json]:
    from windtunnel_emulators.kubernetes.objects.durations import human

    lasting = at(whole, "spec", "expirationSeconds")
    conditions = {text(one, "type") for one in as_list(at(whole, "status", "conditions"))}
    word = "Denied" if "Denied" in conditions else "Approved" if "Approved" in conditions else "Pending"
    word += ",Failed" if "Failed" in conditions else ""
    word += ",Issued" if text(whole, "status", "certificate") else ""
    return [
        name(whole),
        age(whole, now),
        text(whole, "spec", "signerName") or NONE,
        text(whole, "spec", "username"),
        human(lasting) if isinstance(lasting, int) else NONE,
        word,
    ]


def _api_service(whole: JsonObject, now: datetime) -> list[Json]:
    service = at(whole, "spec", "service")
    shown = f"{text(service, 'namespace')}/{text(service, 'name')}" if service else "Local"
    state = next((one for one in as_list(at(whole, "status", "conditions")) if text(one, "type") == "Available"), None)
    available = "Unknown" if state is None else text(state, "status")
    if state is not None and available != "True":
        available = f"{available} ({text(state, 'reason')})"
    return [name(whole), shown, available, age(whole, now)]


def _revision(whole: JsonObject, now: datetime) -> list[Json]:
    owner = next(
        (one for one in as_list(at(whole, "metadata", "ownerReferences")) if at(one, "controller") is True), None
    )
    shown = NONE
    if owner is not None:
        group = text(owner, "apiVersion").rpartition("/")[0]
        kind = text(owner, "kind").lower()
        shown = f"{kind}.{group}/{text(owner, 'name')}" if group else f"{kind}/{text(owner, 'name')}"
    return [name(whole), shown, number(whole, "revision"), age(whole, now)]


def _ingress_class(whole: JsonObject, now: datetime) -> list[Json]:
    found = at(whole, "spec", "parameters")
    shown = NONE
    if found is not None:
        group = text(found, "apiGroup")
        shown = f"{text(found, 'kind')}{'.' + group if group else ''}/{text(found, 'name')}"
    return [name(whole), text(whole, "spec", "controller"), shown, age(whole, now)]


def _policy(whole: JsonObject, now: datetime) -> list[Json]:
    kind = at(whole, "spec", "paramKind")
    shown = f"{text(kind, 'apiVersion')}/{text(kind, 'kind')}" if kind else UNSET
    return [name(whole), len(as_list(at(whole, "spec", "validations"))), shown, age(whole, now)]


def _policy_binding(whole: JsonObject, now: datetime) -> list[Json]:
    found = at(whole, "spec", "paramRef")
    shown = UNSET
    if found is not None:
        space = text(found, "namespace")
        shown = f"{space or '*'}/{text(found, 'name')}" if text(found, "name") else f"{space or '*'}"
    return [name(whole), text(whole, "spec", "policyName"), shown, age(whole, now)]


def _flow(whole: JsonObject, now: datetime) -> list[Json]:
    dangling = next(
        (one for one in as_list(at(whole, "status", "conditions")) if text(one, "type") == "Dangling"), None
    )
    return [
        name(whole),
        text(whole, "spec", "priorityLevelConfiguration", "name"),
        number(whole, "spec", "matchingPrecedence"),
        text(whole, "spec", "distinguisherMethod", "type") or NONE,
        age(whole, now),
        "?" if dangling is None else text(dangling, "status"),
    ]


def _level(whole: JsonObject, now: datetime) -> list[Json]:
    limited = at(whole, "spec", "limited")
    shares: Json = (
        at(limited, "nominalConcurrencyShares") if limited else at(whole, "spec", "exempt", "nominalConcurrencyShares")
    )
    queuing = at(limited, "limitResponse", "queuing")
    queues = [at(queuing, key) if queuing else NONE for key in ("queues", "handSize", "queueLengthLimit")]
    return [name(whole), text(whole, "spec", "type"), NONE if shares is None else shares, *queues, age(whole, now)]


def _attachment(whole: JsonObject, now: datetime) -> list[Json]:
    spec = as_object(whole.get("spec"))
    volume = text(spec, "source", "persistentVolumeName")
    attached = at(whole, "status", "attached") is True
    return [name(whole), text(spec, "attacher"), volume, text(spec, "nodeName"), attached, age(whole, now)]


def _simple(*paths: tuple[str, ...], with_age: bool = True) -> Callable[[JsonObject, datetime], list[Json]]:
    def cells(whole: JsonObject, now: datetime) -> list[Json]:
        found: list[Json] = [name(whole), *(_shown(at(whole, *path)) for path in paths)]
        return [*found, age(whole, now)] if with_age else found

    return cells


def _shown(value: Json) -> Json:
    return "" if value is None else value


def _counted(*paths: tuple[str, ...]) -> Callable[[JsonObject, datetime], list[Json]]:
    def cells(whole: JsonObject, now: datetime) -> list[Json]:
        count = sum(len(found) for path in paths if isinstance(found := at(whole, *path), (dict, list)))
        return [name(whole), count, age(whole, now)]

    return cells


def _secret(whole: JsonObject, now: datetime) -> list[Json]:
    return [name(whole), text(whole, "type"), len(as_object(whole.get("data"))), age(whole, now)]


def _pod_template(whole: JsonObject, now: datetime) -> list[Json]:
    names, images = containers(whole, "template")
    return [name(whole), names, images, labels(at(whole, "template", "metadata", "labels"))]


def _priority(whole: JsonObject, now: datetime) -> list[Json]:
    preemption = text(whole, "preemptionPolicy")
    return [name(whole), number(whole, "value"), whole.get("globalDefault") is True, age(whole, now), preemption]


def _claim_state(whole: JsonObject, now: datetime) -> list[Json]:
    words: list[str] = []
    if at(whole, "metadata", "deletionTimestamp"):
        words.append("deleted")
    if at(whole, "status", "allocation") is not None:
        words.append("allocated")
        words += ["reserved"] if at(whole, "status", "reservedFor") else []
    else:
        words.append("pending")
    return [name(whole), ",".join(words), age(whole, now)]


def _address(whole: JsonObject, now: datetime) -> list[Json]:
    parent = at(whole, "spec", "parentRef")
    parts = [text(parent, key) for key in ("resource", "group", "namespace", "name")]
    resource = ".".join(part for part in parts[:2] if part)
    return [name(whole), "/".join(part for part in (resource, *parts[2:]) if part)]


def _ranges(whole: JsonObject, now: datetime) -> list[Json]:
    return [name(whole), ",".join(as_str(one) for one in as_list(at(whole, "spec", "cidrs"))), age(whole, now)]


def _network_policy(whole: JsonObject, now: datetime) -> list[Json]:
    return [name(whole), selector(at(whole, "spec", "podSelector")), age(whole, now)]


def _autoscaler(whole: JsonObject, now: datetime) -> list[Json]:
    from windtunnel_emulators.kubernetes.objects.autoscalercells import targets

    least = at(whole, "spec", "minReplicas")
    reference = f"{text(whole, 'spec', 'scaleTargetRef', 'kind')}/{text(whole, 'spec', 'scaleTargetRef', 'name')}"
    return [
        name(whole),
        reference,
        targets(whole),
        UNSET if least is None else str(least),
        number(whole, "spec", "maxReplicas"),
        number(whole, "status", "currentReplicas"),
        age(whole, now),
    ]


def created(whole: JsonObject, now: datetime) -> list[Json]:
    """Kinds without a table of their own."""
    return [name(whole), text(whole, "metadata", "creationTimestamp")]


CELLS: Mapping[str, Callable[[JsonObject, datetime], list[Json]]] = {
    "admissionregistration.k8s.io/MutatingWebhookConfiguration": _counted(("webhooks",)),
    "admissionregistration.k8s.io/ValidatingAdmissionPolicy": _policy,
    "admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding": _policy_binding,
    "admissionregistration.k8s.io/ValidatingWebhookConfiguration": _counted(("webhooks",)),
    "apiregistration.k8s.io/APIService": _api_service,
    "apps/ControllerRevision": _revision,
    "apps/DaemonSet": workloadcells.daemon_set_cells,
    "apps/Deployment": workloadcells.deployment_cells,
    "apps/ReplicaSet": workloadcells.replica_set_cells,
    "apps/StatefulSet": workloadcells.stateful_set_cells,
    "autoscaling/HorizontalPodAutoscaler": _autoscaler,
    "batch/CronJob": workloadcells.cron_job_cells,
    "batch/Job": workloadcells.job_cells,
    "certificates.k8s.io/CertificateSigningRequest": _request,
    "coordination.k8s.io/Lease": _simple(("spec", "holderIdentity")),
    "core/ConfigMap": _counted(("data",), ("binaryData",)),
    "core/Endpoints": networkcells.endpoints_cells,
    "core/Event": networkcells.event_cells,
    "core/Namespace": _simple(("status", "phase")),
    "core/Node": networkcells.node_cells,
    "core/PersistentVolume": storagecells.volume_cells,
    "core/PersistentVolumeClaim": storagecells.claim_cells,
    "core/PodTemplate": _pod_template,
    "core/ReplicationController": workloadcells.replication_controller_cells,
    "core/ResourceQuota": _quota,
    "core/Secret": _secret,
    "core/Service": networkcells.service_cells,
    "core/ServiceAccount": _counted(("secrets",)),
    "discovery.k8s.io/EndpointSlice": networkcells.endpoint_slice_cells,
    "events.k8s.io/Event": networkcells.event_cells,
    "flowcontrol.apiserver.k8s.io/FlowSchema": _flow,
    "flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration": _level,
    "networking.k8s.io/IPAddress": _address,
    "networking.k8s.io/Ingress": _ingress,
    "networking.k8s.io/IngressClass": _ingress_class,
    "networking.k8s.io/NetworkPolicy": _network_policy,
    "networking.k8s.io/ServiceCIDR": _ranges,
    "node.k8s.io/RuntimeClass": _simple(("handler",)),
    "policy/PodDisruptionBudget": _budget,
    "rbac.authorization.k8s.io/ClusterRoleBinding": _binding,
    "rbac.authorization.k8s.io/RoleBinding": _binding,
    "resource.k8s.io/DeviceClass": _simple(),
    "resource.k8s.io/ResourceClaim": _claim_state,
    "resource.k8s.io/ResourceClaimTemplate": _simple(),
    "resource.k8s.io/ResourceSlice": _simple(("spec", "nodeName"), ("spec", "driver"), ("spec", "pool", "name")),
    "scheduling.k8s.io/PriorityClass": _priority,
    "storage.k8s.io/CSIDriver": storagecells.driver_cells,
    "storage.k8s.io/CSINode": _counted(("spec", "drivers")),
    "storage.k8s.io/StorageClass": storagecells.class_cells,
    "storage.k8s.io/VolumeAttachment": _attachment,
    "storage.k8s.io/VolumeAttributesClass": _simple(("driverName",)),
}
