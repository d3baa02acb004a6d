"""What tables show of the targets of an autoscaler: current use against wanted use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

_UNKNOWN = "<unknown>"
_MOST = 2


def targets(whole: JsonObject) -> str:
    """``cpu: 5%/80%``, of two metrics at most."""
    spec, status = as_object(whole.get("spec")), as_object(whole.get("status"))
    metrics = [as_object(one) for one in as_list(spec.get("metrics"))]
    current = [as_object(one) for one in as_list(status.get("currentMetrics"))]
    if "targetCPUUtilizationPercentage" in spec:
        metrics.insert(0, _of_cpu("target", spec["targetCPUUtilizationPercentage"]))
        if "currentCPUUtilizationPercentage" in status:
            current.insert(0, _of_cpu("current", status["currentCPUUtilizationPercentage"]))
    if not metrics:
        return "<none>"
    shown = [_metric(metric, current[index] if index < len(current) else {}) for index, metric in enumerate(metrics)]
    text = ", ".join(shown[:_MOST])
    return text if len(shown) <= _MOST else f"{text} + {len(shown) - _MOST} more..."


def _of_cpu(field: str, value: Json) -> JsonObject:
    return {"type": "Resource", "resource": {"name": "cpu", field: {"averageUtilization": value}}}


def _metric(metric: JsonObject, current: JsonObject) -> str:
    kind = as_str(metric.get("type"))
    field = kind[:1].lower() + kind[1:]
    wanted, found = as_object(metric.get(field)), as_object(current.get(field))
    target, now = as_object(wanted.get("target")), as_object(found.get("current"))
    average = target.get("averageValue")
    if kind in ("Resource", "ContainerResource"):
        name = as_str(wanted.get("name"))
        if average is not None:
            return f"{name}: {now.get('averageValue', _UNKNOWN)}/{average}"
        used, limit = now.get("averageUtilization"), target.get("averageUtilization")
        shown = _UNKNOWN if used is None else f"{used}%"
        return f"{name}: {shown}/{'<auto>' if limit is None else f'{limit}%'}"
    if kind == "Pods":
        return f"{now.get('averageValue', _UNKNOWN)}/{average}"
    if average is not None:
        return f"{now.get('averageValue', _UNKNOWN)}/{average} (avg)"
    return f"{now.get('value', _UNKNOWN)}/{target.get('value')}"
