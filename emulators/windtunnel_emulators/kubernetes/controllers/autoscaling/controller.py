"""Scales what HorizontalPodAutoscalers name, by what ``metrics.k8s.io`` measures.

The custom and external metrics APIs are not served here: metrics of theirs are reported as failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.discovery import discover
from windtunnel_emulators.kubernetes.client.interface import Kind, KubernetesProblem, StatusError
from windtunnel_emulators.kubernetes.client.kinds import (
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    POD,
    POD_METRICS,
    REPLICA_SET,
    REPLICATION_CONTROLLER,
    STATEFUL_SET,
)
from windtunnel_emulators.kubernetes.client.meta import (
    dig,
    entries,
    key_of,
    mapping,
    name_of,
    namespace_of,
    number,
    optional_number,
    text,
    timestamp,
)
from windtunnel_emulators.kubernetes.client.recorder import NORMAL, WARNING
from windtunnel_emulators.kubernetes.controllers.autoscaling.behavior import History, decide
from windtunnel_emulators.kubernetes.controllers.autoscaling.replicas import (
    Measured,
    MetricProblem,
    Readiness,
    Tolerance,
    measured,
    replicas_for,
)
from windtunnel_emulators.kubernetes.controllers.controller import Controller
from windtunnel_emulators.kubernetes.objects.quantities import QuantityError, read

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

_KNOWN = {(kind.group, kind.name): kind for kind in (DEPLOYMENT, REPLICA_SET, REPLICATION_CONTROLLER, STATEFUL_SET)}


class _Failed(Exception):
    """No size can be computed: (reason of the condition, what is said of it)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Autoscalers(Controller):
    """The controller of HorizontalPodAutoscalers."""

    name = "horizontal-pod-autoscaler"
    workers = 2

    def prepare(self) -> None:
        self._histories: dict[str, History] = {}
        self._autoscalers = self.objects.informer(HORIZONTAL_POD_AUTOSCALER)
        self._autoscalers.add_handler(self._changed)

    def _changed(self, old: JsonObject | None, new: JsonObject | None) -> None:
        if new is None:
            if old is not None:
                self._histories.pop(key_of(old), None)
        elif old is None or old.get("spec") != new.get("spec"):
            self.queue.add(key_of(new))

    async def reconcile(self, key: str) -> None:
        autoscaler = self._autoscalers.by_key(key)
        if autoscaler is None:
            return
        self.queue.add_after(key, self.settings.hpa_sync_period_s)
        pass_ = _Pass(self, autoscaler, self._histories.setdefault(key, History()))
        await pass_.run()


class _Pass:
    """One look at one autoscaler."""

    def __init__(self, controller: Autoscalers, autoscaler: JsonObject, history: History) -> None:
        self._controller = controller
        self._objects = controller.objects
        self._settings = controller.settings
        self._autoscaler = autoscaler
        self._history = history
        self._now = controller.clock.now()
        self._conditions: list[Json] = [dict(each) for each in entries(autoscaler, "status", "conditions")]
        self._metrics: list[Json] = []

    async def run(self) -> None:
        spec, name = mapping(self._autoscaler, "spec"), text(self._autoscaler, "spec", "scaleTargetRef", "name")
        try:
            kind = await self._target()
            scale = await self._objects.client.request("GET", kind.path(namespace_of(self._autoscaler), name, "scale"))
        except KubernetesProblem as failure:
            self._event(WARNING, "FailedGetScale", str(failure))
            said = f"the HPA controller was unable to get the target's current scale: {failure}"
            self._set("AbleToScale", False, "FailedGetScale", said)
            await self._write(number(self._autoscaler, "status", "currentReplicas"), None)
            return
        said = "the HPA controller was able to get the target's current scale"
        self._set("AbleToScale", True, "SucceededGetScale", said)
        current = number(scale, "spec", "replicas")
        least, most = number(spec, "minReplicas", default=1), number(spec, "maxReplicas")
        why = ""
        if current == 0 and least != 0:
            said = "scaling is disabled since the replica count of the target is zero"
            self._set("ScalingActive", False, "ScalingDisabled", said)
            await self._write(current, 0)
            return
        if current > most:
            wanted, why = most, "Current number of replicas above Spec.MaxReplicas"
        elif current < least:
            wanted, why = least, "Current number of replicas below Spec.MinReplicas"
        else:
            try:
                called_for, metric = await self._recommended(scale, current)
            except _Failed as failure:
                self._set("ScalingActive", False, failure.reason, str(failure))
                await self._write(current, None)
                return
            if called_for > current:
                why = f"{metric} above target"
            elif called_for < current:
                why = "All metrics below target"
            decision = decide(
                spec,
                self._history,
                current=current,
                wanted=called_for,
                now=self._controller.clock.monotonic(),
                downscale_window_s=self._settings.hpa_downscale_stabilization_s,
            )
            wanted = decision.replicas
            self._set("AbleToScale", True, *decision.able)
            self._set("ScalingLimited", decision.limited, *decision.limit)
        if wanted != current and not await self._rescale(kind, scale, current, wanted, why):
            return
        await self._write(current, wanted, scaled=wanted != current)

    async def _target(self) -> Kind:
        version = text(self._autoscaler, "spec", "scaleTargetRef", "apiVersion")
        name = text(self._autoscaler, "spec", "scaleTargetRef", "kind")
        known = _KNOWN.get((version.rpartition("/")[0], name))
        found = known or (await discover(self._objects.client)).find(version, name)
        if found is None:
            raise StatusError(
                {"code": 404, "message": f'no matches for kind "{name}" in group "{version.rpartition("/")[0]}"'}
            )
        return found

    async def _rescale(self, kind: Kind, scale: JsonObject, current: int, wanted: int, why: str) -> bool:
        namespace, name = namespace_of(scale) or namespace_of(self._autoscaler), name_of(scale)
        body: JsonObject = {**scale, "spec": {**mapping(scale, "spec"), "replicas": wanted}}
        try:
            await self._objects.client.request("PUT", kind.path(namespace, name, "scale"), body=body)
        except KubernetesProblem as failure:
            self._event(WARNING, "FailedRescale", f"New size: {wanted}; reason: {why}; error: {failure}")
            said = f"the HPA controller was unable to update the target scale: {failure}"
            self._set("AbleToScale", False, "FailedUpdateScale", said)
            await self._write(current, current)
            return False
        said = f"the HPA controller was able to update the target scale to {wanted}"
        self._set("AbleToScale", True, "SucceededRescale", said)
        self._event(NORMAL, "SuccessfulRescale", f"New size: {wanted}; reason: {why}")
        self._history.scaled(self._controller.clock.monotonic(), current, wanted)
        return True

    # Metrics

    async def _recommended(self, scale: JsonObject, current: int) -> tuple[int, str]:
        """The most that any metric calls for, and that metric's name."""
        selector = text(scale, "status", "selector")
        if not selector:
            self._event(WARNING, "SelectorRequired", "selector is required")
            raise _Failed("InvalidSelector", "the HPA target's scale is missing a selector")
        pods = await self._objects.list(POD, namespace_of(self._autoscaler), label_selector=selector)
        specs = entries(self._autoscaler, "spec", "metrics")
        best: tuple[int, str] | None = None
        failures: list[tuple[str, str, str]] = []
        for each in specs:
            try:
                replicas, name = await self._one(each, selector, pods, current)
            except MetricProblem as failure:
                failures.append(_described(each, str(failure)))
                continue
            if best is None or replicas > best[0]:
                best = (replicas, name)
        if failures and (best is None or best[0] < current):
            reason, said, short = failures[0]
            self._event(WARNING, reason, short)
            first = f"invalid metrics ({len(failures)} invalid out of {len(specs)}), first error is: {said}"
            self._event(WARNING, "FailedComputeMetricsReplicas", first)
            raise _Failed(reason, f"the HPA was unable to compute the replica count: {short}")
        if best is None:
            raise _Failed("InvalidMetricSourceType", "the HPA was unable to compute the replica count: no metrics")
        said = f"the HPA was able to successfully calculate a replica count from {best[1]}"
        self._set("ScalingActive", True, "ValidMetricFound", said)
        return best

    async def _one(self, spec: JsonObject, selector: str, pods: list[JsonObject], current: int) -> tuple[int, str]:
        type_ = text(spec, "type")
        if type_ not in ("Resource", "ContainerResource"):
            api = "external.metrics.k8s.io" if type_ == "External" else "custom.metrics.k8s.io"
            raise MetricProblem(f"unable to fetch metrics from {type_.lower()} metrics API: {api} is not served")
        part = "resource" if type_ == "Resource" else "containerResource"
        resource, container = text(spec, part, "name"), text(spec, part, "container") or None
        percent = optional_number(spec, part, "target", "averageUtilization")
        metrics = await self._measure(resource, container, selector)
        target = 0
        if percent is None:
            try:
                target = read(dig(spec, part, "target", "averageValue")).milli
            except QuantityError as failure:
                raise MetricProblem("invalid resource metric source: neither a utilization target nor a value") from (
                    failure
                )
        result = replicas_for(
            current=current,
            resource=resource,
            container=container,
            target_percent=percent,
            target_milli=target,
            pods=pods,
            metrics=metrics,
            tolerance=self._tolerance(),
            readiness=Readiness(
                cpu_initialization_s=self._settings.hpa_cpu_initialization_period_s,
                initial_delay_s=self._settings.hpa_initial_readiness_delay_s,
            ),
            now=self._now,
        )
        shown: JsonObject = {
            "averageValue": f"{result.average_milli}m" if resource == "cpu" else _whole(result.average_milli)
        }
        if result.utilization is not None:
            shown["averageUtilization"] = result.utilization
        inner: JsonObject = {"name": resource, "current": shown, **({"container": container} if container else {})}
        self._metrics.append({"type": type_, part: inner})
        name = f"{resource} {'container ' if container else ''}resource"
        return result.replicas, name + (" utilization (percentage of request)" if percent is not None else "")

    async def _measure(self, resource: str, container: str | None, selector: str) -> dict[str, Measured]:
        path = POD_METRICS.path(namespace_of(self._autoscaler))
        try:
            answer = await self._objects.client.request("GET", path, query={"labelSelector": selector})
        except KubernetesProblem as failure:
            said = f"unable to fetch metrics from resource metrics API: {failure}"
            raise MetricProblem(f"unable to get metrics for resource {resource}: {said}") from failure
        if not entries(answer, "items"):
            said = "no metrics returned from resource metrics API"
            raise MetricProblem(f"unable to get metrics for resource {resource}: {said}")
        return measured(answer, resource, container)

    def _tolerance(self) -> Tolerance:
        def of(direction: str) -> float:
            given = dig(self._autoscaler, "spec", "behavior", direction, "tolerance")
            try:
                return self._settings.hpa_tolerance if given is None else read(given).milli / 1000
            except QuantityError:
                return self._settings.hpa_tolerance

        return Tolerance(up=of("scaleUp"), down=of("scaleDown"))

    # What is said

    def _event(self, type_: str, reason: str, message: str) -> None:
        self._controller.recorder.event(self._autoscaler, type_, reason, message)

    def _set(self, type_: str, holds: bool, reason: str, message: str) -> None:
        status = "True" if holds else "False"
        since: Json = timestamp(self._now)
        for index, each in enumerate(self._conditions):
            if isinstance(each, dict) and each.get("type") == type_:
                if each.get("status") == status:
                    since = each.get("lastTransitionTime")
                self._conditions[index] = {
                    "type": type_,
                    "status": status,
                    "lastTransitionTime": since,
                    "reason": reason,
                    "message": message,
                }
                return
        self._conditions.append(
            {"type": type_, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
        )

    async def _write(self, current: int, wanted: int | None, *, scaled: bool = False) -> None:
        before = mapping(self._autoscaler, "status")
        status: JsonObject = {
            "currentReplicas": current,
            "desiredReplicas": number(before, "desiredReplicas") if wanted is None else wanted,
            "conditions": self._conditions,
        }
        metrics = self._metrics or before.get("currentMetrics")
        if metrics:
            status["currentMetrics"] = metrics
        if scaled:
            status["lastScaleTime"] = timestamp(self._now)
        elif before.get("lastScaleTime") is not None:
            status["lastScaleTime"] = before["lastScaleTime"]
        generation = optional_number(self._autoscaler, "metadata", "generation")
        if generation is not None:
            status["observedGeneration"] = generation
        if status != before:
            await self._objects.update_status(HORIZONTAL_POD_AUTOSCALER, {**self._autoscaler, "status": status})


def _whole(milli: int) -> str:
    return f"{milli}m" if milli % 1000 else str(milli // 1000)


def _described(spec: JsonObject, failure: str) -> tuple[str, str, str]:
    """(reason, full sentence, short sentence) of a metric that failed."""
    type_ = text(spec, "type")
    if type_ in ("Resource", "ContainerResource"):
        part = "resource" if type_ == "Resource" else "containerResource"
        resource = text(spec, part, "name")
        percent = optional_number(spec, part, "target", "averageUtilization") is not None
        inside = "container " if type_ == "ContainerResource" else ""
        short = f"failed to get {resource} {inside}{'utilization' if percent else 'usage'}: {failure}"
        return f"FailedGet{type_}Metric", f"failed to get {resource} {inside}resource metric value: {short}", short
    name = text(spec, type_.lower(), "metric", "name")
    return (
        f"FailedGet{type_}Metric",
        f"failed to get {type_.lower()} metric value: {failure}",
        (f"unable to get metric {name}: {failure}"),
    )
