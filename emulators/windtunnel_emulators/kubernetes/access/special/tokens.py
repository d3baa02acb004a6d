"""``serviceaccounts/token``: a new token for an account (TokenRequest)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.access import users
from windtunnel_emulators.kubernetes.access.interface import SpecialReply, SpecialSubresource
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.failures import bad_request, conflict, forbidden, invalid, not_found
from windtunnel_emulators.kubernetes.client.meta import entries, text

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.access.accounts import AccountTokens
    from windtunnel_emulators.kubernetes.access.interface import SpecialRequest
    from windtunnel_emulators.kubernetes.access.state import State

_GROUP = "authentication.k8s.io"
_SHORTEST_S, _LONGEST_S, _USUAL_S = 600, 1 << 32, 3600
_BINDABLE = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


class TokenRequests:
    """Issues tokens for one cluster."""

    def __init__(self, state: State, tokens: AccountTokens) -> None:
        self._state = state
        self._tokens = tokens

    def special(self) -> SpecialSubresource:
        """As the server finds it."""
        return SpecialSubresource(
            group="", resource="serviceaccounts", subresource="token", verbs=frozenset({"create"}), handle=self._issue
        )

    async def _issue(self, request: SpecialRequest) -> SpecialReply:
        spec = as_object(request.body.get("spec"))
        seconds = spec.get("expirationSeconds")
        if seconds is None:
            seconds = _USUAL_S
        if not isinstance(seconds, int) or isinstance(seconds, bool):
            raise bad_request("spec.expirationSeconds of a TokenRequest is a whole number")
        _check_seconds(seconds)
        account = self._state.get("serviceaccounts", request.namespace, request.name)
        if account is None:
            raise not_found("", "serviceaccounts", request.name)
        said = meta.text(request.body, "name"), meta.text(request.body, "namespace")
        if said[0] not in ("", request.name):
            raise bad_request(f"metadata.name is {said[0]!r}, the path says {request.name!r}")
        if said[1] not in ("", request.namespace):
            raise bad_request(f"metadata.namespace is {said[1]!r}, the path says {request.namespace!r}")
        audiences = [as_str(one) for one in as_list(spec.get("audiences"))] or [self._tokens.issuer]
        reference = as_object(spec.get("boundObjectRef"))
        bound = self._bound(request, reference) if reference else None
        self._check_node(request, bound, [as_str(one) for one in as_list(spec.get("audiences"))])
        node = None
        if bound is not None and bound.get("kind") == "Pod":
            node = self._state.get("nodes", "", text(bound, "spec", "nodeName"))
        token, ends = self._tokens.issue(
            self._state, account, audiences=audiences, seconds=seconds, bound=bound, node=node
        )
        whole: JsonObject = {
            "kind": "TokenRequest",
            "apiVersion": f"{_GROUP}/v1",
            "metadata": {
                "name": request.name,
                "namespace": request.namespace,
                "uid": meta.text(account, "uid"),
                "creationTimestamp": meta.timestamp(self._state.now()),
            },
            "spec": {
                "audiences": [*audiences],
                "expirationSeconds": seconds,
                "boundObjectRef": reference or None,
            },
            "status": {"token": token, "expirationTimestamp": _moment(ends)},
        }
        return SpecialReply(object=whole, code=201)

    def _bound(self, request: SpecialRequest, reference: JsonObject) -> JsonObject:
        api_version, kind = as_str(reference.get("apiVersion")), as_str(reference.get("kind"))
        name, uid = as_str(reference.get("name")), as_str(reference.get("uid"))
        resource = _BINDABLE.get(kind)
        if resource is None or api_version not in ("", "v1"):
            group, slash, version = api_version.partition("/")
            shown = f"{group}/{version}" if slash else f"/{api_version}"
            raise bad_request(f"cannot bind token to object of type {shown}, Kind={kind}")
        found = self._state.get(resource, "" if kind == "Node" else request.namespace, name)
        if found is None:
            raise not_found("", resource, name)
        if kind == "Pod" and text(found, "spec", "serviceAccountName") != request.name:
            why = "to pod running with different serviceaccount name."
            raise bad_request(f'cannot bind token for serviceaccount "{request.name}" {why}')
        if uid and uid != meta.text(found, "uid"):
            why = (
                f"the UID in the bound object reference ({uid}) does not match the UID in record."
                " The object might have been deleted and then recreated"
            )
            raise conflict("", kind, name, why)
        return found

    def _check_node(self, request: SpecialRequest, bound: JsonObject | None, audiences: list[str]) -> None:
        """NodeRestriction: a node gets tokens of its own pods only, for audiences that those ask for."""
        node = users.node_of(request.user)
        if node is None:
            return
        if bound is None or bound.get("kind") != "Pod":
            raise self._refused(request, "node requested token not bound to a pod")
        if text(bound, "spec", "nodeName") != node:
            raise self._refused(request, "node requested token bound to a pod scheduled on a different node")
        for audience in audiences:
            if audience != self._tokens.issuer and audience not in _audiences(bound):
                why = f'audience "{audience}" not found in pod spec volume'
                raise self._refused(
                    request, f"{why}, {request.user.name} is not authorized to request tokens for this audience"
                )

    def _refused(self, request: SpecialRequest, why: str) -> Exception:
        return forbidden("", "serviceaccounts", request.name, why)


def _audiences(pod: JsonObject) -> set[str]:
    return {
        text(source, "serviceAccountToken", "audience")
        for volume in entries(pod, "spec", "volumes")
        for source in entries(volume, "projected", "sources")
        if "serviceAccountToken" in source
    }


def _moment(seconds: int) -> str:
    from datetime import UTC, datetime

    return meta.timestamp(datetime.fromtimestamp(seconds, UTC))


def _check_seconds(seconds: int) -> None:
    why = ""
    if seconds < _SHORTEST_S:
        why = "may not specify a duration less than 10 minutes"
    elif seconds > _LONGEST_S:
        why = "may not specify a duration larger than 2^32 seconds"
    if why:
        cause: JsonObject = {
            "reason": "FieldValueInvalid",
            "message": f"Invalid value: {seconds}: {why}",
            "field": "spec.expirationSeconds",
        }
        raise invalid(_GROUP, "TokenRequest", "", [cause])
