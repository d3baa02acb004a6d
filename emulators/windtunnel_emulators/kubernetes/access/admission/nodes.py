"""NodeRestriction: nodes write their own Node, Lease and pods only, and few of their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_object
from windtunnel_emulators.kubernetes.access import users
from windtunnel_emulators.kubernetes.access.admission.serviceaccounts import MIRROR
from windtunnel_emulators.kubernetes.access.nodes import references
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.failures import forbidden
from windtunnel_emulators.kubernetes.client.meta import entries, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Admission
    from windtunnel_emulators.kubernetes.access.state import State

_OWN_LABELS = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.kubernetes.io/region",
        "failure-domain.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    }
)
"""Labels of Kubernetes' own that nodes say themselves."""
_OWN_PREFIXES = ("kubelet.kubernetes.io", "node.kubernetes.io")
_OWNED = ("kubernetes.io", "k8s.io")


def check(admission: Admission, state: State) -> None:
    """Raises ``Failure`` 403."""
    node = users.node_of(admission.user)
    if node is None:
        return
    place = admission.kind.group, admission.kind.plural
    if place == ("", "nodes"):
        _check_node(admission, node)
    elif place == ("", "pods"):
        _check_pod(admission, node, state)
    elif place == ("coordination.k8s.io", "leases"):
        _check_lease(admission, node)


def _refuse(admission: Admission, why: str) -> None:
    raise forbidden(admission.kind.group, admission.kind.plural, admission.name, why)


def _check_node(admission: Admission, node: str) -> None:
    if admission.name != node:
        _refuse(admission, f'node "{node}" is not allowed to modify node "{admission.name}"')
    if admission.operation == "DELETE" or admission.object is None:
        return
    labels = as_object(meta.of(admission.object).get("labels"))
    before = as_object(meta.of(admission.old or {}).get("labels"))
    if admission.operation == "UPDATE" and as_object(admission.object.get("spec")).get("taints") != as_object(
        as_object(admission.old).get("spec")
    ).get("taints"):
        _refuse(admission, f'node "{node}" is not allowed to modify taints')
    changed = sorted(key for key in {*labels, *before} if labels.get(key) != before.get(key) and _reserved(key))
    if changed:
        why = f"is not allowed to modify labels: {', '.join(changed)}"
        if admission.operation == "CREATE":
            why = f"is not allowed to set the following labels: {', '.join(changed)}"
        _refuse(admission, f'node "{node}" {why}')


def _reserved(key: str) -> bool:
    domain = key.partition("/")[0] if "/" in key else ""
    if "node-restriction.kubernetes.io" in (domain, *_parents(domain)):
        return True
    if key in _OWN_LABELS:
        return False
    if any(own in (domain, *_parents(domain)) for own in _OWN_PREFIXES):
        return False
    return any(owned in (domain, *_parents(domain)) for owned in _OWNED)


def _parents(domain: str) -> list[str]:
    parts = domain.split(".")
    return [".".join(parts[index:]) for index in range(1, len(parts))]


def _check_pod(admission: Admission, node: str, state: State) -> None:
    if admission.subresource == "eviction":
        return
    if admission.subresource == "status":
        if text(admission.old, "spec", "nodeName") != node:
            _refuse(admission, _only(node, "update pod status for pods"))
        if _labels(admission.object) != _labels(admission.old):
            _refuse(admission, f'node "{node}" cannot update labels through pod status')
        return
    if admission.operation == "DELETE":
        if text(admission.old, "spec", "nodeName") != node:
            _refuse(admission, _only(node, "delete pods"))
    elif admission.operation == "CREATE" and not admission.subresource:
        _check_mirror(admission, node, state)
    else:
        _refuse(admission, f'unexpected operation "{admission.operation}"')


def _only(node: str, what: str) -> str:
    return f'node "{node}" can only {what} with spec.nodeName set to itself'


def _labels(whole: JsonObject | None) -> Mapping[str, Json]:
    return as_object(meta.of(whole or {}).get("labels"))


def _check_mirror(admission: Admission, node: str, state: State) -> None:
    pod = admission.object or {}
    if MIRROR not in as_object(meta.of(pod).get("annotations")):
        _refuse(admission, f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods')
    if text(pod, "spec", "nodeName") != node:
        _refuse(admission, _only(node, "create pods"))
    owners = entries(pod, "metadata", "ownerReferences")
    own = state.get("nodes", "", node)
    for owner in owners:
        if (
            owner.get("kind") != "Node"
            or owner.get("name") != node
            or own is None
            or owner.get("uid") != meta.text(own, "uid")
        ):
            _refuse(admission, f'node "{node}" can only create pods with an owner reference set to itself')
    if text(pod, "spec", "serviceAccountName"):
        _refuse(admission, f'node "{node}" can not create pods that reference a service account')
    found = references(pod)
    for resource in ("secrets", "configmaps", "persistentvolumeclaims"):
        if found.get(resource):
            _refuse(admission, f'node "{node}" can not create pods that reference {resource}')


def _check_lease(admission: Admission, node: str) -> None:
    if admission.operation == "CREATE" and meta.text(admission.object or {}, "name") != node:
        _refuse(admission, f'node "{node}" is not allowed to access lease "{admission.name}"')
