"""DefaultTolerationSeconds and TaintNodesByCondition: how long pods stay on nodes that fail, and that new
nodes are not ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Admission

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
_SECONDS = 300


def mutate(admission: Admission, whole: JsonObject) -> JsonObject:
    """The pod with tolerations of nodes that fail, unless it has its own."""
    if admission.subresource:
        return whole
    spec = as_object(whole.get("spec"))
    present = [as_object(one) for one in as_list(spec.get("tolerations"))]
    missing: list[Json] = []
    for key in (NOT_READY, UNREACHABLE):
        covered = any(
            one.get("key") in (key, "", None) and one.get("effect") in ("NoExecute", "", None) for one in present
        )
        if not covered:
            toleration: JsonObject = {"key": key, "operator": "Exists", "effect": "NoExecute"}
            missing.append({**toleration, "tolerationSeconds": _SECONDS})
    if not missing:
        return whole
    return {**whole, "spec": {**spec, "tolerations": [*present, *missing]}}


def taint_node(admission: Admission, whole: JsonObject) -> JsonObject:
    """A new node takes no pods until it is seen to be ready."""
    if admission.operation != "CREATE" or admission.subresource:
        return whole
    spec = as_object(whole.get("spec"))
    taints = as_list(spec.get("taints"))
    if any(as_object(one).get("key") == NOT_READY and as_object(one).get("effect") == "NoSchedule" for one in taints):
        return whole
    return {**whole, "spec": {**spec, "taints": [*taints, {"key": NOT_READY, "effect": "NoSchedule"}]}}
