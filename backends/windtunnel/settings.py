"""The settings that a profile may have: one table for files, environment, flags, errors and ``config show``."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from windtunnel.errors import NotConfigured

if TYPE_CHECKING:
    from collections.abc import Iterable

Value: TypeAlias = "str | int | float | bool"


class Kind(StrEnum):
    """What a value must be."""

    TEXT = "text"
    WHOLE = "whole number"
    NUMBER = "number"
    SWITCH = "true or false"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting. It is ``key`` in a file, ``WINDTUNNEL_KEY`` in the environment and ``--key`` on the command line."""

    key: str
    help: str
    kind: Kind = Kind.TEXT
    also: tuple[str, ...] = ()
    """Environment variables of others that are looked at when ours is not set."""

    @property
    def variable(self) -> str:
        """Our environment variable."""
        return f"WINDTUNNEL_{self.key.upper()}"

    @property
    def flag(self) -> str:
        """As a person writes it on the command line."""
        if self.key in FLAGS:
            return f"--{self.key.replace('_', '-')}"
        return f"--set {self.key}=..."

    def parse(self, text: str, origin: str) -> Value:
        """A value from text. Raises ``NotConfigured``."""
        word = text.strip()
        try:
            match self.kind:
                case Kind.TEXT:
                    return word
                case Kind.WHOLE:
                    return int(word)
                case Kind.NUMBER:
                    return float(word)
                case Kind.SWITCH:
                    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[word.lower()]
        except (ValueError, KeyError) as error:
            raise NotConfigured(f"{self.key} is {text!r} ({origin}); it must be a {self.kind}") from error

    def check(self, value: object, origin: str) -> Value:
        """A value from a TOML file. Raises ``NotConfigured``."""
        fits = {
            Kind.TEXT: isinstance(value, str),
            Kind.WHOLE: isinstance(value, int) and not isinstance(value, bool),
            Kind.NUMBER: isinstance(value, int | float) and not isinstance(value, bool),
            Kind.SWITCH: isinstance(value, bool),
        }[self.kind]
        if not fits or not isinstance(value, str | int | float | bool):
            raise NotConfigured(f"{self.key} is {value!r} ({origin}); it must be a {self.kind}")
        return value


FLAGS = frozenset({"subscription", "resource_group", "location", "registry", "state_dir"})
"""Settings with a flag of their own; the others are given as ``--set key=value``."""

SETTINGS: dict[str, Setting] = {
    s.key: s
    for s in (
        Setting(key="backend", help="the backend of this profile; default: the profile's own name"),
        Setting(key="subscription", help="id of the Azure subscription", also=("AZURE_SUBSCRIPTION_ID",)),
        Setting(key="resource_group", help="resource group of everything that is made; created when missing"),
        Setting(key="location", help="Azure region, as in westeurope"),
        Setting(key="registry", help="name of the container registry; created when missing"),
        Setting(key="registry_identity", help="resource id of a managed identity that may pull from the registry"),
        Setting(key="tenant", help="id of the Entra tenant", also=("AZURE_TENANT_ID",)),
        Setting(key="owner", help="written into the tag windtunnel-owner; default: the user's name"),
        Setting(key="expires_hours", kind=Kind.NUMBER, help="after which `sweep` removes a service; 0: never"),
        Setting(key="fpga_quota", kind=Kind.WHOLE, help="FPGA services that the resource group may have; default: 1"),
        Setting(key="iot_hub", help="name of the IoT hub; made by the first deployment to IoT Edge"),
        Setting(key="edge_device", help="IoT Edge device of that hub; made when missing; default: windtunnel-edge"),
        Setting(key="cluster", help="name of the AKS cluster; made by the first deployment; default: windtunnel"),
        Setting(key="cluster_purpose", help="FastProd (production: at least 12 virtual CPUs) or DevTest"),
        Setting(key="agent_count", kind=Kind.WHOLE, help="nodes of the cluster; default: 3, for DevTest 1"),
        Setting(key="vm_size", help="size of the cluster's nodes; default: Standard_D3_v2"),
        Setting(key="kubernetes_version", help="of a new cluster; default: the platform's own"),
        Setting(
            key="otlp_endpoint",
            help="where telemetry of AKS services goes (OTLP over HTTP)",
            also=("OTEL_EXPORTER_OTLP_ENDPOINT",),
        ),
        Setting(key="storage", help="storage account for collected inputs and predictions; created when missing"),
        Setting(key="base_image", help="what images start from; default: Docker Hub's python, slim"),
        Setting(key="python", help="Python version of the image; default: this interpreter's"),
        Setting(key="state_dir", help="folder of the emulators; also finds those that run"),
        Setting(key="port", kind=Kind.WHOLE, help="port of the emulators' front door; 0: any free one"),
        Setting(key="pace", help="how fast the emulators let Azure's waits pass: fast, azure, or a factor"),
        Setting(key="runtime", help="how the emulators run containers: process, docker or kubernetes"),
        Setting(key="kubernetes", help="what serves the emulators' Kubernetes API: embedded, binaries or kind"),
        Setting(key="data_dir", help="folder of the client's own records: keys and specs of what was deployed"),
        Setting(key="resource_manager", help="ARM endpoint of another Azure cloud"),
        Setting(key="authority", help="Entra endpoint of another Azure cloud"),
        Setting(key="ca_file", help="PEM file of the authorities to trust"),
    )
}


def setting(key: str, origin: str) -> Setting:
    """The setting of that key. Raises ``NotConfigured`` with the nearest name."""
    found = SETTINGS.get(key)
    if found is None:
        raise NotConfigured(f"unknown setting {key!r} ({origin}){nearest(key, SETTINGS)}")
    return found


def nearest(word: str, words: Iterable[str]) -> str:
    """``; did you mean ...?`` when one of the words is close, else what there is."""
    known = sorted(words)
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known) or 'none'}"
