"""From a stored container group to the plan that the supervisor of containers carries out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.interface import Mount
from windtunnel_emulators.runtime.plan import (
    ContainerPlan,
    ExecAction,
    GroupPlan,
    HttpAction,
    Probe,
    RestartPolicy,
)

from .validation.mounts import mount_point

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from windtunnel_emulators.runtime.interface import Credentials

    from . import container_bodies as bodies
    from .bodies import GroupProperties, Volume
    from .stored import Secrets

PULL_ATTEMPTS = 3
_GB = 1024**3
LEAST_CPU = 1.0
LEAST_MEMORY_GB = 1.0
"""What a group is allocated at least, however little its containers ask for.

Source: Microsoft Learn, "Container groups in Azure Container Instances", resource allocation."""


def group_plan(
    properties: GroupProperties,
    secrets: Secrets,
    *,
    owner: str,
    folders: Mapping[str, Path],
    pull_with: tuple[Credentials, ...],
    grace_s: float,
) -> GroupPlan:
    """The plan. ``folders`` has the folder of each volume by its name."""
    read_only = {volume.name or "": _is_read_only(volume) for volume in properties.volumes or []}

    def mounts(wanted: Iterable[bodies.VolumeMount]) -> tuple[Mount, ...]:
        return tuple(
            Mount(
                source=folders[mount.name or ""],
                target=mount_point(mount.mount_path or ""),
                read_only=bool(mount.read_only) or read_only[mount.name or ""],
            )
            for mount in wanted
        )

    resources = [c.properties.resources if c.properties else None for c in properties.containers or []]
    spare_cpu = _spare(resources, "cpu", LEAST_CPU)
    spare_memory = _spare(resources, "memory_in_gb", LEAST_MEMORY_GB)
    containers = tuple(
        ContainerPlan(
            name=container.name or "",
            image=own.image or "",
            command=tuple(own.command or ()),
            environment=_environment(container.name or "", own.environment_variables or [], secrets),
            ports=tuple(port.port or 0 for port in own.ports or []),
            cpu=_amount(own.resources, "cpu", spare_cpu),
            memory_bytes=_bytes(_amount(own.resources, "memory_in_gb", spare_memory)),
            mounts=mounts(own.volume_mounts or []),
            liveness=_probe(own.liveness_probe),
            readiness=_probe(own.readiness_probe),
        )
        for container in properties.containers or []
        if (own := container.properties) is not None
    )
    inits = tuple(
        ContainerPlan(
            name=init.name or "",
            image=inner.image or "",
            command=tuple(inner.command or ()),
            environment=_environment(init.name or "", inner.environment_variables or [], secrets),
            mounts=mounts(inner.volume_mounts or []),
        )
        for init in properties.init_containers or []
        if (inner := init.properties) is not None
    )
    return GroupPlan(
        owner=owner,
        containers=containers,
        init_containers=inits,
        restart_policy=RestartPolicy(properties.restart_policy or "Always"),
        credentials=pull_with,
        pull_attempts=PULL_ATTEMPTS,
        grace_s=grace_s,
    )


def _environment(container: str, variables: Iterable[bodies.EnvironmentVariable], secrets: Secrets) -> dict[str, str]:
    secure = secrets.environment.get(container, {})
    return {
        variable.name or "": secure.get(variable.name or "", "") if variable.value is None else variable.value
        for variable in variables
    }


def _spare(resources: Iterable[bodies.Resources | None], field: str, least: float) -> float:
    """By how much requests are widened, so that a group of small containers gets what every group is."""
    total = sum(_requested(one, field) or 0.0 for one in resources)
    return max(1.0, least / total) if total > 0 else 1.0


def _requested(resources: bodies.Resources | None, field: str) -> float | None:
    value: float | None = getattr(resources.requests, field, None) if resources else None
    return value


def _amount(resources: bodies.Resources | None, field: str, spare: float) -> float | None:
    """The limit; without one the request and its part of what the group has to spare, as the service has it."""
    limit: float | None = getattr(resources.limits, field, None) if resources else None
    if limit is not None:
        return limit
    request = _requested(resources, field)
    return None if request is None else request * spare


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else int(gigabytes * _GB)


def _is_read_only(volume: Volume) -> bool:
    return volume.secret is not None


def _probe(probe: bodies.Probe | None) -> Probe | None:
    if probe is None:
        return None
    action: ExecAction | HttpAction
    if probe.exec is not None:
        action = ExecAction(command=tuple(probe.exec.command or ()))
    elif probe.http_get is not None:
        request = probe.http_get
        path = request.path or "/"
        action = HttpAction(
            port=request.port or 0,
            path=path if path.startswith("/") else f"/{path}",
            scheme=request.scheme or "http",
            headers=tuple((header.name or "", header.value or "") for header in request.http_headers or []),
        )
    else:
        return None
    defaults = Probe(action=action)

    def seconds(given: int | None, default: float) -> float:
        return default if given is None else float(given)

    return Probe(
        action=action,
        initial_delay_s=seconds(probe.initial_delay_seconds, defaults.initial_delay_s),
        period_s=seconds(probe.period_seconds, defaults.period_s),
        timeout_s=seconds(probe.timeout_seconds, defaults.timeout_s),
        success_threshold=probe.success_threshold or defaults.success_threshold,
        failure_threshold=probe.failure_threshold or defaults.failure_threshold,
    )
