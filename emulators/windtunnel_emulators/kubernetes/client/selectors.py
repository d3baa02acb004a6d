"""Label selectors of objects (``matchLabels`` and ``matchExpressions``), applied to labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import dig, entries, strings, text, words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject


def matches(selector: Json, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector selects them: a missing selector selects nothing, an empty one everything."""
    if not isinstance(selector, dict):
        return False
    if any(labels.get(key) != value for key, value in strings(selector, "matchLabels").items()):
        return False
    return all(requirement_holds(each, labels) for each in entries(selector, "matchExpressions"))


def matches_map(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether the plain selector of a Service or ReplicationController selects them; an empty one selects nothing."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def requirement_holds(requirement: JsonObject, labels: Mapping[str, str]) -> bool:
    """One expression: In, NotIn, Exists, DoesNotExist, and Gt and Lt of node selectors."""
    key, operator, values = text(requirement, "key"), text(requirement, "operator"), words(requirement, "values")
    present = key in labels
    match operator:
        case "In":
            return present and labels[key] in values
        case "NotIn":
            return not present or labels[key] not in values
        case "Exists":
            return present
        case "DoesNotExist":
            return not present
        case "Gt" | "Lt":
            try:
                has, bound = int(labels[key]), int(values[0])
            except (KeyError, ValueError, IndexError):
                return False
            return has > bound if operator == "Gt" else has < bound
        case _:
            return False


def written(selector: Json) -> str:
    """The selector as a list request takes it (``a=b,c in (d,e)``), keys in order."""
    parts = [f"{key}={value}" for key, value in strings(selector, "matchLabels").items()]
    for each in entries(selector, "matchExpressions"):
        key, values = text(each, "key"), ",".join(sorted(words(each, "values")))
        match dig(each, "operator"):
            case "In":
                parts.append(f"{key} in ({values})")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case "Exists":
                parts.append(key)
            case "DoesNotExist":
                parts.append(f"!{key}")
            case _:
                continue
    return ",".join(sorted(parts))
