"""Rules of init containers: named, run in order, without ports, probes and resources of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .containers import check_command, check_container_name, check_image
from .environment import check_environment
from .mounts import check_mounts
from .terms import invalid

if TYPE_CHECKING:
    from windtunnel_emulators.providers.container_instance.bodies import GroupProperties

MAX_INIT_CONTAINERS = 59


def check_init_containers(name: str, properties: GroupProperties) -> None:
    """At most fifty-nine, each of them whole."""
    containers = properties.init_containers or []
    if len(containers) > MAX_INIT_CONTAINERS:
        raise invalid(
            "TooManyInitContainers",
            f"Container group '{name}' has {len(containers)} init containers; at most {MAX_INIT_CONTAINERS} are"
            " allowed.",
            "properties.initContainers",
        )
    volumes = [volume.name or "" for volume in properties.volumes or []]
    for index, container in enumerate(containers):
        path = f"properties.initContainers[{index}]"
        check_container_name(name, container.name, path)
        own, inner = container.name or "", container.properties
        check_image(name, own, inner.image if inner else None, path)
        if inner is None:
            continue
        path = f"{path}.properties"
        for field, value in (
            ("ports", inner.ports),
            ("resources", inner.resources),
            ("livenessProbe", inner.liveness_probe),
            ("readinessProbe", inner.readiness_probe),
        ):
            if value is not None:
                raise invalid(
                    "InvalidInitContainer",
                    f"The init container '{own}' in container group '{name}' has '{field}', which an init container"
                    " cannot have.",
                    f"{path}.{field}",
                )
        check_command(name, own, inner.command, f"{path}.command")
        check_environment(name, own, inner.environment_variables or [], f"{path}.environmentVariables")
        check_mounts(name, own, inner.volume_mounts or [], f"{path}.volumeMounts", volumes)
