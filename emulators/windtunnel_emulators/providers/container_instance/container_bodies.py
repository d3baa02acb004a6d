"""The part of a container group's body that says what one container is."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec

from .fields import words

AnyObject: TypeAlias = dict[str, Any]
"""An object whose content is not read; ``Json`` is recursive, which msgspec does not support."""


class Body(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A JSON object of the service; fields that it does not know are dropped, null is absent."""


PROTOCOLS = ("TCP", "UDP")
SCHEMES = ("http", "https")

Protocol: TypeAlias = Annotated[str, words(*PROTOCOLS)]
Scheme: TypeAlias = Annotated[str, words(*SCHEMES)]


class ContainerPort(Body):
    """A port that a container listens on."""

    port: int | None = None
    protocol: Protocol | None = None


class EnvironmentVariable(Body):
    """A variable, with a value that is shown or one that never is."""

    name: str | None = None
    value: str | None = None
    secure_value: str | None = None
    secure_value_reference: str | None = None


class GpuResource(Body):
    """Graphics processors of a container."""

    count: int | None = None
    sku: str | None = None


class Amounts(Body):
    """Cores and memory."""

    memory_in_gb: float | None = msgspec.field(default=None, name="memoryInGB")
    cpu: float | None = None
    gpu: GpuResource | None = None


class Resources(Body):
    """What a container is given at least, and at most."""

    requests: Amounts | None = None
    limits: Amounts | None = None


class VolumeMount(Body):
    """Where a volume of the group is seen in a container."""

    name: str | None = None
    mount_path: str | None = None
    read_only: bool | None = None


class ContainerExec(Body):
    """A probe by a command."""

    command: list[str] | None = None


class HttpHeader(Body):
    """A header that a probe sends."""

    name: str | None = None
    value: str | None = None


class HttpGet(Body):
    """A probe by a request."""

    path: str | None = None
    port: int | None = None
    scheme: Scheme | None = None
    http_headers: list[HttpHeader] | None = None


class Probe(Body):
    """A question that a container is asked again and again."""

    exec: ContainerExec | None = None
    http_get: HttpGet | None = None
    initial_delay_seconds: int | None = None
    period_seconds: int | None = None
    failure_threshold: int | None = None
    success_threshold: int | None = None
    timeout_seconds: int | None = None


class Capabilities(Body):
    """Linux capabilities of a container."""

    add: list[str] | None = None
    drop: list[str] | None = None


class SecurityContext(Body):
    """What a container's processes may do."""

    privileged: bool | None = None
    allow_privilege_escalation: bool | None = None
    capabilities: Capabilities | None = None
    run_as_group: int | None = None
    run_as_user: int | None = None
    seccomp_profile: str | None = None


class ConfigMap(Body):
    """Settings that a container of a standby pool is given when it is taken."""

    key_value_pairs: dict[str, str] | None = None


class ContainerProperties(Body):
    """What a container runs, and with what."""

    image: str | None = None
    command: list[str] | None = None
    ports: list[ContainerPort] | None = None
    environment_variables: list[EnvironmentVariable] | None = None
    config_map: ConfigMap | None = None
    resources: Resources | None = None
    volume_mounts: list[VolumeMount] | None = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    security_context: SecurityContext | None = None


class Container(Body):
    """One container of a group."""

    name: str | None = None
    properties: ContainerProperties | None = None


class InitContainerProperties(Body):
    """What an init container runs; the fields it may not have are read, to be refused."""

    image: str | None = None
    command: list[str] | None = None
    environment_variables: list[EnvironmentVariable] | None = None
    volume_mounts: list[VolumeMount] | None = None
    security_context: SecurityContext | None = None
    ports: list[ContainerPort] | None = None
    resources: Resources | None = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None


class InitContainer(Body):
    """A container that runs, and ends, before the others start."""

    name: str | None = None
    properties: InitContainerProperties | None = None
