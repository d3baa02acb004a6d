"""What tables show of pods: above all the one word that says how a pod is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects.durations import moment, since

if TYPE_CHECKING:
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject

NONE = "<none>"
_ENDED = ("Succeeded", "Failed")


class _Tally:
    """Counts over the statuses of a pod's containers."""

    def __init__(self) -> None:
        self.restarts = 0
        self.last: datetime | None = None

    def add(self, status: JsonObject) -> None:
        self.restarts += _number(status.get("restartCount"))
        ended = as_object(as_object(status.get("lastState")).get("terminated"))
        finished = moment(ended.get("finishedAt"))
        if finished is not None and (self.last is None or self.last < finished):
            self.last = finished

    def text(self, now: datetime) -> str:
        if self.restarts and self.last is not None:
            return f"{self.restarts} ({since(self.last.isoformat(), now)} ago)"
        return str(self.restarts)


def _number(value: Json) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _condition(status: JsonObject, kind: str) -> JsonObject:
    for condition in as_list(status.get("conditions")):
        if as_object(condition).get("type") == kind:
            return as_object(condition)
    return {}


def _ended_word(terminated: JsonObject) -> str:
    if terminated.get("reason"):
        return as_str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{_number(terminated.get('exitCode'))}"


def summary(pod: JsonObject, now: datetime) -> tuple[int, int, str, str]:
    """Ready containers, all of them, the word, the restarts."""
    spec, status = as_object(pod.get("spec")), as_object(pod.get("status"))
    phase = as_str(status.get("phase"))
    word = as_str(status.get("reason")) or phase
    if _condition(status, "PodScheduled").get("reason") == "SchedulingGated":
        word = "SchedulingGated"
    inits = [as_object(container) for container in as_list(spec.get("initContainers"))]
    sidecars = {as_str(one.get("name")) for one in inits if one.get("restartPolicy") == "Always"}
    total = len(as_list(spec.get("containers"))) + len(sidecars)
    ready, tally, sidecar_tally, initializing = 0, _Tally(), _Tally(), False
    for index, entry in enumerate(as_list(status.get("initContainerStatuses"))):
        found = as_object(entry)
        tally.add(found)
        is_sidecar = as_str(found.get("name")) in sidecars
        if is_sidecar:
            sidecar_tally.add(found)
        state = as_object(found.get("state"))
        ended, waiting = state.get("terminated"), as_object(state.get("waiting"))
        if isinstance(ended, dict) and not ended.get("exitCode"):
            continue
        if is_sidecar and found.get("started") is True:
            ready += 1 if found.get("ready") is True else 0
            continue
        if isinstance(ended, dict):
            word = "Init:" + _ended_word(ended)
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            word = f"Init:{waiting['reason']}"
        else:
            word = f"Init:{index}/{len(inits)}"
        initializing = True
        break
    if not initializing or _condition(status, "Initialized").get("status") == "True":
        tally = sidecar_tally
        running = False
        for entry in reversed(as_list(status.get("containerStatuses"))):
            found = as_object(entry)
            tally.add(found)
            state = as_object(found.get("state"))
            waiting = as_object(state.get("waiting"))
            if waiting.get("reason"):
                word = as_str(waiting["reason"])
            elif isinstance(state.get("terminated"), dict):
                word = _ended_word(as_object(state["terminated"]))
            elif found.get("ready") is True and "running" in state:
                running = True
                ready += 1
        if word == "Completed" and running:
            word = "Running" if _condition(status, "Ready").get("status") == "True" else "NotReady"
    if as_object(pod.get("metadata")).get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            word = "Unknown"
        elif phase not in _ENDED:
            word = "Terminating"
    return ready, total, word, tally.text(now)


def pod_cells(pod: JsonObject, now: datetime) -> list[Json]:
    """The cells of a pod's row."""
    spec, status = as_object(pod.get("spec")), as_object(pod.get("status"))
    ready, total, word, restarts = summary(pod, now)
    addresses = as_list(status.get("podIPs"))
    address = as_str(as_object(addresses[0]).get("ip")) if addresses else as_str(status.get("podIP"))
    gates = [as_str(as_object(gate).get("conditionType")) for gate in as_list(spec.get("readinessGates"))]
    passed = sum(1 for gate in gates if _condition(status, gate).get("status") == "True")
    metadata = as_object(pod.get("metadata"))
    return [
        as_str(metadata.get("name")),
        f"{ready}/{total}",
        word,
        restarts,
        since(metadata.get("creationTimestamp"), now),
        address or NONE,
        as_str(spec.get("nodeName")) or NONE,
        as_str(status.get("nominatedNodeName")) or NONE,
        f"{passed}/{len(gates)}" if gates else NONE,
    ]


def pod_conditions(pod: JsonObject) -> list[Json]:
    """Row conditions: pods that have ended are marked."""
    phase = as_object(pod.get("status")).get("phase")
    if phase == "Succeeded":
        return [
            {
                "type": "Completed",
                "status": "True",
                "reason": "Succeeded",
                "message": "The pod has completed successfully.",
            }
        ]
    if phase == "Failed":
        return [{"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}]
    return []
