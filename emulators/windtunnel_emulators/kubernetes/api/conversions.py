"""Resources that are served in two versions and kept in one: events, and autoscalers.

Events are kept as those of the core group; ``events.k8s.io`` has the same facts under other names. Autoscalers are kept
as ``autoscaling/v2``; v1 knows the use of cpu only, and carries what it cannot say in annotations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.jsontypes import as_list, as_object
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.served import Served

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo

_EVENT_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_EVENT_BACK = {new: old for old, new in _EVENT_NAMES.items()}
_ANNOTATION = "autoscaling.alpha.kubernetes.io/"


def served(info: KindInfo) -> Served:
    """How a built-in kind is served."""
    group, version, plural = info.kind.group, info.kind.version, info.kind.plural
    if (group, plural) == ("events.k8s.io", "events"):
        return Served(info, storage="events", storage_version="v1", present=event_from_core, keep=event_to_core)
    if (group, plural, version) == ("autoscaling", "horizontalpodautoscalers", "v1"):
        return Served(info, storage_version="autoscaling/v2", present=autoscaler_from_v2, keep=autoscaler_to_v2)
    return Served(info)


def _renamed(whole: JsonObject, names: Mapping[str, str], api_version: str) -> JsonObject:
    made: JsonObject = {names.get(name, name): value for name, value in whole.items()}
    made["apiVersion"] = api_version
    return made


def event_from_core(whole: JsonObject) -> JsonObject:
    """An event of the core group as one of ``events.k8s.io``."""
    return _renamed(whole, _EVENT_NAMES, "events.k8s.io/v1")


def event_to_core(whole: JsonObject) -> JsonObject:
    """The way back."""
    return _renamed(whole, _EVENT_BACK, "v1")


def _is_cpu(metric: Json) -> bool:
    resource = as_object(as_object(metric).get("resource"))
    target = as_object(resource.get("target"))
    return (
        as_object(metric).get("type") == "Resource"
        and resource.get("name") == "cpu"
        and target.get("type") == "Utilization"
    )


def _annotated(whole: JsonObject, values: Mapping[str, Json]) -> JsonObject:
    annotations = as_object(meta.of(whole).get("annotations"))
    kept = {name: value for name, value in annotations.items() if not name.startswith(_ANNOTATION)}
    for name, value in values.items():
        if value:
            kept[_ANNOTATION + name] = msgspec.json.encode(value).decode()
    return {**meta.of(whole), "annotations": kept}


def _carried(whole: JsonObject, name: str) -> Json:
    text = as_object(meta.of(whole).get("annotations")).get(_ANNOTATION + name)
    if not isinstance(text, str):
        return None
    try:
        found: Json = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    return found


def autoscaler_from_v2(whole: JsonObject) -> JsonObject:
    """An autoscaler as ``autoscaling/v1`` says it."""
    spec, status = as_object(whole.get("spec")), as_object(whole.get("status"))
    metrics = as_list(spec.get("metrics"))
    cpu = next((metric for metric in metrics if _is_cpu(metric)), None)
    made: JsonObject = {name: value for name, value in spec.items() if name not in ("metrics", "behavior")}
    if cpu is not None:
        target = as_object(as_object(as_object(cpu).get("resource")).get("target"))
        made["targetCPUUtilizationPercentage"] = target.get("averageUtilization")
    current = as_list(status.get("currentMetrics"))
    shown: JsonObject = {name: value for name, value in status.items() if name not in ("currentMetrics", "conditions")}
    for metric in current:
        resource = as_object(as_object(metric).get("resource"))
        use = as_object(resource.get("current")).get("averageUtilization")
        if resource.get("name") == "cpu" and use is not None:
            shown["currentCPUUtilizationPercentage"] = use
    metadata = _annotated(
        whole,
        {
            "metrics": [metric for metric in metrics if metric is not cpu],
            "behavior": spec.get("behavior"),
            "current-metrics": current,
            "conditions": status.get("conditions"),
        },
    )
    result = meta.with_metadata({**whole, "apiVersion": "autoscaling/v1", "spec": made, "status": shown}, metadata)
    if "status" not in whole:
        del result["status"]
    return result


def autoscaler_to_v2(whole: JsonObject) -> JsonObject:
    """The way back."""
    spec, status = as_object(whole.get("spec")), as_object(whole.get("status"))
    made: JsonObject = {name: value for name, value in spec.items() if name != "targetCPUUtilizationPercentage"}
    metrics: list[Json] = []
    cpu = spec.get("targetCPUUtilizationPercentage")
    if cpu is not None:
        target: JsonObject = {"type": "Utilization", "averageUtilization": cpu}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    metrics.extend(as_list(_carried(whole, "metrics")))
    if metrics:
        made["metrics"] = metrics
    behavior = _carried(whole, "behavior")
    if behavior:
        made["behavior"] = behavior
    shown: JsonObject = {name: value for name, value in status.items() if name != "currentCPUUtilizationPercentage"}
    current, conditions = _carried(whole, "current-metrics"), _carried(whole, "conditions")
    use = status.get("currentCPUUtilizationPercentage")
    if not current and use is not None:
        measured: JsonObject = {"name": "cpu", "current": {"averageUtilization": use}}
        only: Json = {"type": "Resource", "resource": measured}
        listed: list[Json] = [only]
        current = listed
    if current:
        shown["currentMetrics"] = current
    if conditions:
        shown["conditions"] = conditions
    result = meta.with_metadata(
        {**whole, "apiVersion": "autoscaling/v2", "spec": made, "status": shown}, _annotated(whole, {})
    )
    if "status" not in whole:
        del result["status"]
    return result
