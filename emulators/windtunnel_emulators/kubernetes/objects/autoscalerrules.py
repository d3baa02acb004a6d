"""Rules of what an autoscaler measures and how fast it may act."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object
from windtunnel_emulators.kubernetes.objects.findings import Findings, number

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

_TYPES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_LONGEST_WINDOW_S, _LONGEST_PERIOD_S = 3600, 1800


def check_metrics(metrics: list[Json], found: Findings) -> None:
    """All metrics."""
    for index, entry in enumerate(metrics):
        metric, at = as_object(entry), f"spec.metrics[{index}]"
        kind = metric.get("type")
        if not kind:
            found.required(f"{at}.type", "must specify a metric source type")
            continue
        if not isinstance(kind, str) or kind not in _TYPES:
            found.unsupported(f"{at}.type", kind, _TYPES)
            continue
        name = _TYPES[kind]
        if metric.get(name) is None:
            found.required(f"{at}.{name}", "must populate information for the given metric source")
            continue
        _metric(f"{at}.{name}", kind, as_object(metric[name]), found)


def _metric(at: str, kind: str, metric: JsonObject, found: Findings) -> None:
    target = as_object(metric.get("target"))
    if kind in ("Resource", "ContainerResource"):
        if not metric.get("name"):
            found.required(f"{at}.name", "must specify a resource name")
        if kind == "ContainerResource" and not metric.get("container"):
            found.required(f"{at}.container", "must specify a container")
    elif not as_object(metric.get("metric")).get("name"):
        found.required(f"{at}.metric.name", "must specify a metric name")
    if target.get("type") not in ("Utilization", "Value", "AverageValue"):
        found.invalid(f"{at}.target.type", target.get("type", ""), "must be either Utilization, Value, or AverageValue")
    use = target.get("averageUtilization")
    if isinstance(use, int) and use < 1:
        found.invalid(f"{at}.target.averageUtilization", use, "must be greater than 0")
    average, value = target.get("averageValue"), target.get("value")
    if kind in ("Resource", "ContainerResource"):
        if use is None and average is None:
            message = "must set either a target raw value or a target utilization"
            found.required(f"{at}.target.averageUtilization", message)
        elif use is not None and average is not None:
            message = "may not set both a target raw value and a target utilization"
            found.forbidden(f"{at}.target.averageValue", message)
    elif kind == "Pods":
        if average is None:
            found.required(f"{at}.target.averageValue", "must specify a positive target averageValue")
    elif average is None and value is None:
        message = "must set either a target value for metric or a per-pod target"
        found.required(f"{at}.target.averageValue", message)


def check_behavior(behavior: JsonObject, found: Findings) -> None:
    """How fast it scales up and down."""
    for name in ("scaleUp", "scaleDown"):
        if behavior.get(name) is None:
            continue
        rules, at = as_object(behavior[name]), f"spec.behavior.{name}"
        window = rules.get("stabilizationWindowSeconds")
        if isinstance(window, int):
            if window < 0:
                found.invalid(f"{at}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
            elif window > _LONGEST_WINDOW_S:
                message = f"must be less than or equal to {_LONGEST_WINDOW_S}"
                found.invalid(f"{at}.stabilizationWindowSeconds", window, message)
        found.one_of(f"{at}.selectPolicy", rules.get("selectPolicy"), ("Disabled", "Max", "Min"))
        policies = as_list(rules.get("policies"))
        if not policies:
            found.required(f"{at}.policies", "must specify at least one Policy")
        for index, entry in enumerate(policies):
            policy, place = as_object(entry), f"{at}.policies[{index}]"
            found.one_of(f"{place}.type", policy.get("type"), ("Percent", "Pods"))
            for field in ("value", "periodSeconds"):
                amount = number(policy.get(field))
                if amount <= 0:
                    found.invalid(f"{place}.{field}", amount, "must be greater than zero")
                elif field == "periodSeconds" and amount > _LONGEST_PERIOD_S:
                    message = f"must be less than or equal to {_LONGEST_PERIOD_S}"
                    found.invalid(f"{place}.{field}", amount, message)
