"""NamespaceLifecycle: nothing new in namespaces that are not there or that are ending; some namespaces stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_object
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.failures import forbidden, not_found

if TYPE_CHECKING:
    from windtunnel_emulators.kubernetes.access.interface import Admission
    from windtunnel_emulators.kubernetes.access.state import State

_STAY = frozenset({"default", "kube-system", "kube-public"})
_UNSTORED = frozenset({"localsubjectaccessreviews"})


def check(admission: Admission, state: State) -> None:
    """Raises ``Failure`` 403 and 404."""
    kind = admission.kind
    if kind.group == "" and kind.plural == "namespaces":
        if admission.operation == "DELETE" and admission.name in _STAY:
            raise forbidden("", "namespaces", admission.name, "this namespace may not be deleted")
        return
    if not admission.namespace or not kind.namespaced or admission.operation == "DELETE":
        return
    if kind.plural in _UNSTORED:
        return
    namespace = state.get("namespaces", "", admission.namespace)
    if namespace is None:
        raise not_found("", "namespaces", admission.namespace)
    if admission.operation != "CREATE":
        return
    ending = as_object(namespace.get("status")).get("phase") == "Terminating" or meta.text(
        namespace, "deletionTimestamp"
    )
    if not ending:
        return
    name = admission.namespace
    problem = forbidden(
        kind.group,
        kind.plural,
        admission.name or meta.text(admission.object or {}, "generateName"),
        f"unable to create new content in namespace {name} because it is being terminated",
    )
    details = as_object(problem.status.get("details"))
    details["causes"] = [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {name} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    raise problem
