"""What the user asks for: ``Spec`` for a new service, ``Change`` for one that runs; checked when they are made.

Defaults, rules and messages are those of Azure ML's ``deploy_configuration`` (azureml-core 1.61).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from windtunnel import names
from windtunnel.aks_options import AksChange, AksOptions
from windtunnel.edge_options import EdgeOptions
from windtunnel.errors import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MOST_REPLICAS = 64
_NOTHING: Mapping[str, str] = MappingProxyType({})
RESERVED_ENVIRONMENT = frozenset(
    {
        "SERVICE_NAME",
        "AML_APP_ROOT",
        "AZUREML_MODEL_DIR",
        *(
            f"WINDTUNNEL_{name}"
            for name in (
                "ADDRESS",
                "PORT",
                "FRONTEND_PORT",
                "UPSTREAM_PORT",
                "PRIMARY_KEY",
                "SECONDARY_KEY",
                "TLS_CERT",
                "TLS_KEY",
                "REPLICAS",
                "SERVICE",
            )
        ),
    }
)
"""Variables of the containers that users do not set."""


class Target(StrEnum):
    """Where a model runs."""

    ACI = "aci"
    AKS = "aks"
    IOT_EDGE = "iotedge"
    FPGA = "fpga"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The user's certificate for a service, and the host name that it is for."""

    certificate: Path
    key: Path
    cname: str

    def __post_init__(self) -> None:
        if not self.cname:
            raise InvalidSpec("SSL is enabled, you must provide a SSL certificate, key, and cname.")
        if not self.certificate.is_file():
            raise InvalidSpec(f"Error, unable to find SSL cert pem file provided paths:\n{self.certificate}")
        if not self.key.is_file():
            raise InvalidSpec(f"Error, unable to find SSL key pem file provided paths:\n{self.key}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A ``score.py`` with ``init()`` and ``run()``, and the requirements file that it needs."""

    entry: Path
    requirements: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenKeys:
    """Keys of the user's own choice; generated ones otherwise."""

    primary: str = field(repr=False)
    secondary: str = field(repr=False)

    def __post_init__(self) -> None:
        for name, value in (("primary_key", self.primary), ("secondary_key", self.secondary)):
            check_key(name, value)
        if self.primary == self.secondary:
            raise InvalidSpec("primary_key and secondary_key are the same; two different keys are needed")


def check_key(name: str, value: str) -> str:
    """The key, if it can be sent in a header; raises ``InvalidSpec`` without showing it."""
    if not 16 <= len(value) <= 256 or not all("!" <= c <= "~" for c in value):
        raise InvalidSpec(f"{name} is invalid: 16 to 256 printable ASCII characters without spaces")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class AciOptions:
    """What only Azure Container Instances needs to know."""

    cpu: float = 0.1
    memory_gb: float = 0.5
    port: int | None = None
    """What is exposed. Default: 5001, with TLS 5443.

    A container group has no port mapping, and neither needs a privileged process."""
    dns_name_label: str | None = None
    location: str | None = None
    """Default: the profile's."""

    def __post_init__(self) -> None:
        if not self.cpu > 0:
            raise InvalidSpec("Invalid configuration, cpu_cores must be positive.")
        if not self.memory_gb > 0:
            raise InvalidSpec("Invalid configuration, memory_gb must be positive.")
        if self.port is not None and not 1 <= self.port <= 65535:
            raise InvalidSpec("Invalid configuration, port must be an integer in range [1, 65535]")
        if self.dns_name_label is not None:
            names.check_dns_label(self.dns_name_label)


@dataclass(frozen=True, slots=True, kw_only=True)
class FpgaOptions:
    """What only the FPGA target needs to know."""

    replicas: int = 1
    """Devices."""
    cpu: float = 1.0
    """Of the container that emulates the device: not 0.1, or a prediction would take ten times as long."""
    memory_gb: float = 1.5

    def __post_init__(self) -> None:
        if not 1 <= self.replicas <= MOST_REPLICAS:
            raise InvalidSpec(f"Invalid configuration, num_replicas must be from 1 to {MOST_REPLICAS}.")
        if not self.cpu > 0:
            raise InvalidSpec("Invalid configuration, cpu_cores must be positive.")
        if not self.memory_gb > 0:
            raise InvalidSpec("Invalid configuration, memory_gb must be positive.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One service to deploy."""

    name: str
    model: Path
    target: Target = Target.ACI
    model_name: str | None = None
    """Default: the stem of the model's file."""
    script: Script | None = None
    """Without one, the model is served as it is."""
    aci: AciOptions = field(default_factory=AciOptions)
    """Of the FPGA target too, as long as it runs in a container group: port, host name, location."""
    fpga: FpgaOptions = field(default_factory=FpgaOptions)
    aks: AksOptions = field(default_factory=AksOptions)
    edge: EdgeOptions = field(default_factory=EdgeOptions)
    auth_enabled: bool | None = None
    """Default: Azure ML's, on AKS yes (unless tokens are asked for), elsewhere no."""
    keys: ChosenKeys | None = None
    tls: Tls | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    tags: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    autoscale: bool = False
    app_insights: bool = False
    collect_model_data: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        names.check_service(self.name)
        if self.model_name is not None:
            names.check_model(self.model_name)
        if self.auth_enabled and self.aks.token_auth_enabled:
            raise InvalidSpec("Invalid configuration, auth_enabled and token_auth_enabled cannot both be true.")
        if self.keys is not None and not self.authenticates:
            raise InvalidSpec("keys were given, but auth_enabled is false", way_out="Enable authentication as well.")
        shares = self.target is not Target.AKS and (self.authenticates or self.tls is not None)
        if shares and (self.aci.memory_gb < 0.2 or self.aci.cpu < 0.02):
            raise InvalidSpec(
                f"{self.aci.cpu:g} cores and {self.aci.memory_gb:g} GB are too little for a scoring server and a front"
                " end: at least 0.02 cores and 0.2 GB"
            )
        _check_tags(self.tags)
        _check_environment(self.environment)

    @property
    def authenticates(self) -> bool:
        """Whether predictions need one of two keys."""
        if self.auth_enabled is None:
            return self.target is Target.AKS and not self.aks.token_auth_enabled
        return self.auth_enabled

    @property
    def effective_model_name(self) -> str:
        """The name that the model has in the container's model folder."""
        return self.model_name or names.model_name_of(self.model.stem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What to change of a running service; None leaves a thing as it is."""

    model: Path | None = None
    script: Script | None = None
    environment: Mapping[str, str] | None = None
    tags: Mapping[str, str] | None = None
    auth_enabled: bool | None = None
    tls: Tls | None = None
    cpu: float | None = None
    """Refused by targets that withhold ``resize``."""
    memory_gb: float | None = None
    """Refused by targets that withhold ``resize``."""
    aks: AksChange | None = None
    """What only AKS has; refused elsewhere."""

    def __post_init__(self) -> None:
        if all(getattr(self, f.name) is None for f in fields(self)):
            raise InvalidSpec("No parameters provided to update.")
        if self.auth_enabled and self.aks is not None and self.aks.token_auth_enabled:
            raise InvalidSpec("Error, cannot set both token_auth_enabled and auth_enabled.")
        _check_tags(self.tags or _NOTHING)
        _check_environment(self.environment or _NOTHING)

    @property
    def only_tags(self) -> bool:
        """Whether the service itself stays as it is."""
        return all(getattr(self, f.name) is None for f in fields(self) if f.name != "tags")


def _check_tags(tags: Mapping[str, str]) -> None:
    # ARM takes 50; the ones that Windtunnel adds itself count too.
    if len(tags) > names.TAGS_MAXIMUM - 10:
        raise InvalidSpec(f"{len(tags)} tags are too many: at most {names.TAGS_MAXIMUM - 10}")
    for name, value in tags.items():
        names.check_tag(name, value)
        if name.lower().startswith("windtunnel-"):
            raise InvalidSpec(f"the tag name {name!r} is reserved: Windtunnel's own tags start with 'windtunnel-'")


def _check_environment(environment: Mapping[str, str]) -> None:
    for name in environment:
        names.check_environment(name)
        if name in RESERVED_ENVIRONMENT:
            raise InvalidSpec(f"the environment variable {name!r} is reserved: Windtunnel sets it itself")
