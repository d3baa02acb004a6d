"""What a node of a VM size has, from ``sizes.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from windtunnel_emulators.arm.errors import ArmError

if TYPE_CHECKING:
    from collections.abc import Mapping

_EPHEMERAL_GB = 128
"""A system disk that fits into a size's cache is ephemeral."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One VM size."""

    name: str
    cores: int
    memory_gb: float
    cache_gb: int = 0
    extended: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def memory_bytes(self) -> int:
        return int(self.memory_gb * 1024**3)

    @property
    def disk(self) -> tuple[str, int]:
        """Type and size of the system disk that a node gets by default."""
        return ("Ephemeral", self.cache_gb) if self.cache_gb >= _EPHEMERAL_GB else ("Managed", 128)


@cache
def sizes() -> dict[str, Size]:
    """All sizes by their name in lower case."""
    data = _data()
    cache_gb, extended = data["cache_gb"], data["extended"]
    found: dict[str, tuple[int, float]] = {name: (int(c), float(gb)) for name, (c, gb) in data["sizes"].items()}
    for pattern, (per_core, counts) in data["families"].items():
        found.update({pattern.format(count): (count, count * per_core) for count in counts})
    return {
        name.lower(): Size(
            name=name,
            cores=cores,
            memory_gb=memory,
            cache_gb=int(cache_gb.get(name, 0)),
            extended=dict(extended.get(name, {})),
        )
        for name, (cores, memory) in found.items()
    }


def default() -> str:
    """What a pool gets that names none."""
    return str(_data()["default"])


def size(name: str, location: str) -> Size:
    """Raises ``ArmError`` 400 for a size that is not to be had."""
    found = sizes().get(name.lower())
    if found is None:
        some = ",".join(sorted(sizes()))
        raise ArmError(
            400,
            "BadRequest",
            f"The VM size of {name} is not allowed in your subscription in location '{location}'. The available VM"
            f" sizes are '{some}'. For more details, please visit https://aka.ms/aks/quotas-skus-regions",
            target="agentPoolProfile.vmSize",
        )
    return found


@cache
def _data() -> dict[str, Any]:
    text = resources.files(__package__ or "").joinpath("sizes.toml").read_text("utf-8")
    return tomllib.loads(text)
