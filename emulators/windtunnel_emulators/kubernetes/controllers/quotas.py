"""What is used of each ResourceQuota: its status, which admission compares requests with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.discovery import discover
from windtunnel_emulators.kubernetes.client.kinds import (
    CONFIG_MAP,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    REPLICATION_CONTROLLER,
    RESOURCE_QUOTA,
    SECRET,
    SERVICE,
)
from windtunnel_emulators.kubernetes.client.meta import (
    deleting,
    dig,
    entries,
    key_of,
    mapping,
    namespace_of,
    strings,
    text,
    words,
)
from windtunnel_emulators.kubernetes.controllers.controller import Controller
from windtunnel_emulators.kubernetes.controllers.pods import finished
from windtunnel_emulators.kubernetes.objects.quantities import ZERO, Quantity, QuantityError, canonical, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Kind

_COUNTED: Mapping[str, Kind] = {
    "configmaps": CONFIG_MAP,
    "persistentvolumeclaims": PERSISTENT_VOLUME_CLAIM,
    "replicationcontrollers": REPLICATION_CONTROLLER,
    "resourcequotas": RESOURCE_QUOTA,
    "secrets": SECRET,
    "services": SERVICE,
}
_BY_SERVICE = ("services.loadbalancers", "services.nodeports")


def in_scope(quota: JsonObject, pod: JsonObject) -> bool:
    """Whether the quota's scopes take the pod in."""
    requirements: list[JsonObject] = [
        {"scopeName": each, "operator": "Exists"} for each in words(quota, "spec", "scopes")
    ]
    requirements += entries(quota, "spec", "scopeSelector", "matchExpressions")
    return all(_scope_holds(each, pod) for each in requirements)


def _scope_holds(requirement: JsonObject, pod: JsonObject) -> bool:
    ends = isinstance(dig(pod, "spec", "activeDeadlineSeconds"), int)
    best_effort = text(pod, "status", "qosClass") == "BestEffort" or not any(
        mapping(each, "resources", part)
        for each in entries(pod, "spec", "containers")
        for part in ("requests", "limits")
    )
    match text(requirement, "scopeName"):
        case "Terminating":
            return ends
        case "NotTerminating":
            return not ends
        case "BestEffort":
            return best_effort
        case "NotBestEffort":
            return not best_effort
        case "PriorityClass":
            has, values = text(pod, "spec", "priorityClassName"), words(requirement, "values")
            match text(requirement, "operator"):
                case "In":
                    return has in values
                case "NotIn":
                    return has not in values
                case "DoesNotExist":
                    return not has
                case _:
                    return bool(has)
        case "CrossNamespacePodAffinity":
            return any(
                words(term, "namespaces") or term.get("namespaceSelector") is not None
                for part in ("podAffinity", "podAntiAffinity")
                for term in entries(pod, "spec", "affinity", part, "requiredDuringSchedulingIgnoredDuringExecution")
            )
        case _:
            return False


def pod_use(resource: str, pods: Sequence[JsonObject]) -> Quantity | None:
    """The pods' use of a resource that quotas name; None for one that is not of pods."""
    if resource in ("pods", "count/pods"):
        return read(len(pods))
    part, name = "requests", resource
    if resource.startswith(("requests.", "limits.")):
        part, _, name = resource.partition(".")
    elif resource not in ("cpu", "memory", "ephemeral-storage") and not resource.startswith("hugepages-"):
        return None
    if name == "storage":
        return None
    total = ZERO
    for pod in pods:
        total += _pod_amount(pod, part, name)
    return total


def _pod_amount(pod: JsonObject, part: str, name: str) -> Quantity:
    def amount(container: JsonObject) -> Quantity:
        try:
            return read(dig(container, "resources", part, name) or 0)
        except QuantityError:
            return ZERO

    total = ZERO
    for each in entries(pod, "spec", "containers"):
        total += amount(each)
    for each in entries(pod, "spec", "initContainers"):
        if text(each, "restartPolicy") == "Always":
            total += amount(each)
    for each in entries(pod, "spec", "initContainers"):
        if text(each, "restartPolicy") != "Always":
            total = max(total, amount(each), key=lambda quantity: quantity.amount)
    return total


def used_of(
    quota: JsonObject, pods: Iterable[JsonObject], others: Mapping[str, Sequence[JsonObject]]
) -> dict[str, Quantity]:
    """The use of each of the quota's resources that can be told from these objects, by plural."""
    counted = [pod for pod in pods if not finished(pod) and in_scope(quota, pod)]
    used: dict[str, Quantity] = {}
    for resource in strings(quota, "spec", "hard"):
        amount = pod_use(resource, counted)
        if amount is not None:
            used[resource] = amount
            continue
        if resource in _BY_SERVICE:
            used[resource] = read(sum(_service_use(resource, each) for each in others.get("services", ())))
        elif resource == "requests.storage" or resource.endswith(".storageclass.storage.k8s.io/requests.storage"):
            used[resource] = _storage(resource, others.get("persistentvolumeclaims", ()))
        elif resource.endswith(".storageclass.storage.k8s.io/persistentvolumeclaims"):
            wanted = resource.partition(".storageclass")[0]
            claims = others.get("persistentvolumeclaims", ())
            used[resource] = read(sum(1 for each in claims if text(each, "spec", "storageClassName") == wanted))
        else:
            plural = resource.removeprefix("count/")
            if plural in others:
                used[resource] = read(len(others[plural]))
    return used


def _service_use(resource: str, service: JsonObject) -> int:
    type_ = text(service, "spec", "type")
    if resource == "services.loadbalancers":
        return 1 if type_ == "LoadBalancer" else 0
    if type_ not in ("NodePort", "LoadBalancer"):
        return 0
    return sum(1 for port in entries(service, "spec", "ports") if port.get("nodePort"))


def _storage(resource: str, claims: Iterable[JsonObject]) -> Quantity:
    wanted = resource.partition(".storageclass")[0] if ".storageclass" in resource else None
    total = ZERO
    for each in claims:
        if wanted is None or text(each, "spec", "storageClassName") == wanted:
            total += read(dig(each, "spec", "resources", "requests", "storage") or 0)
    return total


class Quotas(Controller):
    """The controller of ResourceQuotas."""

    name = "resourcequota-controller"

    def prepare(self) -> None:
        self._quotas = self.watch(RESOURCE_QUOTA)
        self._pods = self.objects.informer(POD)
        for kind in {POD, *_COUNTED.values()} - {RESOURCE_QUOTA}:
            self.objects.informer(kind).add_handler(self._changed)

    def _changed(self, old: JsonObject | None, new: JsonObject | None) -> None:
        known = new if new is not None else old
        if known is None:
            return
        if (
            old is not None
            and new is not None
            and old.get("spec") == new.get("spec")
            and finished(old) == finished(new)
        ):
            return
        for quota in self._quotas.objects(namespace_of(known)):
            self.queue.add(key_of(quota))

    async def reconcile(self, key: str) -> None:
        quota = self._quotas.by_key(key)
        if quota is None or deleting(quota):
            return
        namespace = namespace_of(quota)
        hard = strings(quota, "spec", "hard")
        others: dict[str, Sequence[JsonObject]] = {
            plural: self.objects.informer(kind).objects(namespace) for plural, kind in _COUNTED.items()
        }
        for resource in hard:
            plural = resource.removeprefix("count/")
            if resource.startswith("count/") and plural not in others and plural != "pods":
                others[plural] = await self._count(plural, namespace)
        used: dict[str, Json] = {
            resource: canonical(amount)
            for resource, amount in used_of(quota, self._pods.objects(namespace), others).items()
        }
        status: JsonObject = {"hard": dict(hard), "used": used}
        if status != mapping(quota, "status"):
            await self.objects.update_status(RESOURCE_QUOTA, {**quota, "status": status})
        if any(each.startswith("count/") for each in hard):
            # Kinds that nothing here watches are counted again after a while.
            self.queue.add_after(key, self.settings.quota_resync_s)

    async def _count(self, resource: str, namespace: str) -> list[JsonObject]:
        plural, _, group = resource.partition(".")
        for each in (await discover(self.objects.client)).served:
            if each.kind.plural == plural and each.kind.group == group and "list" in each.verbs:
                return await self.objects.list(each.kind, namespace)
        return []
