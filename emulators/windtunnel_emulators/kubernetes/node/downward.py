"""What a pod is told about itself: the fields and resources of the downward API."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import (
    annotations_of,
    entries,
    labels_of,
    name_of,
    namespace_of,
    text,
    uid_of,
)
from windtunnel_emulators.kubernetes.objects.quantities import parse, read
from windtunnel_emulators.runtime.hooks import NotConfigured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


def field_value(pod: JsonObject, path: str, run: Mapping[str, str]) -> str:
    """The value of a field; ``run`` has those of the status (``status.podIP``). Raises ``NotConfigured``."""
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript is not None:
        values = labels_of(pod) if subscript[1] == "labels" else annotations_of(pod)
        return values.get(subscript[2], "")
    match path:
        case "metadata.name":
            return name_of(pod)
        case "metadata.namespace":
            return namespace_of(pod)
        case "metadata.uid":
            return uid_of(pod)
        case "metadata.labels":
            return _listed(labels_of(pod))
        case "metadata.annotations":
            return _listed(annotations_of(pod))
        case "spec.nodeName":
            return text(pod, "spec", "nodeName")
        case "spec.serviceAccountName":
            return text(pod, "spec", "serviceAccountName")
        case _ if path in run:
            return run[path]
        case _:
            raise NotConfigured(f"unsupported fieldPath: {path}")


def _listed(values: Mapping[str, str]) -> str:
    """As files of the downward API have it: ``key="value"`` lines, sorted."""
    return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(values.items()))


def _quoted(value: str) -> str:
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(c, c) for c in value) + '"'


def resource_value(pod: JsonObject, container: JsonObject, reference: JsonObject, node: JsonObject) -> str:
    """In units of the divisor, rounded up; the node's where the container has no limit. Raises ``NotConfigured``."""
    named = text(reference, "containerName")
    if named:
        containers = [*entries(pod, "spec", "containers"), *entries(pod, "spec", "initContainers")]
        container = next((c for c in containers if name_of_container(c) == named), container)
    kind, _, resource = text(reference, "resource").partition(".")
    found: Json = None
    resources = container.get("resources")
    values = resources.get(kind) if isinstance(resources, dict) else None
    if isinstance(values, dict):
        found = values.get(resource)
    if found is None:
        found = node.get(resource) if kind == "limits" else "0"
    if found is None:
        raise NotConfigured(f"unsupported container resource : {kind}.{resource}")
    divisor = text(reference, "divisor", default="1")
    amount = read(found).amount / (parse(divisor).amount or 1)
    return str(int(amount.to_integral_value(ROUND_CEILING)))


def name_of_container(container: JsonObject) -> str:
    return text(container, "name")
