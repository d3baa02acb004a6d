"""Where container groups can be and how large: read from ``capabilities.toml``, enforced, and answered."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.jsontypes import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What one group may request."""

    cpu: float
    memory_gb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The data file, typed."""

    locations: tuple[str, ...]
    """Display names."""
    sizes: Mapping[str, Ceiling]
    """By SKU."""


@cache
def capabilities() -> Capabilities:
    """What is published, read once."""
    text = resources.files(__package__ or "").joinpath("capabilities.toml").read_text("utf-8")
    data = tomllib.loads(text)
    return Capabilities(
        locations=tuple(str(name) for name in data["locations"]),
        sizes={
            sku: Ceiling(cpu=float(size["cpu"]), memory_gb=float(size["memory_gb"]))
            for sku, size in data["sizes"].items()
        },
    )


def ceiling(sku: str | None) -> Ceiling:
    """The ceiling of a SKU; an unknown one has that of Standard."""
    sizes = capabilities().sizes
    return sizes.get(sku or "Standard", sizes["Standard"])


def normal(location: str) -> str:
    """A location as ids and resources spell it: ``West US 2`` is ``westus2``."""
    return location.replace(" ", "").lower()


def display(location: str) -> str | None:
    """The display name of a location; None when there is none of that name."""
    wanted = normal(location)
    return next((name for name in capabilities().locations if normal(name) == wanted), None)


def listing(location: str) -> list[Json]:
    """The answer to ``locations/{location}/capabilities``."""
    name, size = display(location) or location, ceiling("Standard")
    return [
        {
            "resourceType": "containerGroups",
            "osType": "Linux",
            "location": name,
            "ipAddressType": kind,
            "gpu": "None",
            "capabilities": {"maxMemoryInGB": size.memory_gb, "maxCpu": size.cpu, "maxGpuCount": 0},
        }
        for kind in ("Public", "Private")
    ]
