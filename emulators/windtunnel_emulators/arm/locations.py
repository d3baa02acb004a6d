"""Azure's public regions: what a location may be, and what ``/locations`` tells about each."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from windtunnel_emulators.arm.paths import plain_location


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """One region."""

    name: str
    display_name: str
    regional_display_name: str
    geography: str
    geography_group: str
    place: str
    latitude: str
    longitude: str
    paired: str


@cache
def regions() -> dict[str, Region]:
    """All regions by name, in the order of Microsoft's list."""
    text = resources.files("windtunnel_emulators.arm").joinpath("locations.toml").read_text("utf-8")
    rows: dict[str, list[str]] = tomllib.loads(text)["regions"]
    return {
        name: Region(
            name=name,
            display_name=row[0],
            regional_display_name=row[1],
            geography=row[2],
            geography_group=row[3],
            place=row[4],
            latitude=row[5],
            longitude=row[6],
            paired=row[7],
        )
        for name, row in rows.items()
    }


def region(text: str) -> Region | None:
    """A region by its name or its display name, in any case; None when there is no such region."""
    return regions().get(plain_location(text))
