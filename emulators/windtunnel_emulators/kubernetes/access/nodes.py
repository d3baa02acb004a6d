"""What a node may: itself, its lease, its pods, and what its pods refer to. Everything else of it is refused.

The rules that do not depend on objects are those of the cluster role ``system:node``, as in the real node authorizer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.access.interface import Decision
from windtunnel_emulators.kubernetes.api import metadata as meta

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Attributes
    from windtunnel_emulators.kubernetes.access.rules import Rule
    from windtunnel_emulators.kubernetes.access.state import State
    from windtunnel_emulators.kubernetes.api.storage import Event

LEASES = "kube-node-lease"
_YES = Decision(allowed=True)
_NO = Decision(allowed=False)
_READ = ("get", "list", "watch")


class NodeRules:
    """Answers for users that are nodes."""

    def __init__(self, state: State, rules: Sequence[Rule]) -> None:
        self._state = state
        self._rules = tuple(rules)
        self._pods: dict[str, dict[tuple[str, str], JsonObject]] = {}

    def start(self) -> None:
        """Know which pods are on which node, from now on."""
        for pod in self._state.objects("pods"):
            self._place(pod)
        self._state.follow("pods", self._changed)

    def _place(self, pod: JsonObject) -> None:
        name = as_str(as_object(pod.get("spec")).get("nodeName"))
        if name:
            self._pods.setdefault(name, {})[(meta.text(pod, "namespace"), meta.text(pod, "name"))] = pod

    def _changed(self, event: Event) -> None:
        if event.old is not None:
            name = as_str(as_object(event.old.object.get("spec")).get("nodeName"))
            self._pods.get(name, {}).pop(event.key, None)
        if not event.deleted:
            self._place(event.new.object)

    def decide(self, node: str, asked: Attributes) -> Decision:
        """Whether the node of this name may."""
        if not asked.resource:
            return self._generally(asked)
        decide = {
            ("", "secrets"): self._referred,
            ("", "configmaps"): self._referred,
            ("", "persistentvolumeclaims"): self._referred,
            ("", "persistentvolumes"): self._referred,
            ("", "serviceaccounts"): self._token,
            ("", "nodes"): self._node,
            ("", "pods"): self._pod,
            ("coordination.k8s.io", "leases"): self._lease,
            ("storage.k8s.io", "csinodes"): self._own,
            ("storage.k8s.io", "volumeattachments"): self._referred,
            ("resource.k8s.io", "resourceclaims"): self._referred,
            ("resource.k8s.io", "resourceslices"): self._slice,
        }.get((asked.group, asked.resource))
        return self._generally(asked) if decide is None else decide(node, asked)

    def _generally(self, asked: Attributes) -> Decision:
        return _YES if any(rule.allows(asked) for rule in self._rules) else _NO

    def _referred(self, node: str, asked: Attributes) -> Decision:
        status = asked.resource == "persistentvolumeclaims" and asked.subresource == "status"
        if asked.verb not in (*_READ, *(("update", "patch") if status else ())):
            return Decision(allowed=False, reason="can only read resources of this type")
        if asked.subresource and not status:
            return Decision(allowed=False, reason="cannot read subresource")
        if not asked.name:
            return Decision(allowed=False, reason="No Object name found")
        if any(asked.name in found for found in self._names(node, asked)):
            return _YES
        return Decision(allowed=False, reason=f"no relationship found between node '{node}' and this object")

    def _names(self, node: str, asked: Attributes) -> Iterator[set[str]]:
        for (namespace, _), pod in self._pods.get(node, {}).items():
            if asked.resource == "persistentvolumes":
                for claim in references(pod).get("persistentvolumeclaims", ()):
                    found = self._state.get("persistentvolumeclaims", namespace, claim)
                    yield {as_str(as_object(as_object(found).get("spec")).get("volumeName"))}
            elif namespace == asked.namespace:
                yield references(pod).get(asked.resource, set())

    def _token(self, node: str, asked: Attributes) -> Decision:
        if asked.subresource != "token":
            if asked.verb not in _READ:
                return _NO
            reason = "cannot get serviceaccounts without a pod of this node"
            return Decision(allowed=False, reason=reason) if asked.verb != "get" else self._account(node, asked)
        if asked.verb != "create":
            return Decision(allowed=False, reason="can only create tokens for individual service accounts")
        return self._account(node, asked)

    def _account(self, node: str, asked: Attributes) -> Decision:
        for (namespace, _), pod in self._pods.get(node, {}).items():
            if namespace == asked.namespace and as_object(pod.get("spec")).get("serviceAccountName") == asked.name:
                return _YES
        return Decision(allowed=False, reason=f"no relationship found between node '{node}' and this object")

    def _node(self, node: str, asked: Attributes) -> Decision:
        if asked.verb in _READ:
            if asked.subresource or asked.name != node:
                return Decision(
                    allowed=False, reason=f"node '{node}' cannot read '{asked.name}', only its own Node object"
                )
            return _YES
        return self._generally(asked)  # whose object it is, is for admission

    def _pod(self, node: str, asked: Attributes) -> Decision:
        if asked.subresource or asked.verb not in _READ:
            return self._generally(asked)
        if asked.name:
            if (asked.namespace, asked.name) in self._pods.get(node, {}):
                return _YES
            return Decision(allowed=False, reason=f"no relationship found between node '{node}' and this object")
        if f"spec.nodeName={node}" in asked.selector.replace("==", "=").split(","):
            return _YES
        return Decision(allowed=False, reason="can only list/watch pods with spec.nodeName field selector")

    def _lease(self, node: str, asked: Attributes) -> Decision:
        if asked.namespace != LEASES:
            reason = f'can only access leases in the "{LEASES}" system namespace'
            return Decision(allowed=False, reason=reason)
        return self._own(node, asked)

    def _own(self, node: str, asked: Attributes) -> Decision:
        if asked.verb not in ("get", "create", "update", "patch", "delete") or asked.subresource:
            what = "node lease" if asked.resource == "leases" else "CSINode"
            reason = f"can only get, create, update, patch, or delete a {what}"
            return Decision(allowed=False, reason=reason)
        if asked.verb != "create" and asked.name != node:
            return Decision(allowed=False, reason="can only access an object with the same name as the requesting node")
        return _YES

    def _slice(self, node: str, asked: Attributes) -> Decision:
        if asked.verb in ("list", "watch", "deletecollection"):
            if f"spec.nodeName={node}" in asked.selector.replace("==", "=").split(","):
                return _YES
            return Decision(
                allowed=False, reason="can only list/watch/deletecollection resourceslices with nodeName field selector"
            )
        if asked.verb == "create":
            return _YES
        found = self._state.get("resourceslices.resource.k8s.io", "", asked.name)
        if found is not None and as_object(found.get("spec")).get("nodeName") == node:
            return _YES
        return Decision(allowed=False, reason=f"no relationship found between node '{node}' and this object")


def references(pod: JsonObject) -> dict[str, set[str]]:
    """The names of what a pod refers to in its namespace, by resource."""
    spec = as_object(pod.get("spec"))
    secrets = {as_str(as_object(one).get("name")) for one in as_list(spec.get("imagePullSecrets"))}
    maps: set[str] = set()
    claims: set[str] = set()
    for one in as_list(spec.get("volumes")):
        volume = as_object(one)
        secrets.add(as_str(as_object(volume.get("secret")).get("secretName")))
        maps.add(as_str(as_object(volume.get("configMap")).get("name")))
        claims.add(as_str(as_object(volume.get("persistentVolumeClaim")).get("claimName")))
        if "ephemeral" in volume:
            claims.add(f"{meta.text(pod, 'name')}-{as_str(volume.get('name'))}")
        for inner in as_list(as_object(volume.get("projected")).get("sources")):
            source = as_object(inner)
            secrets.add(as_str(as_object(source.get("secret")).get("name")))
            maps.add(as_str(as_object(source.get("configMap")).get("name")))
        for driver in volume.values():
            found = as_object(driver)
            for name in ("secretRef", "nodePublishSecretRef"):
                secrets.add(as_str(as_object(found.get(name)).get("name")))
            secrets.add(as_str(as_object(volume.get("azureFile")).get("secretName")))
    for name in ("containers", "initContainers", "ephemeralContainers"):
        for one in as_list(spec.get(name)):
            container = as_object(one)
            for inner in as_list(container.get("envFrom")):
                source = as_object(inner)
                secrets.add(as_str(as_object(source.get("secretRef")).get("name")))
                maps.add(as_str(as_object(source.get("configMapRef")).get("name")))
            for inner in as_list(container.get("env")):
                source = as_object(as_object(inner).get("valueFrom"))
                secrets.add(as_str(as_object(source.get("secretKeyRef")).get("name")))
                maps.add(as_str(as_object(source.get("configMapKeyRef")).get("name")))
    found_names = {"secrets": secrets, "configmaps": maps, "persistentvolumeclaims": claims}
    statuses = as_list(as_object(pod.get("status")).get("resourceClaimStatuses"))
    found_names["resourceclaims"] = {as_str(as_object(one).get("resourceClaimName")) for one in statuses}
    for names in found_names.values():
        names.discard("")
    return found_names
