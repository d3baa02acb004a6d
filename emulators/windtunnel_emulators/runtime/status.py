"""What a group of containers is at one moment: frozen values, the one rule for a group's state, and their JSON form."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.jsontypes import Json, JsonObject


class Phase(StrEnum):
    """Where a container stands."""

    WAITING = "Waiting"
    RUNNING = "Running"
    TERMINATED = "Terminated"


class GroupState(StrEnum):
    """Where a group stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a container; the same name and message again only counts up."""

    name: str
    message: str
    type: str
    """``Normal`` or ``Warning``."""
    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """One state of a container, current or previous."""

    phase: Phase
    reason: str = ""
    """``ContainerCreating``, ``CrashLoopBackOff``, ``ErrImagePull``, ``ImagePullBackOff``; ``Completed``, ``Error``,
    ``OOMKilled``, ``StartError``; empty while it runs."""
    message: str = ""
    exit_code: int | None = None
    started: datetime | None = None
    finished: datetime | None = None

    @property
    def detail(self) -> str:
        """Reason and message in one line: ``CrashLoopBackOff: Back-off 10s restarting failed``."""
        return f"{self.reason}: {self.message}" if self.message else self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStatus:
    """All that is known of one container of a group."""

    name: str
    state: ContainerState
    previous: ContainerState | None = None
    """The last run before the current state."""
    restarts: int = 0
    ready: bool = False
    """Runs, and its startup and readiness probes have passed."""
    over: bool = False
    """It has ended and will not be started again by itself."""
    events: tuple[Event, ...] = ()
    image: str | None = None
    """The image that was last pulled, as the plan names it; None when that is not known any more."""
    digest: str | None = None
    """Of that image."""
    stand_in: str | None = None
    """The sentence that says what stands in for the image; None for a real one."""
    started: bool = False
    """Runs, and its startup probe has passed."""
    sidecar: bool = False
    """An init container that goes on running."""
    run_id: str | None = None
    """Of the last run, in the runtime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStatus:
    """All that is known of a group."""

    state: GroupState
    containers: tuple[ContainerStatus, ...]
    init_containers: tuple[ContainerStatus, ...] = ()
    address: str | None = None
    """The loopback address its containers answer at; None when it is stopped."""
    refused: str | None = None
    """Why the group failed for good without running (an image that cannot be had); None otherwise."""

    @property
    def ready(self) -> bool:
        """Every container is ready."""
        return bool(self.containers) and all(container.ready for container in self.containers)

    @property
    def finished(self) -> bool:
        """Nothing runs and nothing will by itself."""
        return self.state in (GroupState.SUCCEEDED, GroupState.FAILED, GroupState.STOPPED)

    def container(self, name: str) -> ContainerStatus | None:
        """The container or init container of that name."""
        return next((c for c in (*self.init_containers, *self.containers) if c.name == name), None)


def group_state(
    containers: Iterable[ContainerStatus],
    init_containers: Iterable[ContainerStatus] = (),
    *,
    stopped: bool = False,
    refused: bool = False,
) -> GroupState:
    """The state of a group: the only place where it is decided.

    Stopped when it was stopped; Failed when it was refused, an init container failed for good, or all containers are
    over and one of them failed; Succeeded when all are over with 0; Pending before each has been started once;
    Running otherwise, also while one waits to be started again (as recorded from the real service).
    """
    members, inits = tuple(containers), tuple(init_containers)
    if stopped:
        return GroupState.STOPPED
    if refused or any(init.over and init.state.exit_code != 0 and not init.sidecar for init in inits):
        return GroupState.FAILED
    if members and all(member.over for member in members):
        failed = any(member.state.exit_code != 0 for member in members)
        return GroupState.FAILED if failed else GroupState.SUCCEEDED
    if not all(init.over or init.sidecar for init in inits) or not all(_has_run(member) for member in members):
        return GroupState.PENDING
    return GroupState.RUNNING


def _has_run(container: ContainerStatus) -> bool:
    return container.state.phase is not Phase.WAITING or container.previous is not None


def to_json(status: GroupStatus) -> JsonObject:
    """The status as JSON, to be kept; ``from_json`` reads it back without loss."""
    return {
        "state": status.state.value,
        "address": status.address,
        "refused": status.refused,
        "containers": [_container_json(c) for c in status.containers],
        "initContainers": [_container_json(c) for c in status.init_containers],
    }


def from_json(value: JsonObject) -> GroupStatus:
    """Raises ``ValueError`` when the value was not written by ``to_json``."""
    return GroupStatus(
        state=GroupState(as_str(value.get("state"))),
        address=as_str(value.get("address")) or None,
        refused=_text(value.get("refused")),
        containers=tuple(_container(c) for c in as_list(value.get("containers"))),
        init_containers=tuple(_container(c) for c in as_list(value.get("initContainers"))),
    )


def _container_json(container: ContainerStatus) -> Json:
    events: list[Json] = [
        {
            "name": e.name,
            "message": e.message,
            "type": e.type,
            "count": e.count,
            "first": e.first.isoformat(),
            "last": e.last.isoformat(),
        }
        for e in container.events
    ]
    return {
        "name": container.name,
        "state": _state_json(container.state),
        "previous": None if container.previous is None else _state_json(container.previous),
        "restarts": container.restarts,
        "ready": container.ready,
        "over": container.over,
        "events": events,
        "image": container.image,
        "digest": container.digest,
        "standIn": container.stand_in,
        "started": container.started,
        "sidecar": container.sidecar,
        "runId": container.run_id,
    }


def _state_json(state: ContainerState) -> Json:
    return {
        "phase": state.phase.value,
        "reason": state.reason,
        "message": state.message,
        "exitCode": state.exit_code,
        "started": None if state.started is None else state.started.isoformat(),
        "finished": None if state.finished is None else state.finished.isoformat(),
    }


def _container(value: Json) -> ContainerStatus:
    entry = as_object(value)
    previous = entry.get("previous")
    return ContainerStatus(
        name=as_str(entry.get("name")),
        state=_state(entry.get("state")),
        previous=None if previous is None else _state(previous),
        restarts=_number(entry.get("restarts")) or 0,
        ready=entry.get("ready") is True,
        over=entry.get("over") is True,
        events=tuple(_event(e) for e in as_list(entry.get("events"))),
        image=_text(entry.get("image")),
        digest=_text(entry.get("digest")),
        stand_in=_text(entry.get("standIn")),
        started=entry.get("started") is True,
        sidecar=entry.get("sidecar") is True,
        run_id=_text(entry.get("runId")),
    )


def _state(value: Json) -> ContainerState:
    entry = as_object(value)
    return ContainerState(
        phase=Phase(as_str(entry.get("phase"))),
        reason=as_str(entry.get("reason")),
        message=as_str(entry.get("message")),
        exit_code=_number(entry.get("exitCode")),
        started=_time(entry.get("started")),
        finished=_time(entry.get("finished")),
    )


def _event(value: Json) -> Event:
    entry = as_object(value)
    return Event(
        name=as_str(entry.get("name")),
        message=as_str(entry.get("message")),
        type=as_str(entry.get("type")),
        count=_number(entry.get("count")) or 0,
        first=datetime.fromisoformat(as_str(entry.get("first"))),
        last=datetime.fromisoformat(as_str(entry.get("last"))),
    )


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Json) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def _time(value: Json) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None
