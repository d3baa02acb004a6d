"""Rules of what owns pods: Deployments, ReplicaSets, DaemonSets, StatefulSets, replication controllers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_object, as_str
from windtunnel_emulators.kubernetes.objects import names
from windtunnel_emulators.kubernetes.objects.findings import Findings, is_zero, number
from windtunnel_emulators.kubernetes.objects.podrules import check_template
from windtunnel_emulators.kubernetes.objects.selectors import SelectorError, label_selector

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

_MISMATCH = "`selector` does not match template `labels`"
_IMMUTABLE = "field is immutable"
_STATEFUL_MESSAGE = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy',"
    " 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_STATEFUL_MUTABLE = frozenset(
    {
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    }
)


def template_labels(spec: JsonObject) -> Json:
    """The labels of a specification's template; null when there are none."""
    labels = as_object(as_object(spec.get("template")).get("metadata")).get("labels")
    return {name: labels[name] for name in sorted(labels)} if isinstance(labels, dict) else labels


def check_selector(spec: JsonObject, found: Findings, what: str) -> None:
    """The selector is there, right, and matches the template."""
    selector = spec.get("selector")
    if selector is None:
        found.required("spec.selector")
        found.invalid("spec.template.metadata.labels", template_labels(spec), _MISMATCH)
        return
    right = found.selector("spec.selector", selector)
    if not as_object(selector):
        found.invalid("spec.selector", selector, f"empty selector is invalid for {what}")
        return
    matches = False
    try:
        matches = right and label_selector(selector).matches(as_object(template_labels(spec)))
    except SelectorError:
        right = False
    if not right:
        found.invalid("spec.selector", selector, "invalid label selector")
    elif not matches:
        found.invalid("spec.template.metadata.labels", template_labels(spec), _MISMATCH)


def _check_template(spec: JsonObject, found: Findings, owner: str) -> None:
    check_template("spec.template", as_object(spec.get("template")), found)
    pod = as_object(as_object(spec.get("template")).get("spec"))
    if pod.get("restartPolicy") not in (None, "Always"):
        found.unsupported("spec.template.spec.restartPolicy", pod["restartPolicy"], ("Always",))
    if pod.get("activeDeadlineSeconds") is not None:
        found.forbidden(
            "spec.template.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {owner} is not Supported"
        )


def _go_strategy(strategy: JsonObject) -> JsonObject:
    return {"Type": strategy.get("type", ""), "RollingUpdate": strategy.get("rollingUpdate")}


def check_deployment(whole: JsonObject, found: Findings) -> None:
    spec = as_object(whole.get("spec"))
    found.not_negative("spec.replicas", spec.get("replicas"))
    check_selector(spec, found, "deployment")
    _check_template(spec, found, "ReplicaSet")
    strategy = as_object(spec.get("strategy"))
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    field = "spec.strategy.rollingUpdate"
    if kind == "Recreate":
        if rolling is not None:
            found.forbidden(field, "may not be specified when strategy `type` is 'Recreate'")
    elif kind == "RollingUpdate":
        if rolling is None:
            found.required(field, "this should be defaulted and never be nil")
        else:
            surge, unavailable = as_object(rolling).get("maxSurge"), as_object(rolling).get("maxUnavailable")
            found.amount_or_percent(f"{field}.maxUnavailable", unavailable)
            found.amount_or_percent(f"{field}.maxSurge", surge, most_all=False)
            if is_zero(surge) and is_zero(unavailable):
                found.invalid(f"{field}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    else:
        found.unsupported("spec.strategy", _go_strategy(strategy), ("Recreate", "RollingUpdate"))
    found.not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    found.not_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
    deadline = spec.get("progressDeadlineSeconds")
    if isinstance(deadline, int):
        found.not_negative("spec.progressDeadlineSeconds", deadline)
        if deadline <= number(spec.get("minReadySeconds")):
            found.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def check_replica_set(whole: JsonObject, found: Findings) -> None:
    spec = as_object(whole.get("spec"))
    found.not_negative("spec.replicas", spec.get("replicas"))
    found.not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    check_selector(spec, found, "deployment")
    _check_template(spec, found, "ReplicaSet")


def check_daemon_set(whole: JsonObject, found: Findings) -> None:
    spec = as_object(whole.get("spec"))
    if spec.get("selector") is None:
        found.invalid("spec.template.metadata.labels", template_labels(spec), _MISMATCH)
    else:
        check_selector(spec, found, "daemonset")
    _check_template(spec, found, "DaemonSet")
    found.not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    strategy = as_object(spec.get("updateStrategy"))
    rolling = as_object(strategy.get("rollingUpdate"))
    field = "spec.updateStrategy.rollingUpdate"
    if strategy.get("type") == "RollingUpdate":
        surge, unavailable = rolling.get("maxSurge"), rolling.get("maxUnavailable")
        found.amount_or_percent(f"{field}.maxUnavailable", unavailable)
        found.amount_or_percent(f"{field}.maxSurge", surge)
        if is_zero(surge) and is_zero(unavailable):
            found.required(f"{field}.maxUnavailable", "cannot be 0 when maxSurge is 0")
        elif not is_zero(surge) and not is_zero(unavailable):
            found.invalid(f"{field}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")
    elif strategy.get("type") != "OnDelete":
        found.unsupported("spec.updateStrategy", _go_strategy(strategy), ("RollingUpdate", "OnDelete"))
    found.not_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))


def check_stateful_set(whole: JsonObject, found: Findings) -> None:
    spec = as_object(whole.get("spec"))
    policy = spec.get("podManagementPolicy")
    if policy not in ("OrderedReady", "Parallel"):
        found.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    strategy = as_object(spec.get("updateStrategy"))
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "RollingUpdate":
        found.not_negative("spec.updateStrategy.rollingUpdate.partition", as_object(rolling).get("partition"))
    elif kind == "OnDelete":
        if rolling is not None:
            found.invalid(
                "spec.updateStrategy.rollingUpdate", rolling, "only allowed for updateStrategy 'RollingUpdate'"
            )
    else:
        found.invalid("spec.updateStrategy", _go_strategy(strategy), "must be 'RollingUpdate' or 'OnDelete'")
    retention = as_object(spec.get("persistentVolumeClaimRetentionPolicy"))
    for name in ("whenDeleted", "whenScaled"):
        found.one_of(f"spec.persistentVolumeClaimRetentionPolicy.{name}", retention.get(name), ("Retain", "Delete"))
    found.not_negative("spec.replicas", spec.get("replicas"))
    found.not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    service = as_str(spec.get("serviceName"))
    if service:
        found.each("spec.serviceName", service, names.label(service))
    check_selector(spec, found, "statefulset")
    _check_template(spec, found, "StatefulSet")


def check_replication_controller(whole: JsonObject, found: Findings) -> None:
    spec = as_object(whole.get("spec"))
    found.not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    selector = as_object(spec.get("selector"))
    if not selector:
        found.required("spec.selector")
    found.not_negative("spec.replicas", spec.get("replicas"))
    if spec.get("template") is None:
        found.required("spec.template")
        return
    labels = as_object(template_labels(spec))
    if selector and any(labels.get(name) != value for name, value in selector.items()):
        found.invalid("spec.template.metadata.labels", template_labels(spec), _MISMATCH)
    _check_template(spec, found, "ReplicationController")


def check_same_selector(old: JsonObject, new: JsonObject, found: Findings) -> None:
    """A selector stays as it is."""
    before, after = as_object(old.get("spec")).get("selector"), as_object(new.get("spec")).get("selector")
    if before != after:
        found.invalid("spec.selector", after, _IMMUTABLE)


def check_stateful_update(old: JsonObject, new: JsonObject, found: Findings) -> None:
    """Most of a StatefulSet stays as it is."""
    before, after = as_object(old.get("spec")), as_object(new.get("spec"))
    frozen = {*before, *after} - _STATEFUL_MUTABLE
    if any(before.get(name) != after.get(name) for name in frozen):
        found.forbidden("spec", _STATEFUL_MESSAGE)
