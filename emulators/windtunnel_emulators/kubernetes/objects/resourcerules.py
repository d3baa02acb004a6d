"""Rules of amounts of resources: of containers, quotas and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects import names
from windtunnel_emulators.kubernetes.objects.findings import NOT_NEGATIVE, Findings
from windtunnel_emulators.kubernetes.objects.quantities import ZERO, QuantityError, read

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.quantities import Quantity

_OF_CONTAINERS = frozenset({"cpu", "memory", "ephemeral-storage"})
_OVERCOMMITTED = _OF_CONTAINERS
_COUNTS = frozenset(
    {
        "pods",
        "services",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    }
)
_OF_QUOTAS = (
    _COUNTS
    | _OF_CONTAINERS
    | {f"{kind}.{name}" for kind in ("limits", "requests") for name in _OF_CONTAINERS}
    | {"requests.storage"}
)
_STANDARD = _OF_QUOTAS | {"storage"}
_FULLY = "must be a standard resource type or fully qualified"
_SCOPES = {
    "Terminating": ("NotTerminating",),
    "NotTerminating": ("Terminating",),
    "BestEffort": ("NotBestEffort",),
    "NotBestEffort": ("BestEffort",),
    "PriorityClass": (),
    "CrossNamespacePodAffinity": (),
    "VolumeAttributesClass": (),
}


def amount(value: Json) -> Quantity:
    """An amount; nothing for what is none."""
    try:
        return read(value)
    except QuantityError:
        return ZERO


def _is_extended(name: str) -> bool:
    """``example.com/device``: whole numbers, and the limit is the request."""
    return "/" in name and not name.partition("/")[0].endswith("kubernetes.io") and not name.startswith("requests.")


def _check_name(field: str, name: str, found: Findings, *, standard: frozenset[str], what: str) -> None:
    found.each(field, name, names.qualified(name))
    if "/" not in name and not name.startswith(("hugepages-", "requests.hugepages-", "count/")):
        if name not in _STANDARD:
            found.invalid(field, name, _FULLY)
        if name not in standard:
            found.invalid(field, name, f"must be a standard resource for {what}")


def check_requirements(field: str, resources: JsonObject, found: Findings) -> None:
    """``limits`` and ``requests`` of a container."""
    limits, requests = as_object(resources.get("limits")), as_object(resources.get("requests"))
    for name, value in limits.items():
        _check_name(f"{field}.limits[{name}]", name, found, standard=_OF_CONTAINERS, what="containers")
        _check_amount(f"{field}.limits[{name}]", name, value, found)
    for name, value in requests.items():
        _check_name(f"{field}.requests[{name}]", name, found, standard=_OF_CONTAINERS, what="containers")
        _check_amount(f"{field}.requests[{name}]", name, value, found)
        limit = limits.get(name)
        if limit is not None:
            if _is_extended(name) and amount(value).amount != amount(limit).amount:
                found.invalid(f"{field}.requests", value, f"must be equal to {name} limit of {as_str(limit)}")
            elif amount(value) > amount(limit):
                found.invalid(
                    f"{field}.requests", value, f"must be less than or equal to {name} limit of {as_str(limit)}"
                )
        elif name not in _OVERCOMMITTED and _is_extended(name):
            found.required(f"{field}.limits", "Limit must be set for non overcommitable resources")


def _check_amount(field: str, name: str, value: Json, found: Findings) -> None:
    quantity = amount(value)
    if quantity.amount < 0:
        found.invalid(field, value, NOT_NEGATIVE)
    elif (_is_extended(name) or name in _COUNTS) and quantity.amount % 1:
        found.invalid(field, value, "must be an integer")


def check_quota(spec: JsonObject, found: Findings) -> None:
    """A ResourceQuota's limits and scopes."""
    for name, value in as_object(spec.get("hard")).items():
        field = f"spec.hard[{name}]"
        if not name.partition(".")[2].startswith("storageclass") and ".storageclass." not in name:
            _check_name(field, name, found, standard=frozenset(_OF_QUOTAS), what="quota")
        _check_amount(field, name, value, found)
    scopes = [as_str(scope) for scope in as_list(spec.get("scopes"))]
    shown: Json = [*scopes]
    for scope in scopes:
        if scope not in _SCOPES:
            found.invalid("spec.scopes", shown, "unsupported scope")
    limited = [scope for scope in scopes if scope in ("BestEffort",)]
    if limited and any(name != "pods" for name in as_object(spec.get("hard"))):
        found.invalid("spec.scopes", shown, "unsupported scope applied to resource")
    if any(other in scopes for scope in scopes for other in _SCOPES.get(scope, ())):
        found.invalid("spec.scopes", shown, "conflicting scopes")


def check_limits(spec: JsonObject, found: Findings) -> None:
    """A LimitRange's limits."""
    seen: set[str] = set()
    for index, entry in enumerate(as_list(spec.get("limits"))):
        limit, at = as_object(entry), f"spec.limits[{index}]"
        kind = as_str(limit.get("type"))
        if kind in seen:
            found.duplicate(f"{at}.type", kind)
        seen.add(kind)
        least, most = as_object(limit.get("min")), as_object(limit.get("max"))
        default, request = as_object(limit.get("default")), as_object(limit.get("defaultRequest"))
        if kind == "Pod":
            for name, given in (("default", default), ("defaultRequest", request)):
                if given:
                    found.forbidden(f"{at}.{name}", "may not be specified when `type` is 'Pod'")
            default, request = {}, {}
        for name in {**least, **most, **default, **request}:
            _bounds(at, name, (least, most, default, request), found)


def _bounds(at: str, name: str, given: tuple[JsonObject, JsonObject, JsonObject, JsonObject], found: Findings) -> None:
    least, most, default, request = (values.get(name) for values in given)

    def above(one: Json, other: Json) -> bool:
        return one is not None and other is not None and amount(one) > amount(other)

    if above(least, most):
        found.invalid(f"{at}.min[{name}]", least, f"min value {least} is greater than max value {most}")
    if above(least, request):
        message = f"min value {least} is greater than default request value {request}"
        found.invalid(f"{at}.defaultRequest[{name}]", request, message)
    if above(request, most):
        message = f"default request value {request} is greater than max value {most}"
        found.invalid(f"{at}.defaultRequest[{name}]", request, message)
    if above(request, default):
        message = f"default request value {request} is greater than default limit value {default}"
        found.invalid(f"{at}.defaultRequest[{name}]", request, message)
    if above(least, default):
        found.invalid(f"{at}.default[{name}]", least, f"min value {least} is greater than default value {default}")
    if above(default, most):
        found.invalid(f"{at}.default[{name}]", most, f"default value {default} is greater than max value {most}")
