"""Rules of where pods may run: selectors, affinity, tolerations, spreading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects import names
from windtunnel_emulators.kubernetes.objects.findings import number

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.findings import Findings

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)


def check_tolerations(field: str, tolerations: list[Json], found: Findings) -> None:
    """Each toleration by itself."""
    for index, entry in enumerate(tolerations):
        toleration, at = as_object(entry), f"{field}[{index}]"
        key, operator, effect = (as_str(toleration.get(name)) for name in ("key", "operator", "effect"))
        if key:
            found.each(f"{at}.key", key, names.qualified(key))
        elif operator != "Exists":
            message = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            found.invalid(f"{at}.operator", operator, message)
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            found.invalid(f"{at}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
        value = as_str(toleration.get("value"))
        if operator in ("Equal", ""):
            found.each(f"{at}.operator", value, names.label_value(value))
        elif operator == "Exists":
            if value:
                found.invalid(f"{at}.operator", value, "value must be empty when `operator` is 'Exists'")
        else:
            found.unsupported(f"{at}.operator", operator, ("Equal", "Exists"))
        if effect:
            found.one_of(f"{at}.effect", effect, EFFECTS)


def check_affinity(field: str, affinity: JsonObject, found: Findings) -> None:
    """Affinity to nodes and to other pods."""
    nodes = as_object(affinity.get("nodeAffinity"))
    at = f"{field}.nodeAffinity"
    if nodes.get(_REQUIRED) is not None:
        check_node_selector(f"{at}.{_REQUIRED}", as_object(nodes[_REQUIRED]), found)
    for index, entry in enumerate(as_list(nodes.get(_PREFERRED))):
        term = as_object(entry)
        _weight(f"{at}.{_PREFERRED}[{index}]", term, found)
        _node_term(f"{at}.{_PREFERRED}[{index}].preference", as_object(term.get("preference")), found)
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = as_object(affinity.get(kind))
        at = f"{field}.{kind}"
        for index, entry in enumerate(as_list(pods.get(_REQUIRED))):
            _pod_term(f"{at}.{_REQUIRED}[{index}]", as_object(entry), found)
        for index, entry in enumerate(as_list(pods.get(_PREFERRED))):
            term = as_object(entry)
            _weight(f"{at}.{_PREFERRED}[{index}]", term, found)
            _pod_term(f"{at}.{_PREFERRED}[{index}].podAffinityTerm", as_object(term.get("podAffinityTerm")), found)


def _weight(field: str, term: JsonObject, found: Findings) -> None:
    weight = number(term.get("weight"))
    if not 1 <= weight <= 100:
        found.invalid(f"{field}.weight", weight, "must be in the range 1-100")


def check_node_selector(field: str, selector: JsonObject, found: Findings) -> None:
    """A selector of nodes: terms, of which one has to match."""
    terms = as_list(selector.get("nodeSelectorTerms"))
    if not terms:
        found.required(f"{field}.nodeSelectorTerms", "must have at least one node selector term")
    for index, entry in enumerate(terms):
        _node_term(f"{field}.nodeSelectorTerms[{index}]", as_object(entry), found)


def _node_term(field: str, term: JsonObject, found: Findings) -> None:
    for index, entry in enumerate(as_list(term.get("matchExpressions"))):
        requirement, at = as_object(entry), f"{field}.matchExpressions[{index}]"
        operator, values = requirement.get("operator"), as_list(requirement.get("values"))
        if operator in ("In", "NotIn"):
            if not values:
                found.required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                found.forbidden(f"{at}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        elif operator in ("Gt", "Lt"):
            if len(values) != 1:
                found.required(f"{at}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
        else:
            found.invalid(f"{at}.operator", operator, "not a valid selector operator")
        key = as_str(requirement.get("key"))
        found.each(f"{at}.key", key, names.qualified(key))
    for index, entry in enumerate(as_list(term.get("matchFields"))):
        requirement, at = as_object(entry), f"{field}.matchFields[{index}]"
        if requirement.get("key") != "metadata.name":
            found.invalid(f"{at}.key", requirement.get("key"), "not a valid field selector key")
        elif requirement.get("operator") not in ("In", "NotIn"):
            found.invalid(f"{at}.operator", requirement.get("operator"), "not a valid selector operator")
        elif len(as_list(requirement.get("values"))) != 1:
            found.required(
                f"{at}.values", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            )


def _pod_term(field: str, term: JsonObject, found: Findings) -> None:
    for name in ("labelSelector", "namespaceSelector"):
        if term.get(name) is not None:
            found.selector(f"{field}.{name}", term[name])
    for index, namespace in enumerate(as_list(term.get("namespaces"))):
        found.each(f"{field}.namespace[{index}]", namespace, names.label(as_str(namespace)))
    key = as_str(term.get("topologyKey"))
    if not key:
        found.required(f"{field}.topologyKey", "can not be empty")
    found.each(f"{field}.topologyKey", key, names.qualified(key))


def check_spreading(field: str, constraints: list[Json], found: Findings) -> None:
    """``topologySpreadConstraints``."""
    pairs = [
        (as_str(as_object(one).get("topologyKey")), as_str(as_object(one).get("whenUnsatisfiable")))
        for one in constraints
    ]
    for index, entry in enumerate(constraints):
        constraint, at = as_object(entry), f"{field}[{index}]"
        skew = number(constraint.get("maxSkew"))
        if skew <= 0:
            found.invalid(f"{at}.maxSkew", skew, "must be greater than zero")
        if not constraint.get("topologyKey"):
            found.required(f"{at}.topologyKey", "can not be empty")
        found.one_of(
            f"{at}.whenUnsatisfiable", constraint.get("whenUnsatisfiable"), ("DoNotSchedule", "ScheduleAnyway")
        )
        if pairs[index] in pairs[index + 1 :]:
            found.duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{pairs[index][0]}, {pairs[index][1]}}}")
        least = constraint.get("minDomains")
        if isinstance(least, int) and least <= 0:
            found.invalid(f"{at}.minDomains", least, "must be greater than zero")
        if constraint.get("labelSelector") is not None:
            found.selector(f"{at}.labelSelector", constraint["labelSelector"])


def check_taints(taints: list[Json], found: Findings) -> None:
    """The taints of a node; the API calls their field by another name."""
    seen: set[tuple[str, str]] = set()
    for index, entry in enumerate(taints):
        taint, at = as_object(entry), f"metadata.taints[{index}]"
        key, value, effect = (as_str(taint.get(name)) for name in ("key", "value", "effect"))
        found.each(f"{at}.key", key, names.qualified(key))
        found.each(f"{at}.value", value, names.label_value(value))
        if not effect:
            found.required(f"{at}.effect")
        else:
            found.one_of(f"{at}.effect", effect, EFFECTS)
        if (key, effect) in seen:
            from windtunnel_emulators.kubernetes.objects.causes import DUPLICATE, Cause, shown

            whole: JsonObject = {"Key": key, "Value": value, "Effect": effect, "TimeAdded": taint.get("timeAdded")}
            message = f"Duplicate value: {shown(whole)}: taints must be unique by key and effect pair"
            found.add([Cause(field=at, reason=DUPLICATE, message=message)])
        seen.add((key, effect))
