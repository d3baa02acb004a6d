"""From what is known of a pod's containers to the status that a kubelet (1.34) reports."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import (
    condition,
    dig,
    entries,
    flag,
    mapping,
    number,
    parse_time,
    text,
    timestamp,
    uid_of,
)
from windtunnel_emulators.runtime.status import (
    ContainerState,
    ContainerStatus,
    GroupState,
    GroupStatus,
    Phase,
)

if TYPE_CHECKING:
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject

_RUNTIME = "windtunnel://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a node knows of a pod besides its containers."""

    now: datetime
    started: datetime
    """When the node took the pod."""
    host_address: str
    address: str | None
    """None before it has a network."""
    terminal: tuple[str, str, str] | None = None
    """(phase, reason, message) that the node has decided: evicted, past its deadline."""
    ending: bool = False
    """It is being deleted and all its containers have ended: what it is now it stays."""


def pod_status(pod: JsonObject, group: GroupStatus | None, standing: Standing) -> JsonObject:
    """The status, without what the API and the scheduler own."""
    containers = [_one(c, pod, group, init=False) for c in entries(pod, "spec", "containers")]
    inits = [_one(c, pod, group, init=True) for c in entries(pod, "spec", "initContainers")]
    phase, reason, message = standing.terminal or (
        _phase(pod, containers, inits, ending=standing.ending, again=_again(group)),
        "",
        "",
    )
    status: JsonObject = {
        "observedGeneration": number(pod, "metadata", "generation", default=1),
        "phase": phase,
        "conditions": [*_conditions(pod, phase, containers, inits, standing)],
        "hostIP": standing.host_address,
        "hostIPs": [{"ip": standing.host_address}],
        "startTime": timestamp(standing.started),
        "containerStatuses": [*containers],
    }
    if inits:
        status["initContainerStatuses"] = [*inits]
    if standing.address is not None:
        status |= {"podIP": standing.address, "podIPs": [{"ip": standing.address}]}
    if reason:
        status["reason"] = reason
    if message:
        status["message"] = message
    return status


def _one(container: JsonObject, pod: JsonObject, group: GroupStatus | None, *, init: bool) -> JsonObject:
    name = text(container, "name")
    known = None if group is None else group.container(name)
    first = "PodInitializing" if entries(pod, "spec", "initContainers") else "ContainerCreating"
    status: JsonObject = {
        "name": name,
        "image": text(container, "image"),
        "imageID": "",
        "lastState": {},
        "ready": False,
        "restartCount": 0,
        "started": False,
        "state": {"waiting": {"reason": first}},
    }
    if known is None:
        return status
    identity = container_id(pod, known)
    state = known.state
    if state.phase is Phase.WAITING and state.reason == "ContainerCreating" and known.previous is None:
        initialized = group is not None and _initialized(pod, group)
        reason = first if init or not initialized else "ContainerCreating"
        status["state"] = {"waiting": {"reason": reason}}
    else:
        status["state"] = _state(state, identity)
    if known.previous is not None:
        status["lastState"] = _state(known.previous, identity)
    done = init and not known.sidecar and known.over and state.exit_code == 0
    status |= {
        "ready": known.ready or done,
        "started": known.started and state.phase is Phase.RUNNING,
        "restartCount": known.restarts,
        "image": known.image or text(container, "image"),
        "imageID": image_id(known.image or text(container, "image"), known.digest),
    }
    if identity:
        status["containerID"] = identity
    resources = mapping(container, "resources")
    if resources and state.phase is Phase.RUNNING:
        status["resources"] = resources
        if resources.get("requests"):
            status["allocatedResources"] = resources["requests"]
    mounts: list[Json] = [
        {
            "name": text(mount, "name"),
            "mountPath": text(mount, "mountPath"),
            **({"readOnly": True, "recursiveReadOnly": "Disabled"} if flag(mount, "readOnly") else {}),
        }
        for mount in entries(container, "volumeMounts")
    ]
    if mounts:
        status["volumeMounts"] = mounts
    if state.phase is Phase.RUNNING:
        status["user"] = {"linux": {"uid": 0, "gid": 0, "supplementalGroups": [0]}}
    return status


def container_id(pod: JsonObject, known: ContainerStatus) -> str:
    """Of its last run; empty before the first."""
    if known.run_id is None:
        return ""
    return _RUNTIME + hashlib.sha256(f"{uid_of(pod)}/{known.run_id}".encode()).hexdigest()


def image_id(reference: str, digest: str | None) -> str:
    """The repository with the digest."""
    if not digest:
        return ""
    repository = reference.partition("@")[0]
    head, slash, last = repository.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}@{digest}"


def _state(state: ContainerState, identity: str) -> JsonObject:
    match state.phase:
        case Phase.RUNNING:
            return {"running": {"startedAt": None if state.started is None else timestamp(state.started)}}
        case Phase.TERMINATED:
            ended: JsonObject = {
                "exitCode": state.exit_code or 0,
                "reason": state.reason,
                "startedAt": None if state.started is None else timestamp(state.started),
                "finishedAt": None if state.finished is None else timestamp(state.finished),
            }
            if state.message:
                ended["message"] = state.message
            if identity:
                ended["containerID"] = identity
            return {"terminated": ended}
        case Phase.WAITING:
            return {"waiting": {"reason": state.reason, **({"message": state.message} if state.message else {})}}


def _initialized(pod: JsonObject, group: GroupStatus) -> bool:
    for init in entries(pod, "spec", "initContainers"):
        known = group.container(text(init, "name"))
        if known is None:
            return False
        if known.sidecar:
            if not (known.started or known.previous is not None):
                return False
        elif not (known.over and known.state.exit_code == 0):
            return False
    return True


def _again(group: GroupStatus | None) -> bool:
    """Whether a container that has ended is to run again, whatever the policy: it was given another image."""
    return group is not None and any(c.state.phase is not Phase.RUNNING and not c.over for c in group.containers)


def _phase(pod: JsonObject, containers: list[JsonObject], inits: list[JsonObject], *, ending: bool, again: bool) -> str:
    policy = text(pod, "spec", "restartPolicy", default="Always")
    by_name = {text(c, "name"): c for c in entries(pod, "spec", "initContainers")}
    for init in inits:
        if text(by_name.get(text(init, "name"), {}), "restartPolicy") == "Always":
            continue
        ended = dig(init, "state", "terminated")
        if isinstance(ended, dict):
            if number(ended, "exitCode") != 0:
                return "Failed" if policy == "Never" or ending else "Pending"
            continue
        return "Failed" if ending else "Pending"
    running = waiting = stopped = succeeded = 0
    beside = any("running" in mapping(i, "state") for i in inits)
    for each in containers:
        state = mapping(each, "state")
        if "running" in state:
            running += 1
            continue
        ended = state.get("terminated")
        last = dig(each, "lastState", "terminated")
        if not isinstance(ended, dict):
            if not isinstance(last, dict):
                waiting += 1
                continue
            # It waits to be started again.
            stopped += 1
            continue
        stopped += 1
        succeeded += 1 if number(ended, "exitCode") == 0 else 0
    if waiting:
        return "Failed" if ending else "Pending"
    if running:
        return "Running"
    if ending:
        return "Succeeded" if succeeded == stopped else "Failed"
    if beside:
        # Its sidecars end last.
        return "Running"
    if policy == "Always" or again:
        return "Running"
    if succeeded == stopped:
        return "Succeeded"
    if policy == "Never":
        return "Failed"
    return "Running"


def _conditions(
    pod: JsonObject, phase: str, containers: list[JsonObject], inits: list[JsonObject], standing: Standing
) -> list[Json]:
    sidecars = {text(c, "name") for c in entries(pod, "spec", "initContainers") if text(c, "restartPolicy") == "Always"}
    unready = [text(c, "name") for c in inits if text(c, "name") in sidecars and not flag(c, "ready")]
    unready += [text(c, "name") for c in containers if not flag(c, "ready")]
    incomplete = [
        text(c, "name") for c in inits if not (flag(c, "started") if text(c, "name") in sidecars else flag(c, "ready"))
    ]
    over = phase in ("Succeeded", "Failed")
    wanted: list[tuple[str, bool, str, str]] = []
    network = standing.address is not None and not over
    wanted.append(("PodReadyToStartContainers", network, "", ""))
    if over and phase == "Succeeded":
        wanted.append(("Initialized", True, "PodCompleted", ""))
    elif incomplete and not (over and not inits):
        message = f"containers with incomplete status: [{' '.join(incomplete)}]"
        wanted.append(("Initialized", False, "ContainersNotInitialized", message))
    else:
        wanted.append(("Initialized", True, "", ""))
    ready: tuple[bool, str, str]
    containers_ready: tuple[bool, str, str]
    if over:
        reason = "PodCompleted" if phase == "Succeeded" else "PodFailed"
        ready = containers_ready = (False, reason, "")
    elif unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        ready = containers_ready = (False, "ContainersNotReady", message)
    else:
        containers_ready = (True, "", "")
        ready = _gates(pod)
    wanted.append(("Ready", ready[0], ready[1], ready[2]))
    wanted.append(("ContainersReady", containers_ready[0], containers_ready[1], containers_ready[2]))
    return [_condition(pod, *each, now=standing.now) for each in wanted]


def _gates(pod: JsonObject) -> tuple[bool, str, str]:
    missing: list[str] = []
    for gate in entries(pod, "spec", "readinessGates"):
        name = text(gate, "conditionType")
        known = condition(pod, name)
        if known is None:
            missing.append(f'corresponding condition of pod readiness gate "{name}" does not exist.')
        elif known.get("status") != "True":
            missing.append(f'the status of pod readiness gate "{name}" is not "True", but {known.get("status")}')
    return (False, "ReadinessGatesNotReady", ", ".join(missing)) if missing else (True, "", "")


def _condition(pod: JsonObject, name: str, holds: bool, reason: str, message: str, *, now: datetime) -> Json:
    status = "True" if holds else "False"
    before = condition(pod, name)
    same = before is not None and before.get("status") == status
    since = before.get("lastTransitionTime") if same and before is not None else timestamp(now)
    found: JsonObject = {
        "type": name,
        "status": status,
        "observedGeneration": number(pod, "metadata", "generation", default=1),
        "lastProbeTime": None,
        "lastTransitionTime": since,
    }
    # A reason that does not hold any more has to be taken away by a patch.
    found["reason"] = reason or None
    found["message"] = message or None
    return found


def known_status(pod: JsonObject) -> GroupStatus | None:
    """What a predecessor of this node knew of the containers, as the pod's status says; None when they never ran."""
    policy = text(pod, "spec", "restartPolicy", default="Always")
    sidecars = {text(c, "name") for c in entries(pod, "spec", "initContainers") if text(c, "restartPolicy") == "Always"}
    containers = tuple(_known(c, policy) for c in entries(pod, "status", "containerStatuses"))
    # An init container that has succeeded is not run again where containers would be; one beside them is.
    of_inits = "OnFailure" if policy == "Always" else policy
    inits = tuple(
        _known(c, "Always" if text(c, "name") in sidecars else of_inits)
        for c in entries(pod, "status", "initContainerStatuses")
    )
    if not any(c.state.phase is not Phase.WAITING or c.previous is not None for c in (*containers, *inits)):
        return None
    return GroupStatus(state=GroupState.RUNNING, containers=containers, init_containers=inits)


def _known(status: JsonObject, policy: str) -> ContainerStatus:
    state, previous = _known_state(mapping(status, "state")), _known_state(mapping(status, "lastState"))
    ended = state is not None and state.phase is Phase.TERMINATED
    done = ended and (policy == "Never" or (policy == "OnFailure" and state is not None and state.exit_code == 0))
    return ContainerStatus(
        name=text(status, "name"),
        state=state or ContainerState(phase=Phase.WAITING, reason="ContainerCreating"),
        previous=previous,
        restarts=number(status, "restartCount"),
        over=done,
    )


def _known_state(state: JsonObject) -> ContainerState | None:
    if "running" in state:
        return ContainerState(phase=Phase.RUNNING, started=parse_time(dig(state, "running", "startedAt")))
    ended = state.get("terminated")
    if isinstance(ended, dict):
        return ContainerState(
            phase=Phase.TERMINATED,
            reason=text(ended, "reason"),
            message=text(ended, "message"),
            exit_code=number(ended, "exitCode"),
            started=parse_time(ended.get("startedAt")),
            finished=parse_time(ended.get("finishedAt")),
        )
    return None
