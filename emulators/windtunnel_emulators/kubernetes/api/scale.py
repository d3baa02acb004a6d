"""The ``scale`` subresource: how many replicas, whatever the kind calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_object, as_str
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.failures import bad_request, conflict, invalid

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.api.served import Served

_BUILT_IN = (".spec.replicas", ".status.replicas", "")


def _paths(served: Served) -> tuple[str, str, str]:
    found = served.info.scale
    if found is None:
        return _BUILT_IN
    return (found.spec_replicas, found.status_replicas, found.label_selector)


def _at(whole: JsonObject, path: str) -> Json:
    value: Json = whole
    for part in path.strip(".").split("."):
        value = as_object(value).get(part)
    return value


def _with(whole: JsonObject, path: str, value: Json) -> JsonObject:
    first, _, rest = path.strip(".").partition(".")
    return {**whole, first: _with(as_object(whole.get(first)), rest, value) if rest else value}


def _whole(value: Json) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _selector(value: Json) -> str:
    """A label selector as text: in the form that the real server writes."""
    if isinstance(value, str):
        return value
    found = as_object(value)
    if "matchLabels" not in found and "matchExpressions" not in found:
        return ",".join(f"{name}={text}" for name, text in sorted(found.items()))
    parts = [(name, f"{name}={text}") for name, text in as_object(found.get("matchLabels")).items()]
    expressions = found.get("matchExpressions")
    for item in expressions if isinstance(expressions, list) else []:
        one = as_object(item)
        key, operator = as_str(one.get("key")), as_str(one.get("operator"))
        raw = one.get("values")
        values = ",".join(sorted(str(entry) for entry in raw)) if isinstance(raw, list) else ""
        shown = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        parts.append((key, shown.get(operator, key)))
    return ",".join(text for _, text in sorted(parts))


def scale_of(served: Served, whole: JsonObject) -> JsonObject:
    """The ``Scale`` of an object."""
    replicas, current, labels = _paths(served)
    found = meta.of(whole)
    kept: JsonObject = {
        name: found[name]
        for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if name in found
    }
    wanted = _whole(_at(whole, replicas))
    status: JsonObject = {"replicas": _whole(_at(whole, current))}
    selector = _selector(
        _at(whole, labels) if served.custom and labels else None if served.custom else _at(whole, ".spec.selector")
    )
    if selector:
        status["selector"] = selector
    spec: JsonObject = {"replicas": wanted} if wanted else {}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": kept, "spec": spec, "status": status}


def scaled(served: Served, whole: JsonObject, scale: JsonObject, name: str) -> JsonObject:
    """The object with the replicas of a ``Scale``. Raises ``Failure``."""
    if scale.get("kind") not in (None, "", "Scale"):
        raise bad_request(f'{scale.get("kind")} in version "{scale.get("apiVersion")}" cannot be handled as a Scale')
    kind = served.kind
    said = meta.text(scale, "name")
    if said and said != name:
        raise bad_request(f"the name of the object ({said}) does not match the name on the URL ({name})")
    version = meta.text(scale, "resourceVersion")
    if version and version != meta.text(whole, "resourceVersion"):
        raise conflict(kind.group, kind.plural, name)
    wanted = as_object(scale.get("spec")).get("replicas", 0)
    if not isinstance(wanted, int) or isinstance(wanted, bool):
        raise bad_request("spec.replicas of a Scale is a whole number")
    if wanted < 0:
        cause: JsonObject = {
            "reason": "FieldValueInvalid",
            "message": f"Invalid value: {wanted}: must be greater than or equal to 0",
            "field": "spec.replicas",
        }
        raise invalid("autoscaling", "Scale", name, [cause])
    return _with(whole, _paths(served)[0], wanted)
