"""Rules of the containers of a group, and those that init containers share with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.images.errors import ReferenceProblem
from windtunnel_emulators.images.reference import Reference
from windtunnel_emulators.providers.container_instance.container_bodies import PROTOCOLS

from .environment import check_environment
from .mounts import check_mounts
from .probes import check_probe
from .terms import MAX_PORT, NAME_RULE, invalid, is_name, is_port, one_of, repeated

if TYPE_CHECKING:
    from windtunnel_emulators.providers.container_instance.bodies import GroupProperties
    from windtunnel_emulators.providers.container_instance.container_bodies import Container, ContainerPort

MAX_CONTAINERS = 60


def check_containers(name: str, properties: GroupProperties) -> None:
    """Between one and sixty, each of them whole."""
    containers = properties.containers or []
    if not containers:
        raise invalid(
            "MissingContainers",
            f"The containers in container group '{name}' cannot be empty.",
            "properties.containers",
        )
    if len(containers) > MAX_CONTAINERS:
        raise invalid(
            "TooManyContainers",
            f"Container group '{name}' has {len(containers)} containers; at most {MAX_CONTAINERS} are allowed.",
            "properties.containers",
        )
    volumes = [volume.name or "" for volume in properties.volumes or []]
    for index, container in enumerate(containers):
        _check_container(name, container, f"properties.containers[{index}]", volumes)
    _check_distinct(name, properties, containers)


def _check_container(name: str, container: Container, path: str, volumes: list[str]) -> None:
    check_container_name(name, container.name, path)
    own, properties = container.name or "", container.properties
    check_image(name, own, properties.image if properties else None, path)
    if properties is None:
        return
    path = f"{path}.properties"
    check_command(name, own, properties.command, f"{path}.command")
    for index, port in enumerate(properties.ports or []):
        _check_port(name, own, port, f"{path}.ports[{index}]")
    check_environment(name, own, properties.environment_variables or [], f"{path}.environmentVariables")
    check_mounts(name, own, properties.volume_mounts or [], f"{path}.volumeMounts", volumes)
    for field, probe in (("livenessProbe", properties.liveness_probe), ("readinessProbe", properties.readiness_probe)):
        if probe is not None:
            check_probe(name, own, field, probe, f"{path}.{field}")


def check_container_name(name: str, container: str | None, path: str) -> None:
    """Required, and a DNS label."""
    if not is_name(container):
        raise invalid(
            "InvalidContainerName",
            f"The container name '{container or ''}' in container group '{name}' is invalid. {NAME_RULE}",
            f"{path}.name",
        )


def check_image(name: str, container: str, image: str | None, path: str) -> None:
    """Required, and a reference."""
    if not image:
        raise invalid(
            "MissingImage",
            f"The image of container '{container}' in container group '{name}' is not specified.",
            f"{path}.properties.image",
        )
    try:
        Reference.parse(image)
    except ReferenceProblem as problem:
        raise invalid(
            "InvalidImageName",
            f"The image of container '{container}' in container group '{name}' is invalid: {problem}.",
            f"{path}.properties.image",
        ) from problem


def check_command(name: str, container: str, command: list[str] | None, path: str) -> None:
    """Its first word is not empty, and no word has a null character, which no process could be given."""
    if command and not command[0]:
        raise invalid(
            "InvalidCommand",
            f"The command of container '{container}' in container group '{name}' begins with an empty word.",
            f"{path}[0]",
        )
    for index, word in enumerate(command or []):
        if "\0" in word:
            raise invalid(
                "InvalidCommand",
                f"The command of container '{container}' in container group '{name}' has a null character.",
                f"{path}[{index}]",
            )


def _check_port(name: str, container: str, port: ContainerPort, path: str) -> None:
    if not is_port(port.port):
        raise invalid(
            "InvalidContainerPort",
            f"The port '{'' if port.port is None else port.port}' in container '{container}' of container group"
            f" '{name}' is invalid. It must be between 1 and {MAX_PORT}.",
            f"{path}.port",
        )
    if port.protocol is not None and port.protocol not in PROTOCOLS:
        raise invalid(
            "InvalidContainerPortProtocol",
            f"The protocol '{port.protocol}' of port '{port.port}' in container '{container}' of container group"
            f" '{name}' is invalid. {one_of(PROTOCOLS)}",
            f"{path}.protocol",
        )


def _check_distinct(name: str, properties: GroupProperties, containers: list[Container]) -> None:
    names = [c.name for c in containers] + [c.name for c in properties.init_containers or []]
    twice = repeated(names)
    if twice is not None:
        raise invalid(
            "DuplicateContainerName",
            f"The container name '{twice}' is there more than once in container group '{name}'.",
            "properties.containers",
        )
    taken: dict[tuple[int, str], str] = {}
    for index, container in enumerate(containers):
        for place, port in enumerate(container.properties.ports or [] if container.properties else []):
            key = (port.port or 0, port.protocol or PROTOCOLS[0])
            if key in taken:
                raise invalid(
                    "DuplicateContainerPort",
                    f"The port '{key[0]}' ({key[1]}) of container '{container.name}' is already used by container"
                    f" '{taken[key]}' in container group '{name}'; containers of a group share one address.",
                    f"properties.containers[{index}].properties.ports[{place}]",
                )
            taken[key] = container.name or ""
