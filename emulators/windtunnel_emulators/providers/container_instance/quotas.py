"""How much a subscription may have in a region: one source for enforcing and for the answer to ``usages``.

The published limits are ``quotas.toml`` beside this file; a file in the state folder overrides single numbers, so that
a test of a thousand groups, or of a quota of two, need not rebuild anything.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError

from .capabilities import normal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from windtunnel_emulators.jsontypes import Json

OVERRIDES = "container_instance_quotas.toml"
_NAMES = {
    "ContainerGroups": "Container Groups",
    "StandardCores": "Standard Cores",
    "StandardSpotCores": "Standard Spot Cores",
    "DedicatedContainerGroups": "Dedicated Container Groups",
    "ConfidentialCores": "Confidential Cores",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one group takes of the quotas, and the name it occupies."""

    key: str
    """Of the resource."""
    subscription: str
    """In lower case."""
    location: str
    """Without blanks, in lower case."""
    sku: str
    spot: bool
    cores: float
    fqdn: str | None
    """The name that no other group may have; None without one."""

    def amounts(self) -> dict[str, int]:
        """By quota: what is counted for it."""
        cores = math.ceil(self.cores - 1e-9)
        if self.spot:
            return {"ContainerGroups": 1, "StandardSpotCores": cores}
        if self.sku == "Dedicated":
            return {"ContainerGroups": 1, "DedicatedContainerGroups": 1}
        return {"ContainerGroups": 1, "ConfidentialCores" if self.sku == "Confidential" else "StandardCores": cores}


class Quotas:
    """The limits as they are now."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / OVERRIDES
        self._read_at = 0
        self._limits = published()["limits"]

    @property
    def limits(self) -> Mapping[str, int]:
        """By quota. Raises ``ArmError`` 409 for a file of overrides that cannot be used."""
        try:
            changed = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            changed = 0
        if changed != self._read_at:
            self._limits = {**published()["limits"], **(_overrides(self._path) if changed else {})}
            self._read_at = changed
        return self._limits

    def refusal(self, asked: Entry, others: Iterable[Entry]) -> ArmError | None:
        """The refusal of a group that does not fit beside the others; None when it fits."""
        used = usage(asked.subscription, asked.location, others)
        for quota, amount in asked.amounts().items():
            limit, usage_now = self.limits[quota], used.get(quota, 0)
            if usage_now + amount > limit:
                return ArmError(
                    400,
                    "ContainerGroupQuotaReached",
                    f"Resource type 'Microsoft.ContainerInstance/containerGroups' container group quota '{quota}'"
                    f" exceeded in region '{asked.location}'. Limit: '{limit}', Usage: '{usage_now}'"
                    f" Requested: '{amount}'.",
                )
        return None

    def listing(self, subscription: str, location: str, entries: Iterable[Entry]) -> list[Json]:
        """The answer to ``locations/{location}/usages``."""
        used = usage(subscription, location, entries)
        return [
            {
                "id": f"/subscriptions/{subscription}/providers/Microsoft.ContainerInstance/locations/"
                f"{normal(location)}/usages/{quota}",
                "unit": "Count",
                "currentValue": used.get(quota, 0),
                "limit": limit,
                "name": {"value": quota, "localizedValue": _NAMES.get(quota, quota)},
            }
            for quota, limit in self.limits.items()
        ]


def usage(subscription: str, location: str, entries: Iterable[Entry]) -> dict[str, int]:
    """What the groups of a subscription take in a region, by quota."""
    used: dict[str, int] = {}
    subscription, location = subscription.lower(), normal(location)
    for entry in entries:
        if entry.location == location and entry.subscription == subscription:
            for quota, amount in entry.amounts().items():
                used[quota] = used.get(quota, 0) + amount
    return used


@cache
def published() -> dict[str, dict[str, int]]:
    """The data file: ``limits`` and ``rates``."""
    text = resources.files(__package__ or "").joinpath("quotas.toml").read_text("utf-8")
    return {
        table: {name: int(value) for name, value in values.items()} for table, values in tomllib.loads(text).items()
    }


def _overrides(path: Path) -> dict[str, int]:
    known, found = published()["limits"], dict[str, int]()
    try:
        data: dict[str, Json] = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise _unreadable(path, str(problem)) from problem
    table = data.get("limits", {})
    if not isinstance(table, dict):
        raise _unreadable(path, "'limits' is no table")
    for name, value in table.items():
        if name not in known:
            raise _unreadable(path, f"there is no quota {name!r}; there are {', '.join(known)}")
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise _unreadable(path, f"{name} is {value!r} and must be a whole number, 0 or more")
        found[name] = value
    return found


def _unreadable(path: Path, why: str) -> ArmError:
    return ArmError(409, "InvalidQuotaOverride", f"The quotas in {path} cannot be used: {why}. Correct or remove it.")
