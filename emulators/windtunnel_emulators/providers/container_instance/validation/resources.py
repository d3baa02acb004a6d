"""Rules of cores and memory: of each container, and of the group in its location.

Microsoft's documentation says that a group gets at least one core and 1 GB; smaller requests are accepted, as the
service accepts them (Azure Machine Learning's default was 0.1 cores and 0.5 GB).
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.arm.errors import ArmError

from .terms import invalid

if TYPE_CHECKING:
    from windtunnel_emulators.providers.container_instance.bodies import GroupProperties
    from windtunnel_emulators.providers.container_instance.capabilities import Ceiling
    from windtunnel_emulators.providers.container_instance.container_bodies import Amounts, Container, Resources

_SINCE = "2017-07-01-preview"
_CPU_STEP, _MEMORY_STEP = 0.01, 0.1
_SPOT_CPU, _SPOT_MEMORY = 4.0, 16.0


def totals(properties: GroupProperties) -> tuple[float, float]:
    """Cores and GB that the containers request together."""
    amounts = [_requests(container) for container in properties.containers or []]
    cpu = math.fsum(a.cpu or 0.0 for a in amounts if a is not None)
    memory = math.fsum(a.memory_in_gb or 0.0 for a in amounts if a is not None)
    return round(cpu, 4), round(memory, 4)


def check_resources(name: str, properties: GroupProperties, location: str, ceiling: Ceiling) -> None:
    """Every container requests both, in the service's steps; limits fit in the group, the group in its location."""
    containers = properties.containers or []
    for index, container in enumerate(containers):
        _check_requests(name, container, f"properties.containers[{index}].properties.resources")
    cpu, memory = totals(properties)
    for index, container in enumerate(containers):
        resources = container.properties.resources if container.properties else None
        if resources is not None and resources.limits is not None:
            path = f"properties.containers[{index}].properties.resources.limits"
            _check_limits(name, container.name or "", resources, (cpu, memory), path)
    most_cpu, most_memory = ceiling.cpu, ceiling.memory_gb
    if properties.priority == "Spot":
        most_cpu, most_memory = min(most_cpu, _SPOT_CPU), min(most_memory, _SPOT_MEMORY)
    if cpu > most_cpu or memory > most_memory:
        raise ArmError(
            409,
            "ServiceUnavailable",
            f"The requested resource is not available in the location '{location}' at this moment. Please retry with a"
            f" different resource request or in another location. Resource requested: '{cpu:g}' CPU '{memory:g}' GB"
            f" memory '{properties.os_type}' OS",
            target="properties.containers",
        )


def _requests(container: Container) -> Amounts | None:
    resources = container.properties.resources if container.properties else None
    return resources.requests if resources else None


def _check_requests(name: str, container: Container, path: str) -> None:
    own, requests = container.name or "", _requests(container)
    if requests is None or (requests.cpu is None and requests.memory_in_gb is None):
        raise invalid(
            "ResourceRequestsNotSpecified",
            f"The resource requests are not specified in container '{own}' of contain group '{name}'. Both memory and"
            f" CPU requests are required since API version '{_SINCE}'.",
            f"{path}.requests",
        )
    for label, field, value, step in (
        ("MemoryInGB", "memoryInGB", requests.memory_in_gb, _MEMORY_STEP),
        ("Cpu", "cpu", requests.cpu, _CPU_STEP),
    ):
        if value is None:
            raise invalid(
                "ResourceSomeRequestsNotSpecified",
                f"The '{label}' request is not specified in container '{own}' of contain group '{name}'. It is"
                f" required since API version '{_SINCE}'.",
                f"{path}.requests.{field}",
            )
        _check_amount(name, own, f"'{label}' request", value, step, f"{path}.requests.{field}")
    limits = container.properties.resources.limits if container.properties and container.properties.resources else None
    for amounts, where in ((requests, "requests"), (limits, "limits")):
        if amounts is not None and amounts.gpu is not None:
            raise invalid(
                "GpuNotSupported",
                f"The GPU resource '{amounts.gpu.sku or ''}' of container '{own}' in container group '{name}' cannot be"
                " had: Azure Container Instances has no GPUs any more since 14 July 2025.",
                f"{path}.{where}.gpu",
            )


def _check_amount(name: str, container: str, label: str, value: float, step: float, path: str) -> None:
    steps = value / step if math.isfinite(value) else math.inf
    if not value > 0 or not math.isfinite(steps) or abs(steps - round(steps)) > 1e-6 or round(steps) < 1:
        raise invalid(
            "InvalidResourceRequest",
            f"The {label} '{value:g}' in container '{container}' of container group '{name}' is invalid. It must be"
            f" greater than 0, in steps of {step:g}.",
            path,
        )


def _check_limits(name: str, container: str, resources: Resources, total: tuple[float, float], path: str) -> None:
    limits, requests = resources.limits, resources.requests
    if limits is None or requests is None:
        return
    for label, field, limit, request, most, step in (
        ("Cpu", "cpu", limits.cpu, requests.cpu, total[0], _CPU_STEP),
        ("MemoryInGB", "memoryInGB", limits.memory_in_gb, requests.memory_in_gb, total[1], _MEMORY_STEP),
    ):
        if limit is None:
            continue
        _check_amount(name, container, f"'{label}' limit", limit, step, f"{path}.{field}")
        if limit < (request or 0.0):
            requirement = json.dumps(msgspec.to_builtins(resources), separators=(",", ":"))
            raise invalid(
                "ResourceLimitsLessThanRequests",
                f"The resource requirement '{requirement}' in container '{container}' of contain group '{name}' is"
                f" invalid. The '{label}' limit value must be greater than or equal to the request value.",
                f"{path}.{field}",
            )
        if limit > most + 1e-9:
            raise invalid(
                "ContainerLimitGreaterThanContainerGroupTotalRequest",
                f"The '{label}' limit '{limit:g}' in container '{container}' is greater than the total request"
                f" '{most:g}' of container group '{name}'.",
                f"{path}.{field}",
            )
