"""The metadata that the server itself writes."""

from __future__ import annotations

import secrets
import uuid
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_object, as_str

if TYPE_CHECKING:
    from datetime import datetime

    from windtunnel_emulators.jsontypes import JsonObject

_ORDER = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)
_SYSTEM = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp")
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Of generated names: no vowels, no look-alikes."""
_LONGEST_PREFIX = 58


def timestamp(now: datetime) -> str:
    """A time as objects have it: whole seconds, UTC."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def of(whole: JsonObject) -> JsonObject:
    """The metadata of an object; an empty one if it has none."""
    return as_object(whole.get("metadata"))


def text(whole: JsonObject, name: str) -> str:
    """A text of the metadata; empty when it is not there."""
    return as_str(of(whole).get(name))


def ordered(metadata: JsonObject) -> JsonObject:
    """The fields in the order in which the real server writes them, without those that are empty."""
    found = {name: metadata[name] for name in _ORDER if metadata.get(name) not in (None, "", [], {})}
    if metadata.get("deletionGracePeriodSeconds") == 0:
        found["deletionGracePeriodSeconds"] = 0
    return found


def with_metadata(whole: JsonObject, metadata: JsonObject) -> JsonObject:
    """The object with other metadata; ``kind``, ``apiVersion`` and ``metadata`` come first."""
    head: JsonObject = {
        "kind": whole.get("kind"),
        "apiVersion": whole.get("apiVersion"),
        "metadata": ordered(metadata),
    }
    for name, value in whole.items():
        if name not in head:
            head[name] = value
    return head


def born(whole: JsonObject, *, namespace: str, now: datetime, generation: int | None) -> JsonObject:
    """A new object: its own uid and creation time, nothing of what only the server may say."""
    metadata = {name: value for name, value in of(whole).items() if name not in (*_SYSTEM, "selfLink")}
    metadata.pop("deletionGracePeriodSeconds", None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = timestamp(now)
    if namespace:
        metadata["namespace"] = namespace
    if generation is not None:
        metadata["generation"] = generation
    return with_metadata(whole, metadata)


def carried(old: JsonObject, new: JsonObject, *, namespace: str) -> JsonObject:
    """The next state of an object, with what a client cannot change as it was."""
    before = of(old)
    metadata = {name: value for name, value in of(new).items() if name != "selfLink"}
    for name in (*_SYSTEM, "deletionGracePeriodSeconds"):
        metadata.pop(name, None)
        if name in before:
            metadata[name] = before[name]
    if namespace:
        metadata["namespace"] = namespace
    return with_metadata(new, metadata)


def generated_name(prefix: str) -> str:
    """A name that is likely free."""
    return prefix[:_LONGEST_PREFIX] + "".join(secrets.choice(_LETTERS) for _ in range(5))


def parse_timestamp(text_: str) -> datetime:
    """The time of a ``timestamp``."""
    from datetime import datetime as parser

    return parser.fromisoformat(text_)
