"""The roles, bindings and flow control that a cluster has from its start, as the real server (1.34) makes them.

Made where they are missing, and put right on each start where they were changed and say that they may be
(``rbac.authorization.kubernetes.io/autoupdate``).
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.access.rules import parse_rules
from windtunnel_emulators.kubernetes.api import metadata as meta

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.rules import Rule
    from windtunnel_emulators.kubernetes.access.state import State

_FILE = Path(__file__).parent / "data" / "bootstrap.json"
_AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_FLOW = "flowcontrol.apiserver.k8s.io"


@cache
def _data() -> dict[str, list[JsonObject]]:
    data: dict[str, list[JsonObject]] = msgspec.json.decode(_FILE.read_bytes())
    return data


def node_rules() -> tuple[Rule, ...]:
    """The rules of nodes, which they have without a binding."""
    for role in _data()["clusterroles.rbac.authorization.k8s.io"]:
        if meta.text(role, "name") == "system:node":
            return parse_rules(role)
    return ()


async def bootstrap(state: State) -> None:
    """Make what is missing, put right what was changed."""
    for resource, items in _data().items():
        flow = resource.endswith(_FLOW)
        api_version = f"{resource.partition('.')[2]}/v1"
        for item in items:
            metadata = meta.of(item)
            namespace, name = as_str(metadata.get("namespace")), as_str(metadata.get("name"))
            current = state.get(resource, namespace, name)
            whole: JsonObject = {"kind": item["kind"], "apiVersion": api_version, **item}
            if current is None:
                if flow:
                    whole["status"] = _status(item, state)
                await state.create(resource, whole, generation=1 if flow else None)
            elif not flow and as_object(meta.of(current).get("annotations")).get(_AUTOUPDATE) == "true":
                reconciled = _reconciled(item, current)
                if reconciled != current:
                    await state.update(resource, namespace, name, partial(_reconciled, item))


def _status(item: JsonObject, state: State) -> JsonObject:
    level = as_str(as_object(as_object(item.get("spec")).get("priorityLevelConfiguration")).get("name"))
    if not level:
        return {}
    found: JsonObject = {
        "type": "Dangling",
        "status": "False",
        "lastTransitionTime": meta.timestamp(state.now()),
        "reason": "Found",
        "message": f'This FlowSchema references the PriorityLevelConfiguration object named "{level}" and it exists',
    }
    return {"conditions": [found]}


def _reconciled(item: JsonObject, current: JsonObject) -> JsonObject:
    """The object with the rules and subjects that it is to have at least; more of them stay."""
    found, wanted = dict(current), meta.of(item)
    metadata = dict(meta.of(current))
    for name in ("labels", "annotations"):
        if wanted.get(name):
            metadata[name] = {**as_object(metadata.get(name)), **as_object(wanted.get(name))}
    found["metadata"] = metadata
    if "aggregationRule" in item:
        found["aggregationRule"] = item["aggregationRule"]
        return found
    for name in ("rules", "subjects"):
        missing = [one for one in as_list(item.get(name)) if one not in as_list(current.get(name))]
        if missing:
            listed: list[Json] = [*as_list(current.get(name)), *missing]
            found[name] = listed
    if "roleRef" in item:
        found["roleRef"] = item["roleRef"]
    return found
