"""What the API makes of an object on its way into storage, beside defaults: its first state, and what stays.

``prepare_create`` comes after defaults and after the server's own metadata (a Job is selected by its uid);
``prepare_update`` before validation. Neither changes what it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects.quantities import QuantityError, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo

_STATUS_AT_BIRTH = frozenset({"core/Node", "core/Namespace"})
"""Kinds whose first status may come with them (the namespace's is replaced)."""


def prepare_create(info: KindInfo, whole: JsonObject, now: str = "") -> JsonObject:
    """A new object as it is stored first. ``now`` is a timestamp."""
    made = dict(whole)
    if info.has_status and info.strategy not in _STATUS_AT_BIRTH:
        made.pop("status", None)
        if not info.custom:
            made["status"] = _empty_status(info)
    first = _FIRST.get(info.strategy)
    if first is not None:
        first(made, now)
    return made


def prepare_update(info: KindInfo, old: JsonObject, new: JsonObject, subresource: str = "") -> JsonObject:
    """The next state, with what this way of writing cannot change as it was."""
    if subresource in ("status", "approval"):
        made: JsonObject = {**old, "metadata": new.get("metadata", {})}
        made.pop("status", None)
        if "status" in new:
            made["status"] = new["status"]
        return made
    made = dict(new)
    if info.has_status and info.strategy != "core/Node":
        made.pop("status", None)
        if "status" in old:
            made["status"] = old["status"]
    if info.strategy == "core/Namespace":
        spec, before = as_object(made.get("spec")), as_object(old.get("spec"))
        if subresource == "finalize":
            made["spec"] = {**before, "finalizers": spec.get("finalizers", [])}
            if not spec.get("finalizers"):
                made["spec"] = {}
        elif before or spec:
            made["spec"] = before
    elif info.strategy == "core/Service":
        _service_update(made, old)
    return made


def _empty_status(info: KindInfo) -> JsonObject:
    from windtunnel_emulators.kubernetes.objects.fitting import Fitter

    filled = Fitter().fit(info.schema, {})
    return as_object(filled.get("status"))


def _namespace(made: JsonObject, now: str) -> None:
    spec = as_object(made.get("spec"))
    finalizers = as_list(spec.get("finalizers"))
    if "kubernetes" not in finalizers:
        made["spec"] = {**spec, "finalizers": [*finalizers, "kubernetes"]}
    made["status"] = {"phase": "Active"}


def _pod(made: JsonObject, now: str) -> None:
    status: JsonObject = {"phase": "Pending", "qosClass": quality_of_service(made)}
    spec = as_object(made.get("spec"))
    gates = as_list(spec.get("schedulingGates"))
    if gates:
        condition: JsonObject = {
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": None,
            "lastTransitionTime": now or None,
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        }
        status["conditions"] = [condition]
    made["status"] = status


def _job(made: JsonObject, now: str) -> None:
    spec, metadata = as_object(made.get("spec")), as_object(made.get("metadata"))
    if spec.get("manualSelector") is True:
        return
    uid, name = as_str(metadata.get("uid")), as_str(metadata.get("name"))
    template = as_object(spec.get("template"))
    inner = as_object(template.get("metadata"))
    labels = as_object(inner.get("labels"))
    made_labels: JsonObject = {
        **labels,
        "controller-uid": uid,
        "job-name": name,
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
    }
    given = as_object(spec.get("selector"))
    matched: JsonObject = {**as_object(given.get("matchLabels")), "batch.kubernetes.io/controller-uid": uid}
    made["spec"] = {
        **spec,
        "selector": {**given, "matchLabels": matched},
        "template": {**template, "metadata": {**inner, "labels": made_labels}},
    }
    if metadata.get("labels", {}) == labels:
        # Labels that defaulting took from the template follow it.
        made["metadata"] = {**metadata, "labels": made_labels}


def _daemon_set(made: JsonObject, now: str) -> None:
    metadata = as_object(made.get("metadata"))
    annotations = as_object(metadata.get("annotations"))
    made["metadata"] = {**metadata, "annotations": {**annotations, "deprecated.daemonset.template.generation": "1"}}


def _with_finalizer(name: str) -> Callable[[JsonObject, str], None]:
    def add(made: JsonObject, now: str) -> None:
        metadata = as_object(made.get("metadata"))
        finalizers = as_list(metadata.get("finalizers"))
        if name not in finalizers:
            made["metadata"] = {**metadata, "finalizers": [*finalizers, name]}

    return add


def _volume(made: JsonObject, now: str) -> None:
    _with_finalizer("kubernetes.io/pv-protection")(made, now)
    made["status"] = {"phase": "Pending", **({"lastPhaseTransitionTime": now} if now else {})}


def _claim(made: JsonObject, now: str) -> None:
    _with_finalizer("kubernetes.io/pvc-protection")(made, now)
    made["status"] = {"phase": "Pending"}


def _definition(made: JsonObject, now: str) -> None:
    stored: list[Json] = [
        as_object(version).get("name")
        for version in as_list(as_object(made.get("spec")).get("versions"))
        if as_object(version).get("storage") is True
    ]
    made["status"] = {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": stored,
    }


def _service_update(made: JsonObject, old: JsonObject) -> None:
    """A client that leaves the allocated addresses out keeps them."""
    spec, before = as_object(made.get("spec")), as_object(old.get("spec"))
    if spec.get("type") == "ExternalName" or before.get("type") == "ExternalName":
        return
    filled = dict(spec)
    for name in ("clusterIP", "clusterIPs"):
        if not filled.get(name) and before.get(name):
            filled[name] = before[name]
    for name in ("ipFamilies", "ipFamilyPolicy"):
        if not filled.get(name) and before.get(name):
            filled[name] = before[name]
    made["spec"] = filled


_FIRST: Mapping[str, Callable[[JsonObject, str], None]] = {
    "apiextensions.k8s.io/CustomResourceDefinition": _definition,
    "apps/DaemonSet": _daemon_set,
    "batch/Job": _job,
    "core/Namespace": _namespace,
    "core/PersistentVolume": _volume,
    "core/PersistentVolumeClaim": _claim,
    "core/Pod": _pod,
}


def quality_of_service(pod: JsonObject) -> str:
    """``Guaranteed``, ``Burstable`` or ``BestEffort``, by what the containers request of cpu and memory."""
    spec = as_object(pod.get("spec"))
    containers = [as_object(one) for name in ("initContainers", "containers") for one in as_list(spec.get(name))]
    guaranteed, anything = True, False
    for container in containers:
        resources = as_object(container.get("resources"))
        limits, requests = as_object(resources.get("limits")), as_object(resources.get("requests"))
        for name in ("cpu", "memory"):
            limit, request = _amount(limits.get(name)), _amount(requests.get(name))
            if limit > 0 or request > 0:
                anything = True
            if limit <= 0 or (request > 0 and request != limit):
                guaranteed = False
    if not anything:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _amount(value: Json) -> int:
    try:
        return parse(as_str(value)).milli if value else 0
    except QuantityError:
        return 0
