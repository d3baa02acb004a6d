"""How many pods of each PodDisruptionBudget may be evicted now: its status, which the eviction API acts on."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.discovery import discover
from windtunnel_emulators.kubernetes.client.interface import Kind, KubernetesProblem, StatusError
from windtunnel_emulators.kubernetes.client.kinds import (
    DEPLOYMENT,
    POD,
    POD_DISRUPTION_BUDGET,
    REPLICA_SET,
    REPLICATION_CONTROLLER,
    STATEFUL_SET,
)
from windtunnel_emulators.kubernetes.client.meta import (
    condition,
    controller_of,
    deleting,
    dig,
    key_of,
    labels_of,
    mapping,
    name_of,
    namespace_of,
    number,
    parse_time,
    strings,
    text,
    timestamp,
    uid_of,
)
from windtunnel_emulators.kubernetes.client.recorder import WARNING
from windtunnel_emulators.kubernetes.client.selectors import matches
from windtunnel_emulators.kubernetes.controllers.controller import Controller
from windtunnel_emulators.kubernetes.controllers.deployments.rollout import share
from windtunnel_emulators.kubernetes.controllers.pods import finished, ready

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from windtunnel_emulators.jsontypes import JsonObject

# An eviction that was granted and has not shown up as a deletion for so long is forgotten.
_GRANT_S = 120.0


def desired(budget: JsonObject, pods: int, expected: int) -> tuple[int, int]:
    """(expected, healthy ones wanted): by minAvailable or maxUnavailable. ``expected`` is what controllers want."""
    unavailable, available = dig(budget, "spec", "maxUnavailable"), dig(budget, "spec", "minAvailable")
    if unavailable is not None:
        return expected, max(expected - share(unavailable, expected, up=True), 0)
    if isinstance(available, int):
        return pods, available
    return expected, share(available, expected, up=True)


def needs_scale(budget: JsonObject) -> bool:
    """Whether the number of pods that controllers want matters."""
    return dig(budget, "spec", "maxUnavailable") is not None or isinstance(dig(budget, "spec", "minAvailable"), str)


def status_of(budget: JsonObject, pods: Sequence[JsonObject], expected: int, now: datetime) -> JsonObject:
    granted = {
        name: at
        for name, at in strings(budget, "status", "disruptedPods").items()
        if (moment := parse_time(at)) is not None
        and moment + timedelta(seconds=_GRANT_S) > now
        and any(name_of(pod) == name and not deleting(pod) for pod in pods)
    }
    healthy = sum(1 for pod in pods if ready(pod) and not deleting(pod) and name_of(pod) not in granted)
    counted, wanted = desired(budget, len(pods), expected)
    allowed = 0 if counted <= 0 else max(healthy - wanted, 0)
    enough = allowed > 0
    known = condition(budget, "DisruptionAllowed")
    same = known is not None and known.get("status") == ("True" if enough else "False")
    status: JsonObject = {
        "observedGeneration": number(budget, "metadata", "generation"),
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": wanted,
        "expectedPods": counted,
        "conditions": [
            {
                "type": "DisruptionAllowed",
                "status": "True" if enough else "False",
                "observedGeneration": number(budget, "metadata", "generation"),
                "lastTransitionTime": known["lastTransitionTime"] if known and same else timestamp(now),
                "reason": "SufficientPods" if enough else "InsufficientPods",
                "message": "",
            }
        ],
    }
    if granted:
        status["disruptedPods"] = dict(granted)
    return status


class Disruption(Controller):
    """The controller of PodDisruptionBudgets."""

    name = "disruption-controller"
    component = "controllermanager"

    def prepare(self) -> None:
        self._budgets = self.watch(POD_DISRUPTION_BUDGET)
        self._pods = self.watch(POD, self._keys_of_pod)
        for kind in (REPLICA_SET, DEPLOYMENT, STATEFUL_SET, REPLICATION_CONTROLLER):
            self.objects.informer(kind).add_handler(self._owner_changed)

    def _keys_of_pod(self, pod: JsonObject) -> Iterable[str]:
        for budget in self._budgets.objects(namespace_of(pod)):
            if matches(dig(budget, "spec", "selector"), labels_of(pod)):
                yield key_of(budget)

    def _owner_changed(self, old: JsonObject | None, new: JsonObject | None) -> None:
        if new is not None and (old is None or dig(old, "spec", "replicas") != dig(new, "spec", "replicas")):
            for budget in self._budgets.objects(namespace_of(new)):
                if needs_scale(budget):
                    self.queue.add(key_of(budget))

    async def reconcile(self, key: str) -> None:
        budget = self._budgets.by_key(key)
        if budget is None or deleting(budget):
            return
        selector = dig(budget, "spec", "selector")
        pods = [
            pod
            for pod in self._pods.objects(namespace_of(budget))
            if matches(selector, labels_of(pod)) and not finished(pod)
        ]
        now = self.clock.now()
        try:
            expected = await self._expected(pods) if needs_scale(budget) else len(pods)
        except KubernetesProblem as failure:
            said = f"Failed to calculate the number of expected pods: {failure}"
            self.recorder.event(budget, WARNING, "CalculateExpectedPodCountFailed", said)
            await self._failed(budget, str(failure), now)
            return
        status = status_of(budget, pods, expected, now)
        if mapping(status, "disruptedPods"):
            self.queue.add_after(key, _GRANT_S)
        if status != mapping(budget, "status"):
            await self.objects.update_status(POD_DISRUPTION_BUDGET, {**budget, "status": status})

    async def _failed(self, budget: JsonObject, message: str, now: datetime) -> None:
        """Nothing may be evicted while what is expected is not known."""
        known = condition(budget, "DisruptionAllowed")
        same = known is not None and known.get("reason") == "SyncFailed"
        status: JsonObject = {
            **mapping(budget, "status"),
            "disruptionsAllowed": 0,
            "observedGeneration": number(budget, "metadata", "generation"),
            "conditions": [
                {
                    "type": "DisruptionAllowed",
                    "status": "False",
                    "observedGeneration": number(budget, "metadata", "generation"),
                    "lastTransitionTime": known["lastTransitionTime"] if known and same else timestamp(now),
                    "reason": "SyncFailed",
                    "message": message,
                }
            ],
        }
        if status != mapping(budget, "status"):
            await self.objects.update_status(POD_DISRUPTION_BUDGET, {**budget, "status": status})

    async def _expected(self, pods: Sequence[JsonObject]) -> int:
        """The sum of what the controllers of the pods want, each counted once."""
        wanted: dict[str, int] = {}
        for pod in pods:
            owner = controller_of(pod)
            if owner is None:
                raise StatusError({"code": 404, "message": f"found no controller ref for pod {name_of(pod)!r}"})
            if text(owner, "uid") not in wanted:
                uid, scale = await self._scale(namespace_of(pod), owner)
                wanted[text(owner, "uid")] = 0
                wanted[uid] = scale
        return sum(wanted.values())

    async def _scale(self, namespace: str, owner: JsonObject) -> tuple[str, int]:
        for kind in (REPLICA_SET, STATEFUL_SET, REPLICATION_CONTROLLER):
            if kind.name == text(owner, "kind") and kind.api_version == text(owner, "apiVersion"):
                found = self.objects.informer(kind).get(namespace, text(owner, "name"))
                if found is None or uid_of(found) != text(owner, "uid"):
                    return text(owner, "uid"), 0
                above = controller_of(found)
                if above is not None and text(above, "kind") == DEPLOYMENT.name:
                    deployment = self.objects.informer(DEPLOYMENT).get(namespace, text(above, "name"))
                    if deployment is not None:
                        return uid_of(deployment), number(deployment, "spec", "replicas", default=1)
                return uid_of(found), number(found, "spec", "replicas", default=1)
        found_kind: Kind | None = (await discover(self.objects.client)).find(
            text(owner, "apiVersion"), text(owner, "kind")
        )
        if found_kind is None:
            raise StatusError({"code": 404, "message": f"no kind {text(owner, 'kind')!r} is served"})
        path = found_kind.path(namespace, text(owner, "name"), "scale")
        scale = await self.objects.client.request("GET", path)
        return text(owner, "uid"), number(scale, "spec", "replicas")
