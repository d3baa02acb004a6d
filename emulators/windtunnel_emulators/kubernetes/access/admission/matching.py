"""Whether a write is one of those that a policy or a webhook is for: rules of resources, selectors, conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects.selectors import label_selector, labels_of

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Admission
    from windtunnel_emulators.kubernetes.access.state import State

_ALL = "*"
_EXEMPT = frozenset(
    {
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
    }
)
"""Whoever has locked everybody out must be able to undo it."""


def exempt(admission: Admission) -> bool:
    """Whether neither policies nor webhooks are asked."""
    return admission.kind.group == "admissionregistration.k8s.io" and admission.kind.plural in _EXEMPT


def rule_matches(rule: JsonObject, admission: Admission) -> bool:
    """Whether a ``RuleWithOperations`` is for a write."""
    kind = admission.kind
    for name, value in (("operations", admission.operation), ("apiGroups", kind.group), ("apiVersions", kind.version)):
        found = as_list(rule.get(name))
        if value not in found and _ALL not in found:
            return False
    scope = as_str(rule.get("scope")) or _ALL
    if scope != _ALL and (scope == "Namespaced") != kind.namespaced:
        return False
    names = as_list(rule.get("resourceNames"))
    if names and admission.name not in names:
        return False
    return any(
        _resource_matches(as_str(one), kind.plural, admission.subresource) for one in as_list(rule.get("resources"))
    )


def _resource_matches(pattern: str, plural: str, subresource: str) -> bool:
    resource, _, sub = pattern.partition("/")
    if resource not in (_ALL, plural):
        return False
    return sub in (_ALL, subresource) if "/" in pattern else not subresource


def selected(selectors: JsonObject, admission: Admission, state: State) -> bool:
    """Whether a write passes ``namespaceSelector`` and ``objectSelector``."""
    chosen = as_object(selectors.get("namespaceSelector"))
    if chosen:
        namespace = namespace_of(admission, state)
        if namespace is not None and not label_selector(chosen).matches(labels_of(namespace)):
            return False
    wanted = as_object(selectors.get("objectSelector"))
    if not wanted:
        return True
    selector = label_selector(wanted)
    return any(whole is not None and selector.matches(labels_of(whole)) for whole in (admission.object, admission.old))


def namespace_of(admission: Admission, state: State) -> JsonObject | None:
    """The namespace that a write is in; a namespace is its own."""
    if admission.kind.group == "" and admission.kind.plural == "namespaces":
        return admission.object or admission.old
    return state.get("namespaces", "", admission.namespace) if admission.namespace else None


def resources_match(resources: JsonObject, admission: Admission, state: State) -> bool:
    """Whether a write is of a policy's ``matchConstraints`` or a binding's ``matchResources``."""
    if not selected(resources, admission, state):
        return False
    if any(rule_matches(as_object(rule), admission) for rule in as_list(resources.get("excludeResourceRules"))):
        return False
    rules = resources.get("resourceRules")
    return not rules or any(rule_matches(as_object(rule), admission) for rule in as_list(rules))


def described(admission: Admission) -> JsonObject:
    """The write as an ``AdmissionRequest`` without its objects."""
    kind = admission.kind
    shown: JsonObject = {"group": kind.group, "version": kind.version, "kind": kind.name}
    resource: JsonObject = {"group": kind.group, "version": kind.version, "resource": kind.plural}
    found: JsonObject = {
        "kind": shown,
        "resource": resource,
        "requestKind": {**shown},
        "requestResource": {**resource},
        "name": admission.name,
        "operation": admission.operation,
        "userInfo": admission.user.json(),
        "dryRun": admission.dry_run,
        "options": _options(admission),
    }
    if admission.subresource:
        found["subResource"] = admission.subresource
        found["requestSubResource"] = admission.subresource
    if admission.namespace:
        found["namespace"] = admission.namespace
    return found


def _options(admission: Admission) -> Json:
    if admission.options:
        return admission.options
    name = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}.get(admission.operation)
    return None if name is None else {"kind": name, "apiVersion": "meta.k8s.io/v1"}
