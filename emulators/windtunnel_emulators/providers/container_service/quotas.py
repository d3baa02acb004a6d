"""How much a subscription may have in a region: published limits, which a file in the state folder overrides."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources as files
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.jsontypes import as_list, as_object, as_str

from . import sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from windtunnel_emulators.arm.provider import Resource
    from windtunnel_emulators.jsontypes import Json, JsonObject

OVERRIDES = "container_service_quotas.toml"


class Quotas:
    """The limits as they are now, and what is used of them."""

    def __init__(self, folder: Path, clusters: Callable[[], Iterable[Resource]]) -> None:
        self._path = folder / OVERRIDES
        self._clusters = clusters

    @property
    def limits(self) -> Mapping[str, int]:
        """Raises ``ArmError`` 409 for a file of overrides that cannot be used."""
        if not self._path.is_file():
            return published()
        try:
            table = tomllib.loads(self._path.read_text("utf-8")).get("limits", {})
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
            raise self._unreadable(str(problem)) from problem
        for name, value in table.items():
            if name not in published() or not isinstance(value, int) or value < 0:
                raise self._unreadable(f"{name} = {value!r} is none of {', '.join(published())} with a whole number")
        return {**published(), **table}

    def check(self, subscription: str, location: str, key: str, wanted: JsonObject) -> None:
        """Raises ``ArmError`` for a cluster, new or changed, that does not fit beside the others."""
        limits = self.limits
        pools = [as_object(pool) for pool in as_list(wanted.get("agentPoolProfiles"))]
        if len(pools) > limits["pools_per_cluster"]:
            raise _too_many(f"agent pools of a cluster is {limits['pools_per_cluster']}", len(pools))
        for pool in pools:
            if _count(pool) > limits["nodes_per_pool"]:
                raise _too_many(f"nodes of a pool is {limits['nodes_per_pool']}", _count(pool))
        total = sum(_count(pool) for pool in pools)
        if total > limits["nodes_per_cluster"]:
            raise _too_many(f"nodes of a cluster is {limits['nodes_per_cluster']}", total)
        others = [c for c in self._clusters() if c.location == location and c.id.key != key]
        if len(others) + 1 > limits["clusters"]:
            raise _too_many(f"clusters of a region is {limits['clusters']}", len(others) + 1)
        used = sum(cores_of(cluster.properties) for cluster in others)
        mine = next((c for c in self._clusters() if c.id.key == key), None)
        before = 0 if mine is None else cores_of(mine.properties)
        needed = cores_of(wanted)
        if needed > before and used + needed > limits["cores"]:
            raise ArmError(
                409,
                "OperationNotAllowed",
                "Operation could not be completed as it results in exceeding approved Total Regional Cores quota."
                f" Additional details - Deployment Model: Resource Manager, Location: {location}, Current Limit:"
                f" {limits['cores']}, Current Usage: {used + before}, Additional Required: {needed - before}, (Minimum)"
                f" New Limit Required: {used + needed}. Here the limit is raised by {OVERRIDES} in the state folder.",
            )

    def usages(self, subscription: str, location: str) -> list[Json]:
        """What is used in a region."""
        here = [cluster for cluster in self._clusters() if cluster.location == location]
        values = {"cores": sum(cores_of(cluster.properties) for cluster in here), "clusters": len(here)}
        names = {"cores": "Total Regional vCPUs", "clusters": "Managed Clusters"}
        return [
            {
                "id": f"/subscriptions/{subscription}/providers/Microsoft.ContainerService/locations/{location}/usages/"
                f"{name}",
                "unit": "Count",
                "currentValue": value,
                "limit": self.limits[name],
                "name": {"value": name, "localizedValue": names[name]},
            }
            for name, value in values.items()
        ]

    def _unreadable(self, why: str) -> ArmError:
        return ArmError(
            409, "InvalidQuotaOverride", f"The quotas in {self._path} cannot be used: {why}. Correct or remove it."
        )


def cores_of(properties: JsonObject) -> int:
    """Of all nodes of a cluster."""
    known = sizes.sizes()
    return sum(
        _count(pool) * known[as_str(pool.get("vmSize")).lower()].cores
        for pool in map(as_object, as_list(properties.get("agentPoolProfiles")))
    )


@cache
def published() -> dict[str, int]:
    """The data file."""
    text = files.files(__package__ or "").joinpath("quotas.toml").read_text("utf-8")
    return {str(name): int(value) for name, value in tomllib.loads(text)["limits"].items()}


def _count(pool: JsonObject) -> int:
    count = pool.get("count")
    return count if isinstance(count, int) else 0


def _too_many(what: str, asked: int) -> ArmError:
    return ArmError(400, "QuotaExceeded", f"The maximum number of {what}, and {asked} were asked for.")
