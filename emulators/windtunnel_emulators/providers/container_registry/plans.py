"""What a run is to do: a request, or a task with what overrides it, as one value that is kept with the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.arm.errors import ArmError, not_implemented
from windtunnel_emulators.jsontypes import JsonObject, as_object, as_str

from .bodies import one_of, read
from .task_bodies import LONGEST_S, SHORTEST_S, USUAL_S, Argument, Override, Platform, RunRequest, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.arm.provider import Resource

    from .service import RegistryService

_TYPES = ("DockerBuildRequest", "TaskRunRequest", "FileTaskRunRequest", "EncodedTaskRunRequest")
_STEPS = "tasks of several steps (YAML) are not run by the emulators; schedule a DockerBuildRequest for each build"


class Plan(msgspec.Struct, kw_only=True, frozen=True):
    """One run."""

    run_type: str
    archived: bool
    task: str = ""
    platform: dict[str, str]
    cpu: int = 2
    timeout: int
    unsupported: str = ""
    """The reason why it fails; empty for a build of a Dockerfile, which the rest describes."""
    source: str = ""
    dockerfile: str = ""
    images: tuple[str, ...] = ()
    push: bool = True
    target: str = ""
    cache: bool = True
    arguments: tuple[tuple[str, str, bool], ...] = ()
    """Name, value, and whether it is a secret."""

    def as_json(self) -> JsonObject:
        return as_object(msgspec.to_builtins(self))


def plan_from(value: JsonObject) -> Plan:
    """The plan that ``as_json`` wrote."""
    return msgspec.convert(value, Plan)


def plan_of(request: RunRequest, registry: Resource, service: RegistryService) -> Plan:
    """Raises ``ArmError`` for a request that Azure would not schedule."""
    kind = one_of(request.type, _TYPES, "type")
    if request.agent_pool_name:
        raise not_implemented("An agent pool", "Runs are built on this machine; leave agentPoolName out.")
    if request.log_template:
        raise not_implemented("A log template", "Read the log by listLogSasUrl; leave logTemplate out.")
    if kind == "TaskRunRequest":
        return _of_task(request, registry, service)
    timeout = request.timeout if request.timeout is not None else USUAL_S
    if not SHORTEST_S <= timeout <= LONGEST_S:
        raise ArmError(
            400,
            "InvalidTimeout",
            f"The run timeout {timeout} is invalid: it must be {SHORTEST_S} to {LONGEST_S} seconds.",
            target="timeout",
        )
    needed = {
        "DockerBuildRequest": ("dockerFilePath", request.docker_file_path),
        "FileTaskRunRequest": ("taskFilePath", request.task_file_path),
        "EncodedTaskRunRequest": ("encodedTaskContent", request.encoded_task_content),
    }
    name, value = needed[kind or "DockerBuildRequest"]
    if not value:
        raise ArmError(400, "MissingParameter", f"A {kind} needs '{name}'.", target=name)
    agent = request.agent_configuration
    built = kind == "DockerBuildRequest"
    return Plan(
        run_type="QuickBuild" if built else "QuickRun",
        archived=request.is_archive_enabled,
        platform=_platform(request.platform),
        cpu=agent.cpu if agent and agent.cpu else 2,
        timeout=timeout,
        unsupported="" if built else _STEPS,
        source=request.source_location or "",
        dockerfile=request.docker_file_path or "",
        images=tuple(request.image_names or ()),
        push=request.is_push_enabled,
        target=request.target or "",
        cache=not request.no_cache,
        arguments=_arguments(request.arguments),
    )


def _of_task(request: RunRequest, registry: Resource, service: RegistryService) -> Plan:
    id = (request.task_id or "").lower()
    if id and "/" not in id:  # Microsoft's own example has the name alone
        id = f"{registry.id.key}/tasks/{id}"
    task = service.world.resources.get(id) if id.startswith(f"{registry.id.key}/tasks/") else None
    if task is None:
        raise ArmError(
            404,
            "TaskNotFound",
            f"The task '{request.task_id}' was not found in registry '{registry.id.name}'.",
            target="taskId",
        )
    properties = task.properties
    if properties.get("status") != "Enabled":
        raise ArmError(409, "TaskDisabled", f"The task '{task.id.name}' is disabled.", target="taskId")
    step = read(properties.get("step"), Step)
    override = request.override_task_step_properties or Override()
    agent = as_object(properties.get("agentConfiguration")).get("cpu")
    timeout = properties.get("timeout")
    return Plan(
        run_type="QuickRun",
        archived=request.is_archive_enabled,
        task=task.id.name,
        platform={name: as_str(value) for name, value in as_object(properties.get("platform")).items()},
        cpu=agent if isinstance(agent, int) else 2,
        timeout=timeout if isinstance(timeout, int) else USUAL_S,
        unsupported="" if step.type == "Docker" else _STEPS,
        source=override.context_path or step.context_path or "",
        dockerfile=override.file or step.docker_file_path or "",
        images=tuple(step.image_names or ()),
        push=step.is_push_enabled is not False,
        target=override.target or step.target or "",
        cache=not step.no_cache,
        arguments=_arguments([*(step.arguments or ()), *(override.arguments or ())]),
    )


def _platform(platform: Platform | None) -> dict[str, str]:
    system = one_of(platform.os if platform else None, ("linux", "windows"), "platform.os")
    if system is None:
        raise ArmError(400, "MissingParameter", "A run needs 'platform.os', Linux or Windows.", target="platform.os")
    found = {"os": system}
    found["architecture"] = as_str(platform.architecture if platform else None) or "amd64"
    if platform is not None and platform.variant:
        found["variant"] = platform.variant
    return found


def _arguments(arguments: Sequence[Argument] | None) -> tuple[tuple[str, str, bool], ...]:
    """The last of each name."""
    return tuple({a.name: (a.name, a.value, a.is_secret) for a in arguments or ()}.values())
