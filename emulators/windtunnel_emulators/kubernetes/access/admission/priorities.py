"""Priority: pods have the number that their priority class has; one class at most is the default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_object, as_str
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.failures import forbidden

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Admission
    from windtunnel_emulators.kubernetes.access.state import State

GROUP = "scheduling.k8s.io"
CLASSES = f"priorityclasses.{GROUP}"


def mutate(admission: Admission, whole: JsonObject, state: State) -> JsonObject:
    """The pod with its priority. Raises ``Failure`` 403."""
    if admission.subresource:
        return whole
    spec = as_object(whole.get("spec"))
    if admission.operation == "UPDATE":
        before = as_object(as_object(admission.old).get("spec"))
        kept: JsonObject = {
            name: before[name] for name in ("priority", "preemptionPolicy") if name in before and name not in spec
        }
        return {**whole, "spec": {**spec, **kept}} if kept else whole
    made, name = {**spec}, as_str(spec.get("priorityClassName"))
    if not name:
        found = _default(state)
        if found is not None:
            made["priorityClassName"] = meta.text(found, "name")
    else:
        found = state.get(CLASSES, "", name)
        if found is None:
            raise forbidden("", "pods", admission.name, f"no PriorityClass with name {name} was found")
    number = 0 if found is None else found.get("value")
    policy = "PreemptLowerPriority" if found is None else found.get("preemptionPolicy") or "PreemptLowerPriority"
    for field, value, said in (("priority", number, "priority"), ("preemptionPolicy", policy, "preemption policy")):
        given = spec.get(field)
        if given is not None and given != value:
            why = {
                "priority": f"the integer value of priority ({given}) must not be provided in pod spec;"
                " priority admission controller computed"
                f" {value} from the given PriorityClass name",
                "preemption policy": f"the string value of PreemptionPolicy ({given}) must not be provided in pod"
                f" spec; priority admission controller computed {value} from the given PriorityClass name",
            }[said]
            raise forbidden("", "pods", admission.name, why)
        made[field] = value
    return {**whole, "spec": made}


def _default(state: State) -> JsonObject | None:
    found = [one for one in state.objects(CLASSES) if one.get("globalDefault") is True]
    # Of several defaults, which can be made at once, the lowest counts.
    return min(found, key=lambda one: int(str(one.get("value") or 0)), default=None)


def check_class(admission: Admission, state: State) -> None:
    """Two default classes are one too many. Raises ``Failure`` 403."""
    whole = admission.object
    if whole is None or admission.subresource or whole.get("globalDefault") is not True:
        return
    for other in state.objects(CLASSES):
        name = meta.text(other, "name")
        if other.get("globalDefault") is True and name != meta.text(whole, "name"):
            why = f"PriorityClass {name} is already marked as default. Only one default can exist"
            raise forbidden(GROUP, "priorityclasses", admission.name, why)
