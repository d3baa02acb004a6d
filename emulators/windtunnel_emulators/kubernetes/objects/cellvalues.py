"""What the functions that make the cells of tables share: readers of values, ages, labels, selectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects.durations import since

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject

NONE, UNSET, UNKNOWN = "<none>", "<unset>", "<unknown>"
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_ROLE = "node-role.kubernetes.io/"


def at(whole: Json, *path: str) -> Json:
    """The value at a path; None if there is none."""
    for name in path:
        whole = whole.get(name) if isinstance(whole, dict) else None
    return whole


def text(whole: Json, *path: str) -> str:
    return as_str(at(whole, *path))


def number(whole: Json, *path: str) -> int:
    value = at(whole, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def name(whole: JsonObject) -> str:
    return text(whole, "metadata", "name")


def age(whole: JsonObject, now: datetime) -> str:
    return since(at(whole, "metadata", "creationTimestamp"), now)


def labels(value: Json) -> str:
    """A map of labels: ``a=b,c=d``."""
    found = as_object(value)
    return ",".join(f"{key}={found[key]}" for key in sorted(found)) or NONE


def selector(value: Json) -> str:
    """A structured label selector as text."""
    from windtunnel_emulators.kubernetes.objects.selectors import Requirement, SelectorError, label_selector

    if value is None:
        return NONE
    try:
        found = label_selector(value)
    except SelectorError:
        return "<error>"
    ordered: list[Requirement] = sorted(found.requirements, key=lambda each: each.key)
    return ",".join(str(each) for each in ordered) or NONE


def few(values: Iterable[str], most: int = 3) -> str:
    """The first of a list, and how many more there are."""
    listed = list(values)
    shown = ",".join(listed[:most])
    return shown if len(listed) <= most else f"{shown} + {len(listed) - most} more..."


def containers(whole: JsonObject, *path: str) -> tuple[str, str]:
    """The names and the images of a template's containers."""
    listed = [as_object(one) for one in as_list(at(whole, *path, "spec", "containers"))]
    return ",".join(text(one, "name") for one in listed), ",".join(text(one, "image") for one in listed)
