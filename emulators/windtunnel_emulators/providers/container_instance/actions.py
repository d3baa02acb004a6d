"""What can be asked of a container group besides: start, stop, restart, and what its containers say."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Action, Reply
from windtunnel_emulators.runtime.status import GroupState, Phase

from . import views
from .container_bodies import Body
from .output import limited
from .reading import read

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, Resource
    from windtunnel_emulators.runtime.status import ContainerStatus

    from .service import ContainerInstances
    from .sessions import Session

_MAX_TERMINAL = 1000


class TerminalSize(Body):
    """Of the terminal that a command runs in."""

    rows: int | None = None
    cols: int | None = None


class ExecRequest(Body):
    """What to run in a container."""

    command: str | None = None
    terminal_size: TerminalSize | None = msgspec.field(default=None)


async def start(call: Call, resource: Resource | None, service: ContainerInstances) -> Reply:
    """Deploy a group again that has ended or was stopped; nothing happens to one that runs."""
    group = _there(resource)
    service.refuse_transitioning(group)
    status = service.status(group)
    if status is not None and not status.finished:
        return Reply(status=204)
    changed = replace(group, properties={**group.properties, "provisioningState": views.PENDING})
    return Reply(status=202, resource=changed, work="start")


async def stop(call: Call, resource: Resource | None, service: ContainerInstances) -> Reply:
    """End the containers and give up the address; nothing happens to a group that has ended."""
    group = _there(resource)
    with service.changing(group):
        status = service.status(group)
        if status is not None and not status.finished:
            await (await service.running(group)).stop()
    return Reply(status=204)


async def restart(call: Call, resource: Resource | None, service: ContainerInstances) -> Reply:
    """End all containers and start them again in place."""
    group = _there(resource)
    with service.changing(group):
        status = service.status(group)
        if status is None or status.finished:
            raise _stopped(group)
        await (await service.running(group)).restart()
    return Reply(status=204)


async def logs(call: Call, resource: Resource | None, service: ContainerInstances) -> Reply:
    """What a container has written: the last ``tail`` lines, with ``timestamps``."""
    group = _there(resource)
    container = _container(call, group, service)
    tail, timestamps = _tail(call), _flag(call, "timestamps")
    if container is None or (container.state.phase is Phase.WAITING and container.previous is None):
        raise ArmError(
            404,
            "ContainerLogNotAvailable",
            f"Log of container '{_asked(call)}' in container group '{group.id.name}' is not available yet. Please"
            " check container 'InstanceView' for more information or retry later.",
        )
    deployment = await service.running(group)
    if deployment.group is None:
        return Reply(status=200, body={"content": ""})
    previous = container.state.phase is Phase.WAITING
    text = deployment.group.logs(container.name, timestamps=timestamps, tail=tail, previous=False)
    if previous and not text:
        text = deployment.group.logs(container.name, timestamps=timestamps, tail=tail, previous=True)
    return Reply(status=200, body={"content": limited(text, running=container.state.phase is Phase.RUNNING)})


async def execute(call: Call, resource: Resource | None, service: ContainerInstances) -> Reply:
    """A WebSocket to a command in a container."""
    group = _there(resource)
    request = read({} if call.body is None else call.body, ExecRequest)
    try:
        command = tuple(shlex.split(request.command or ""))
    except ValueError as problem:
        raise _bad_command(group, call, f"'{request.command}' cannot be split into words ({problem})") from problem
    if not command or "\0" in (request.command or ""):
        raise _bad_command(group, call, "it is empty or has a null character")
    size = request.terminal_size
    terminal = None
    if size is not None and size.rows is not None and size.cols is not None:
        if not (0 < size.rows <= _MAX_TERMINAL and 0 < size.cols <= _MAX_TERMINAL):
            raise _bad_command(group, call, f"a terminal has 1 to {_MAX_TERMINAL} rows and columns")
        terminal = (size.rows, size.cols)
    return _opened(call, await _session(call, group, service, command, terminal))


async def attach(call: Call, resource: Resource | None, service: ContainerInstances) -> Reply:
    """A WebSocket to a container's own output."""
    group = _there(resource)
    return _opened(call, await _session(call, group, service, None, None))


async def outbound_dependencies(call: Call, resource: Resource | None, service: ContainerInstances) -> Reply:
    """Always none, as the specification says."""
    return Reply(status=200, body=[])


ACTIONS: tuple[Action[ContainerInstances], ...] = (
    Action(method="POST", path="start", act=start, refuse_busy=True),
    Action(method="POST", path="stop", act=stop, refuse_busy=True),
    Action(method="POST", path="restart", act=restart, refuse_busy=True),
    Action(method="GET", path="containers/{container}/logs", act=logs),
    Action(method="POST", path="containers/{container}/exec", act=execute, refuse_busy=True),
    Action(method="POST", path="containers/{container}/attach", act=attach, refuse_busy=True),
    Action(method="GET", path="outboundNetworkDependenciesEndpoints", act=outbound_dependencies),
)


def _there(resource: Resource | None) -> Resource:
    if resource is None:
        raise TypeError("ARM calls these actions with the resource they act on")
    return resource


def _asked(call: Call) -> str:
    return call.parameters["container"]


def _container(call: Call, group: Resource, service: ContainerInstances) -> ContainerStatus | None:
    """The container's status, None before the group was first started. Raises 404 ``ContainerNotFound``."""
    known = {str(entry["name"]) for field in ("containers", "initContainers") for entry in _entries(group, field)}
    wanted = _asked(call)
    name = next((name for name in known if name.lower() == wanted.lower()), None)
    if name is None:
        raise ArmError(
            404,
            "ContainerNotFound",
            f"The container '{wanted}' does not exist in container group '{group.id.name}'.",
        )
    status = service.status(group)
    return None if status is None else status.container(name)


def _entries(group: Resource, field: str) -> list[dict[str, object]]:
    entries = group.properties.get(field)
    return [dict(entry) for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


async def _session(
    call: Call,
    group: Resource,
    service: ContainerInstances,
    command: tuple[str, ...] | None,
    terminal: tuple[int, int] | None,
) -> Session:
    """As recorded, a container that has ended by itself gives a session too; its WebSocket tells what is wrong."""
    container = _container(call, group, service)
    status = service.status(group)
    if container is None or status is None or status.state is GroupState.STOPPED:
        raise _stopped(group)
    deployment = await service.running(group)
    return service.sessions.make(deployment.uid, container.name, command, terminal)


def _opened(call: Call, session: Session) -> Reply:
    scheme, _, rest = call.base_url.partition("://")
    address = f"{'ws' if scheme == 'http' else 'wss'}://{rest}/execstream/sessionId/{session.id}?api-version=1.0"
    if session.terminal is not None:
        address += f"&rows={session.terminal[0]}&cols={session.terminal[1]}"
    return Reply(status=200, body={"webSocketUri": address, "password": session.password})


def _stopped(group: Resource) -> ArmError:
    return ArmError(
        409,
        "ContainerGroupStopped",
        f"Container Group '{group.id.name}' in resource group '{group.id.group}' is stopped. Start it first.",
    )


def _bad_command(group: Resource, call: Call, why: str) -> ArmError:
    return ArmError(
        400,
        "InvalidContainerExecRequest",
        f"The command for container '{_asked(call)}' of container group '{group.id.name}' is invalid: {why}.",
    )


def _tail(call: Call) -> int | None:
    given = call.query.get("tail")
    if given is None or given == "":
        return None
    if not given.isascii() or not given.isdigit() or len(given) > 9:
        raise ArmError(
            400, "InvalidRequestParameter", f"The query parameter 'tail' is '{given}' and must be a whole number."
        )
    return int(given)


def _flag(call: Call, name: str) -> bool:
    given = call.query.get(name, "") or ""
    if given.lower() not in ("", "true", "false"):
        raise ArmError(
            400, "InvalidRequestParameter", f"The query parameter '{name}' is '{given}' and must be true or false."
        )
    return given.lower() == "true"
