"""What tables show of each kind but pods: a function from an object to the cells between its name and nothing else.

Each function gives all the cells of a row, the name first where the table begins with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects.durations import since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject

NONE, UNSET, UNKNOWN = "<none>", "<unset>", "<unknown>"
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_ROLE = "node-role.kubernetes.io/"


def at(whole: Json, *path: str) -> Json:
    """The value at a path; None if there is none."""
    for name in path:
        whole = whole.get(name) if isinstance(whole, dict) else None
    return whole


def text(whole: Json, *path: str) -> str:
    return as_str(at(whole, *path))


def number(whole: Json, *path: str) -> int:
    value = at(whole, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def name(whole: JsonObject) -> str:
    return text(whole, "metadata", "name")


def age(whole: JsonObject, now: datetime) -> str:
    return since(at(whole, "metadata", "creationTimestamp"), now)


def labels(value: Json) -> str:
    """A map of labels: ``a=b,c=d``."""
    found = as_object(value)
    return ",".join(f"{key}={found[key]}" for key in sorted(found)) or NONE


def selector(value: Json) -> str:
    """A structured label selector as text."""
    from windtunnel_emulators.kubernetes.objects.selectors import Requirement, SelectorError, label_selector

    if value is None:
        return NONE
    try:
        found = label_selector(value)
    except SelectorError:
        return "<error>"
    ordered: list[Requirement] = sorted(found.requirements, key=lambda each: each.key)
    return ",".join(str(each) for each in ordered) or NONE


def few(values: Iterable[str], most: int = 3) -> str:
    """The first of a list, and how many more there are."""
    listed = list(values)
    shown = ",".join(listed[:most])
    return shown if len(listed) <= most else f"{shown} + {len(listed) - most} more..."


def containers(whole: JsonObject, *path: str) -> tuple[str, str]:
    """The names and the images of a template's containers."""
    listed = [as_object(one) for one in as_list(at(whole, *path, "spec", "containers"))]
    return ",".join(text(one, "name") for one in listed), ",".join(text(one, "image") for one in listed)


def _workload(whole: JsonObject, now: datetime, *cells: Json, selected: str = "") -> list[Json]:
    names, images = containers(whole, "spec", "template")
    made: list[Json] = [name(whole), *cells, age(whole, now), names, images]
    return [*made, selected] if selected else made


def _deployment(whole: JsonObject, now: datetime) -> list[Json]:
    ready = f"{number(whole, 'status', 'readyReplicas')}/{number(whole, 'spec', 'replicas')}"
    updated, available = number(whole, "status", "updatedReplicas"), number(whole, "status", "availableReplicas")
    return _workload(whole, now, ready, updated, available, selected=selector(at(whole, "spec", "selector")))


def _replica_set(whole: JsonObject, now: datetime) -> list[Json]:
    desired, current = number(whole, "spec", "replicas"), number(whole, "status", "replicas")
    ready = number(whole, "status", "readyReplicas")
    return _workload(whole, now, desired, current, ready, selected=selector(at(whole, "spec", "selector")))


def _replication_controller(whole: JsonObject, now: datetime) -> list[Json]:
    desired, current = number(whole, "spec", "replicas"), number(whole, "status", "replicas")
    ready = number(whole, "status", "readyReplicas")
    return _workload(whole, now, desired, current, ready, selected=labels(at(whole, "spec", "selector")))


def _daemon_set(whole: JsonObject, now: datetime) -> list[Json]:
    fields = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    counts = [number(whole, "status", field) for field in fields]
    nodes = labels(at(whole, "spec", "template", "spec", "nodeSelector"))
    return _workload(whole, now, *counts, nodes, selected=selector(at(whole, "spec", "selector")))


def _stateful_set(whole: JsonObject, now: datetime) -> list[Json]:
    return _workload(whole, now, f"{number(whole, 'status', 'readyReplicas')}/{number(whole, 'spec', 'replicas')}")


def _job(whole: JsonObject, now: datetime) -> list[Json]:
    from windtunnel_emulators.kubernetes.objects.durations import human, moment

    done, wanted = number(whole, "status", "succeeded"), at(whole, "spec", "completions")
    if wanted is not None:
        completions = f"{done}/{wanted}"
    else:
        parallel = number(whole, "spec", "parallelism")
        completions = f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"
    started = moment(at(whole, "status", "startTime"))
    ended = moment(at(whole, "status", "completionTime")) or now
    duration = "" if started is None else human((ended - started).total_seconds())
    selected = selector(at(whole, "spec", "selector"))
    return _workload(whole, now, _job_word(whole), completions, duration, selected=selected)


def _job_word(whole: JsonObject) -> str:
    true = {text(one, "type") for one in as_list(at(whole, "status", "conditions")) if text(one, "status") == "True"}
    if "Complete" in true:
        return "Complete"
    if "Failed" in true:
        return "Failed"
    if at(whole, "metadata", "deletionTimestamp"):
        return "Terminating"
    return next((word for word in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if word in true), "Running")


def _cron_job(whole: JsonObject, now: datetime) -> list[Json]:
    names, images = containers(whole, "spec", "jobTemplate", "spec", "template")
    last = at(whole, "status", "lastScheduleTime")
    return [
        name(whole),
        text(whole, "spec", "schedule"),
        text(whole, "spec", "timeZone") or NONE,
        _truth(at(whole, "spec", "suspend")),
        len(as_list(at(whole, "status", "active"))),
        since(last, now) if last else NONE,
        age(whole, now),
        names,
        images,
        selector(at(whole, "spec", "jobTemplate", "spec", "selector")),
    ]


def _truth(value: Json) -> str:
    return UNSET if value is None else "True" if value else "False"


def _service(whole: JsonObject, now: datetime) -> list[Json]:
    kind = text(whole, "spec", "type")
    outside = [as_str(address) for address in as_list(at(whole, "spec", "externalIPs"))]
    if kind == "ExternalName":
        external = text(whole, "spec", "externalName")
    elif kind == "LoadBalancer":
        ingress = [
            text(one, "ip") or text(one, "hostname") for one in as_list(at(whole, "status", "loadBalancer", "ingress"))
        ]
        external = ",".join([*(one for one in ingress if one), *outside]) or "<pending>"
    else:
        external = ",".join(outside) or NONE
    ports = []
    for port in as_list(at(whole, "spec", "ports")):
        node = number(port, "nodePort")
        inner = f"{number(port, 'port')}:{node}" if node else str(number(port, "port"))
        ports.append(f"{inner}/{text(port, 'protocol')}")
    addresses = as_list(at(whole, "spec", "clusterIPs"))
    address = as_str(addresses[0]) if addresses else text(whole, "spec", "clusterIP")
    return [
        name(whole),
        kind,
        address or NONE,
        external,
        ",".join(ports) or NONE,
        age(whole, now),
        labels(at(whole, "spec", "selector")),
    ]


def _endpoints(whole: JsonObject, now: datetime) -> list[Json]:
    found = []
    for subset in as_list(whole.get("subsets")):
        addresses = [text(one, "ip") for one in as_list(at(subset, "addresses"))]
        ports = [number(port, "port") for port in as_list(at(subset, "ports"))]
        if ports:
            found += [f"{address}:{port}" for port in ports for address in addresses]
        else:
            found += addresses
    return [name(whole), few(found) or NONE, age(whole, now)]


def _endpoint_slice(whole: JsonObject, now: datetime) -> list[Json]:
    ports = [str(number(port, "port")) if at(port, "port") is not None else "*" for port in as_list(whole.get("ports"))]
    addresses = [as_str(one) for each in as_list(whole.get("endpoints")) for one in as_list(at(each, "addresses"))]
    return [name(whole), text(whole, "addressType"), few(ports) or UNSET, few(addresses) or UNSET, age(whole, now)]


def _node(whole: JsonObject, now: datetime) -> list[Json]:
    ready = next((one for one in as_list(at(whole, "status", "conditions")) if text(one, "type") == "Ready"), None)
    words = [{"True": "Ready"}.get(text(ready, "status"), "NotReady") if ready is not None else "Unknown"]
    if at(whole, "spec", "unschedulable") is True:
        words.append("SchedulingDisabled")
    marked = as_object(at(whole, "metadata", "labels"))
    roles = {key.removeprefix(_ROLE) for key in marked if key.startswith(_ROLE) and len(key) > len(_ROLE)}
    if marked.get("kubernetes.io/role"):
        roles.add(as_str(marked["kubernetes.io/role"]))
    addresses = {text(one, "type"): text(one, "address") for one in reversed(as_list(at(whole, "status", "addresses")))}
    told = [
        text(whole, "status", "nodeInfo", field) or UNKNOWN
        for field in ("osImage", "kernelVersion", "containerRuntimeVersion")
    ]
    return [
        name(whole),
        ",".join(words),
        ",".join(sorted(roles)) or NONE,
        age(whole, now),
        text(whole, "status", "nodeInfo", "kubeletVersion"),
        addresses.get("InternalIP") or NONE,
        addresses.get("ExternalIP") or NONE,
        *told,
    ]


def _event(whole: JsonObject, now: datetime) -> list[Json]:
    new = "regarding" in whole
    about = whole.get("regarding" if new else "involvedObject")
    first_field, last_field = (
        ("deprecatedFirstTimestamp", "deprecatedLastTimestamp") if new else ("firstTimestamp", "lastTimestamp")
    )
    when = whole.get("eventTime")
    first, last = whole.get(first_field) or when, whole.get(last_field) or when
    count = number(whole, "deprecatedCount" if new else "count") or 1
    if isinstance(whole.get("series"), dict):
        last, count = at(whole, "series", "lastObservedTime"), number(whole, "series", "count")
    source = whole.get("deprecatedSource" if new else "source")
    component = text(source, "component") or text(whole, "reportingController" if new else "reportingComponent")
    instance = text(source, "host") or text(whole, "reportingInstance")
    target = text(about, "kind").lower()
    if text(about, "name"):
        target = f"{target}/{text(about, 'name')}"
    return [
        since(last, now),
        text(whole, "type"),
        text(whole, "reason"),
        target,
        text(about, "fieldPath"),
        f"{component}, {instance}" if instance else component,
        text(whole, "note" if new else "message").strip(),
        since(first, now),
        count,
        name(whole),
    ]


def _modes(value: Json) -> str:
    return ",".join(_MODES.get(as_str(mode), as_str(mode)) for mode in as_list(value))


def _phase(whole: JsonObject) -> str:
    return "Terminating" if at(whole, "metadata", "deletionTimestamp") else text(whole, "status", "phase")


def _claim(whole: JsonObject, now: datetime) -> list[Json]:
    volume = text(whole, "spec", "volumeName")
    return [
        name(whole),
        _phase(whole),
        volume,
        text(whole, "status", "capacity", "storage") if volume else "",
        _modes(at(whole, "status", "accessModes")) if volume else "",
        text(whole, "spec", "storageClassName"),
        text(whole, "spec", "volumeAttributesClassName") or UNSET,
        age(whole, now),
        text(whole, "spec", "volumeMode") or UNSET,
    ]


def _volume(whole: JsonObject, now: datetime) -> list[Json]:
    claim = at(whole, "spec", "claimRef")
    return [
        name(whole),
        text(whole, "spec", "capacity", "storage"),
        _modes(at(whole, "spec", "accessModes")),
        text(whole, "spec", "persistentVolumeReclaimPolicy"),
        _phase(whole),
        f"{text(claim, 'namespace')}/{text(claim, 'name')}" if claim else "",
        text(whole, "spec", "storageClassName"),
        text(whole, "spec", "volumeAttributesClassName") or UNSET,
        text(whole, "status", "reason"),
        age(whole, now),
        text(whole, "spec", "volumeMode") or UNSET,
    ]


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


def _class(whole: JsonObject, now: datetime) -> list[Json]:
    default = at(whole, "metadata", "annotations", "storageclass.kubernetes.io/is-default-class") == "true"
    return [
        name(whole) + (" (default)" if default else ""),
        text(whole, "provisioner"),
        text(whole, "reclaimPolicy"),
        text(whole, "volumeBindingMode"),
        at(whole, "allowVolumeExpansion") is True,
        age(whole, now),
    ]


def _driver(whole: JsonObject, now: datetime) -> list[Json]:
    spec = as_object(whole.get("spec"))
    tokens = ",".join(text(one, "audience") for one in as_list(spec.get("tokenRequests"))) or UNSET
    modes = ",".join(as_str(one) for one in as_list(spec.get("volumeLifecycleModes"))) or NONE
    flags = [spec.get(key) is True for key in ("attachRequired", "podInfoOnMount", "storageCapacity")]
    return [name(whole), *flags, tokens, spec.get("requiresRepublish") is True, modes, age(whole, now)]


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
    words = []
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
    "apps/DaemonSet": _daemon_set,
    "apps/Deployment": _deployment,
    "apps/ReplicaSet": _replica_set,
    "apps/StatefulSet": _stateful_set,
    "autoscaling/HorizontalPodAutoscaler": _autoscaler,
    "batch/CronJob": _cron_job,
    "batch/Job": _job,
    "certificates.k8s.io/CertificateSigningRequest": _request,
    "coordination.k8s.io/Lease": _simple(("spec", "holderIdentity")),
    "core/ConfigMap": _counted(("data",), ("binaryData",)),
    "core/Endpoints": _endpoints,
    "core/Event": _event,
    "core/Namespace": _simple(("status", "phase")),
    "core/Node": _node,
    "core/PersistentVolume": _volume,
    "core/PersistentVolumeClaim": _claim,
    "core/PodTemplate": _pod_template,
    "core/ReplicationController": _replication_controller,
    "core/ResourceQuota": _quota,
    "core/Secret": _secret,
    "core/Service": _service,
    "core/ServiceAccount": _counted(("secrets",)),
    "discovery.k8s.io/EndpointSlice": _endpoint_slice,
    "events.k8s.io/Event": _event,
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
    "storage.k8s.io/CSIDriver": _driver,
    "storage.k8s.io/CSINode": _counted(("spec", "drivers")),
    "storage.k8s.io/StorageClass": _class,
    "storage.k8s.io/VolumeAttachment": _attachment,
    "storage.k8s.io/VolumeAttributesClass": _simple(("driverName",)),
}
