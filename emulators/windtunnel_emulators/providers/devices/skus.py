"""What each edition of a hub has: units, messages a day, partitions ("Choose the right IoT Hub tier and size")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.jsontypes import as_object, as_str

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """One SKU."""

    tier: str
    most_units: int
    daily: int
    """Messages a day and unit."""
    devices: int = 1_000_000
    partitions: int = 32
    """At most."""
    retention: int = 7
    """Days, at most."""
    configurations: int = 100
    """Automatic configurations, at most."""


EDITIONS: Mapping[str, Edition] = {
    "F1": Edition(tier="Free", most_units=1, daily=8000, devices=500, partitions=2, retention=1, configurations=10),
    "B1": Edition(tier="Basic", most_units=200, daily=400_000),
    "B2": Edition(tier="Basic", most_units=200, daily=6_000_000),
    "B3": Edition(tier="Basic", most_units=10, daily=300_000_000),
    "S1": Edition(tier="Standard", most_units=200, daily=400_000),
    "S2": Edition(tier="Standard", most_units=200, daily=6_000_000),
    "S3": Edition(tier="Standard", most_units=10, daily=300_000_000),
}


def read_sku(value: Json) -> JsonObject:
    """The SKU as it is kept. Raises ``ArmError`` 400."""
    asked = as_object(value)
    name = as_str(asked.get("name")).upper()
    edition = EDITIONS.get(name)
    if edition is None:
        raise ArmError(
            400,
            "InvalidSku",
            f"'sku.name' is '{as_str(asked.get('name'))[:40]}'; a hub has one of {', '.join(EDITIONS)}.",
            target="sku.name",
        )
    units = asked.get("capacity", 1)
    if isinstance(units, bool) or not isinstance(units, int) or not 1 <= units <= edition.most_units:
        raise ArmError(
            400,
            "InvalidSkuCapacity",
            f"'sku.capacity' is {units!r:.40}; {name} has 1 to {edition.most_units} units.",
            target="sku.capacity",
        )
    return {"name": name, "tier": edition.tier, "capacity": units}


def edition_of(sku: JsonObject) -> Edition:
    """Of a stored SKU."""
    return EDITIONS[as_str(sku.get("name"))]


def offered(sku: JsonObject) -> list[Json]:
    """What ``skus`` answers: the editions that a hub may be changed to, those of its tier."""
    tier = as_str(sku.get("tier"))
    found: list[Json] = []
    for name, edition in EDITIONS.items():
        if edition.tier == tier:
            capacity: JsonObject = {"minimum": 1, "maximum": edition.most_units, "default": 1, "scaleType": "Manual"}
            found.append(
                {"resourceType": "Microsoft.Devices/IotHubs", "sku": {"name": name, "tier": tier}, "capacity": capacity}
            )
    return found
