"""RuntimeClass: pods have the overhead and the places of the class that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.api.failures import forbidden

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Admission
    from windtunnel_emulators.kubernetes.access.state import State

_CLASSES = "runtimeclasses.node.k8s.io"


def mutate(admission: Admission, whole: JsonObject, state: State) -> JsonObject:
    """Raises ``Failure`` 403."""
    if admission.operation != "CREATE" or admission.subresource:
        return whole
    spec = as_object(whole.get("spec"))
    name, overhead = as_str(spec.get("runtimeClassName")), as_object(spec.get("overhead"))
    if not name:
        if overhead:
            raise _rejected(admission, "Pod Overhead set without corresponding RuntimeClass defined Overhead")
        return whole
    found = state.get(_CLASSES, "", name)
    if found is None:
        raise _rejected(admission, f'RuntimeClass "{name}" not found')
    made = dict(spec)
    fixed = as_object(as_object(found.get("overhead")).get("podFixed"))
    if overhead and overhead != fixed:
        raise _rejected(admission, "Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    if fixed:
        made["overhead"] = fixed
    scheduling = as_object(found.get("scheduling"))
    chosen, present = as_object(scheduling.get("nodeSelector")), as_object(spec.get("nodeSelector"))
    for key, value in chosen.items():
        if key in present and present[key] != value:
            why = (
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value};"
                f" pod.spec.nodeSelector[{key}] = {present[key]}"
            )
            raise _rejected(admission, why)
    if chosen:
        made["nodeSelector"] = {**present, **chosen}
    tolerations: list[Json] = [*as_list(spec.get("tolerations"))]
    tolerations.extend(one for one in as_list(scheduling.get("tolerations")) if one not in tolerations)
    if tolerations:
        made["tolerations"] = tolerations
    return {**whole, "spec": made}


def _rejected(admission: Admission, why: str) -> Exception:
    return forbidden("", "pods", admission.name, f"pod rejected: {why}")
