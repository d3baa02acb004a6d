"""Twins as values: tags, desired and reported properties, each with its version and with when each part was set.

A patch is a JSON merge patch: null removes, objects are merged, anything else replaces. Versions begin at 1.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import msgspec

from windtunnel_emulators.jsontypes import Json, JsonObject, as_object

if TYPE_CHECKING:
    from datetime import datetime

_UPDATED, _VERSION = "$lastUpdated", "$lastUpdatedVersion"


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Desired or reported properties."""

    properties: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    version: int = 1

    def shown(self, *, metadata: bool) -> JsonObject:
        """As services see it; without metadata, as devices do."""
        shown: JsonObject = dict(self.properties)
        if metadata:
            shown["$metadata"] = dict(self.metadata)
        shown["$version"] = self.version
        return shown


class Twin(msgspec.Struct, frozen=True, kw_only=True):
    """One device's or module's twin."""

    tags: dict[str, Any] = {}
    desired: Section = Section()
    reported: Section = Section()
    version: int = 2
    """Grows with every change of any part."""
    changes: int = 1
    """Changes that services made: what the etag is made of."""
    configurations: dict[str, Any] = {}
    """By id: what automatic deployments say of this twin."""

    @property
    def etag(self) -> str:
        return base64.b64encode(self.changes.to_bytes(8, "big")).decode()


def new_twin(now: datetime) -> Twin:
    """An empty twin, as a new identity gets it."""
    stamp: dict[str, Any] = {_UPDATED: printed(now)}
    return Twin(desired=Section(metadata=stamp), reported=Section(metadata=stamp))


def printed(moment: datetime) -> str:
    """A time as twins print it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def patched(section: Section, patch: JsonObject, now: datetime, *, versions: bool) -> Section:
    """The section after a merge patch; ``versions``: metadata tells versions too, as that of desired ones does."""
    version = section.version + 1
    stamp = _stamp(now, version if versions else None)
    properties, metadata = _merged(section.properties, section.metadata, patch, stamp)
    return Section(properties=properties, metadata={**metadata, **stamp}, version=version)


def replaced(section: Section, properties: JsonObject, now: datetime, *, versions: bool) -> Section:
    """The section with other properties in place of all that it has."""
    return patched(Section(version=section.version), properties, now, versions=versions)


def merged(value: JsonObject, patch: JsonObject) -> JsonObject:
    """A JSON merge patch applied to what has no metadata: tags."""
    return _merged(value, {}, patch, {})[0]


def plain(section: JsonObject) -> JsonObject:
    """Properties as a client sent them, without what only the hub writes ($metadata, $version)."""
    return {name: value for name, value in section.items() if name not in ("$metadata", "$version")}


def _merged(
    value: JsonObject, metadata: JsonObject, patch: JsonObject, stamp: JsonObject
) -> tuple[JsonObject, JsonObject]:
    found, about = dict(value), dict(metadata)
    for name, change in patch.items():
        if change is None:
            found.pop(name, None)
            about.pop(name, None)
        elif isinstance(change, dict):
            before = as_object(found.get(name))
            of_before = as_object(about.get(name)) if isinstance(found.get(name), dict) else {}
            found[name], below = _merged(before, of_before, change, stamp)
            about[name] = {**below, **stamp}
        else:
            found[name] = change
            about[name] = dict(stamp)
    return found, about


def _stamp(now: datetime, version: int | None) -> dict[str, Json]:
    stamp: dict[str, Json] = {_UPDATED: printed(now)}
    if version is not None:
        stamp[_VERSION] = version
    return stamp
