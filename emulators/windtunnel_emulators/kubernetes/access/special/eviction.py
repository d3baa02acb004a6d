"""``pods/eviction``: a pod is deleted if the disruption budgets of its namespace have room for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.access.interface import SpecialReply, SpecialSubresource
from windtunnel_emulators.kubernetes.access.special.binding import SUCCESS
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.deleting import Deletion
from windtunnel_emulators.kubernetes.api.failures import Failure, bad_request, failure, forbidden, not_found
from windtunnel_emulators.kubernetes.api.options import DeleteOptions
from windtunnel_emulators.kubernetes.api.requests import Target
from windtunnel_emulators.kubernetes.client.meta import entries, number, text
from windtunnel_emulators.kubernetes.objects.selectors import label_selector, labels_of

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.interface import SpecialRequest
    from windtunnel_emulators.kubernetes.access.state import State
    from windtunnel_emulators.kubernetes.api.deleting import Deleting

BUDGETS = "poddisruptionbudgets.policy"
_VIOLATION = "Cannot evict pod as it would violate the pod's disruption budget."
_RETRY_S = 10
_UNPROTECTED = ("Succeeded", "Failed", "Pending")


class Evictions:
    """Evicts pods of one cluster. ``deleting`` are the server's own deletions."""

    def __init__(self, state: State, deleting: Deleting) -> None:
        self._state = state
        self._deleting = deleting

    def special(self) -> SpecialSubresource:
        """As the server finds it."""
        return SpecialSubresource(
            group="", resource="pods", subresource="eviction", verbs=frozenset({"create"}), handle=self._evict
        )

    async def _evict(self, request: SpecialRequest) -> SpecialReply:
        said = meta.text(request.body, "name")
        if said and said != request.name:
            raise bad_request("name in URL does not match name in Eviction object")
        options = _options(as_object(request.body.get("deleteOptions")), dry_run=request.dry_run)
        pod = self._state.get("pods", request.namespace, request.name)
        if pod is None:
            raise not_found("", "pods", request.name)
        budget = None if _unprotected(pod) else self._budget(pod)
        if budget is not None and not _beside(pod, budget):
            await self._take(budget, pod, dry_run=options.dry_run)
        if not options.dry_run:
            await self._state.update("pods", request.namespace, request.name, self._marked)
        served = self._state.registry.find("", "v1", "pods")
        if served is None:
            raise not_found("", "pods", request.name)
        target = Target(group="", version="v1", plural="pods", namespace=request.namespace, name=request.name)
        await self._deleting.delete(Deletion(target=target, served=served, user=request.user, options=options))
        return SpecialReply(object=SUCCESS, code=201)

    def _budget(self, pod: JsonObject) -> JsonObject | None:
        labels = labels_of(pod)
        found = [
            budget
            for budget in self._state.objects(BUDGETS, meta.text(pod, "namespace"))
            if label_selector(as_object(budget.get("spec")).get("selector")).matches(labels)
        ]
        if len(found) > 1:
            message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            problem = failure(500, "", message)
            del problem.status["reason"]
            raise problem
        return found[0] if found else None

    async def _take(self, budget: JsonObject, pod: JsonObject, *, dry_run: bool) -> None:
        """One disruption less that the budget allows. Raises ``Failure`` 429."""
        now = meta.timestamp(self._state.now())
        name = meta.text(pod, "name")

        def taken(current: JsonObject) -> JsonObject:
            _check(current)
            status = as_object(current.get("status"))
            left = number(status, "disruptionsAllowed") - 1
            made: JsonObject = {
                **status,
                "disruptionsAllowed": left,
                "disruptedPods": {**as_object(status.get("disruptedPods")), name: now},
            }
            if left == 0:
                made["conditions"] = _exhausted(status, number(current, "metadata", "generation"), now)
            return {**current, "status": made}

        place = meta.text(budget, "namespace"), meta.text(budget, "name")
        await self._state.update(BUDGETS, *place, taken, dry_run=dry_run)

    def _marked(self, pod: JsonObject) -> JsonObject:
        """The pod says why it ends."""
        if meta.text(pod, "deletionTimestamp"):
            return pod
        condition: JsonObject = {
            "type": "DisruptionTarget",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": meta.timestamp(self._state.now()),
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }
        status = as_object(pod.get("status"))
        others: list[Json] = [
            one for one in as_list(status.get("conditions")) if as_object(one).get("type") != "DisruptionTarget"
        ]
        return {**pod, "status": {**status, "conditions": [*others, condition]}}


def _unprotected(pod: JsonObject) -> bool:
    return text(pod, "status", "phase") in _UNPROTECTED or bool(meta.text(pod, "deletionTimestamp"))


def _beside(pod: JsonObject, budget: JsonObject) -> bool:
    """Whether the pod is not ready and so does not count for the budget."""
    ready = any(
        one.get("type") == "Ready" and one.get("status") == "True" for one in entries(pod, "status", "conditions")
    )
    if ready:
        return False
    if text(budget, "spec", "unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    wanted = number(budget, "status", "desiredHealthy")
    return wanted > 0 and number(budget, "status", "currentHealthy") >= wanted


def _check(budget: JsonObject) -> None:
    name = meta.text(budget, "name")
    if number(budget, "status", "observedGeneration") < number(budget, "metadata", "generation"):
        raise _violation(f"The disruption budget {name} is still being processed by the server.", retry=True)
    allowed = number(budget, "status", "disruptionsAllowed")
    if allowed < 0:
        raise forbidden("policy", "poddisruptionbudget", name, "pdb disruptions allowed is negative")
    if allowed == 0:
        wanted, healthy = number(budget, "status", "desiredHealthy"), number(budget, "status", "currentHealthy")
        raise _violation(f"The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently")


def _violation(why: str, *, retry: bool = False) -> Failure:
    details: JsonObject = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if retry:
        details["retryAfterSeconds"] = _RETRY_S
    problem = failure(429, "TooManyRequests", _VIOLATION, details)
    if retry:
        problem.headers = ((b"retry-after", str(_RETRY_S).encode()),)
    return problem


def _exhausted(status: JsonObject, generation: int, now: str) -> list[Json]:
    conditions: list[Json] = []
    for one in as_list(status.get("conditions")):
        condition = as_object(one)
        if condition.get("type") == "DisruptionAllowed" and condition.get("status") == "True":
            condition = {
                **condition,
                "status": "False",
                "reason": "InsufficientPods",
                "observedGeneration": generation,
                "lastTransitionTime": now,
            }
        conditions.append(condition)
    return conditions


def _options(found: JsonObject, *, dry_run: bool) -> DeleteOptions:
    grace, preconditions = found.get("gracePeriodSeconds"), as_object(found.get("preconditions"))
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
        raise bad_request("deleteOptions.gracePeriodSeconds of an Eviction is a whole number")
    return DeleteOptions(
        dry_run=dry_run or "All" in as_list(found.get("dryRun")),
        grace_s=grace,
        policy=as_str(found.get("propagationPolicy")),
        uid=as_str(preconditions.get("uid")),
        version=as_str(preconditions.get("resourceVersion")),
    )
