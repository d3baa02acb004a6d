"""``pods/binding`` and ``bindings``: a pod is given its node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.access.interface import Admission, SpecialReply, SpecialSubresource
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.failures import Failure, bad_request, conflict, failure
from windtunnel_emulators.kubernetes.client.interface import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.admission.chain import Chain
    from windtunnel_emulators.kubernetes.access.interface import SpecialRequest
    from windtunnel_emulators.kubernetes.access.state import State

SUCCESS: JsonObject = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_KIND = Kind(group="", version="v1", plural="pods", name="Binding")
_CREATE = frozenset({"create"})


class Bindings:
    """Binds the pods of one cluster."""

    def __init__(self, state: State, chain: Chain) -> None:
        self._state = state
        self._chain = chain

    def all(self) -> Iterator[SpecialSubresource]:
        """As the server finds them."""
        for resource, subresource in (("pods", "binding"), ("bindings", "")):
            yield SpecialSubresource(
                group="", resource=resource, subresource=subresource, verbs=_CREATE, handle=self._bind
            )

    async def _bind(self, request: SpecialRequest) -> SpecialReply:
        body = request.body
        name = meta.text(body, "name")
        if not request.name and not name:
            raise bad_request("Name parameter required.")
        if request.name and name != request.name:
            raise bad_request("name in URL does not match name in Binding object")
        admission = Admission(
            kind=_KIND,
            subresource="binding",
            namespace=request.namespace,
            name=name,
            operation="CREATE",
            object=body,
            old=None,
            user=request.user,
            dry_run=request.dry_run,
            warnings=request.warnings,
        )
        await self._chain.admit(admission)
        target = as_object(body.get("target"))
        kind, node = as_str(target.get("kind")), as_str(target.get("name"))
        if kind not in ("", "Node"):
            raise _unnamed(f'target.kind: Unsupported value: "{kind}": supported values: "Node", "<empty>"')
        if not node:
            raise _unnamed("target.name: Required value")
        annotations, labels = as_object(meta.of(body).get("annotations")), as_object(meta.of(body).get("labels"))
        uid = meta.text(body, "uid")

        def bound(pod: JsonObject) -> JsonObject:
            _check(pod, name, uid)
            return self._bound(pod, node, annotations, labels)

        await self._state.update("pods", request.namespace, name, bound, dry_run=request.dry_run)
        return SpecialReply(object=SUCCESS, code=201)

    def _bound(self, pod: JsonObject, node: str, annotations: JsonObject, labels: JsonObject) -> JsonObject:
        spec, status, metadata = as_object(pod.get("spec")), as_object(pod.get("status")), dict(meta.of(pod))
        if annotations:
            metadata["annotations"] = {**as_object(metadata.get("annotations")), **annotations}
        if labels:
            metadata["labels"] = {**as_object(metadata.get("labels")), **labels}
        condition: JsonObject = {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": meta.timestamp(self._state.now()),
        }
        others: list[Json] = [
            one for one in as_list(status.get("conditions")) if as_object(one).get("type") != "PodScheduled"
        ]
        return {
            **pod,
            "metadata": metadata,
            "spec": {**spec, "nodeName": node},
            "status": {**status, "conditions": [*others, condition]},
        }


def _check(pod: JsonObject, name: str, uid: str) -> None:
    spec = as_object(pod.get("spec"))
    resource = "pods/binding"
    if uid and uid != meta.text(pod, "uid"):
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta.text(pod, 'uid')}"
        raise conflict("", resource, name, why)
    if meta.text(pod, "deletionTimestamp"):
        raise conflict("", resource, name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        why = f'pod {name} is already assigned to node "{as_str(spec.get("nodeName"))}"'
        raise conflict("", resource, name, why)
    if as_list(spec.get("schedulingGates")):
        raise conflict("", resource, name, f"pod {name} has non-empty .spec.schedulingGates")


def _unnamed(message: str) -> Failure:
    """What the real server says without a reason, as 500."""
    problem = failure(500, "", message)
    del problem.status["reason"]
    return problem
