"""Tokens of service accounts: what they claim, and whether what they are bound to is still there."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.access import users
from windtunnel_emulators.kubernetes.access.signing import NotSigned
from windtunnel_emulators.kubernetes.api import metadata as meta

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.interface import User
    from windtunnel_emulators.kubernetes.access.signing import Signer
    from windtunnel_emulators.kubernetes.access.state import State

ISSUER = "https://kubernetes.default.svc.cluster.local"
_LEGACY_ISSUER = "kubernetes/serviceaccount"
_LEGACY = "kubernetes.io/serviceaccount/"
_POD, _NODE = "authentication.kubernetes.io/pod", "authentication.kubernetes.io/node"
_LEEWAY = timedelta(seconds=60)
"""For which the tokens of an object that is being deleted still hold."""
_WARNED_AFTER_S = 3607
"""A token in a pod that asks for this is extended to a year, and replaced by its node after an hour all the same."""
_EXTENDED_S = 365 * 24 * 3600


class Refused(Exception):
    """A token that does not hold; the message says why, for TokenReview."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """An object that a token ends with."""

    resource: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A token whose signature fits, and what is to be looked at each time it is shown."""

    user: User
    audiences: tuple[str, ...]
    begins: float
    ends: float | None
    bound: tuple[Bound, ...]
    secret: tuple[str, str, str] | None = None
    """Of a token that is kept in a secret without an end: namespace, name, token."""


class AccountTokens:
    """Issues and checks the tokens of one cluster's service accounts."""

    def __init__(self, signer: Signer, *, issuer: str = ISSUER) -> None:
        self.signer = signer
        self.issuer = issuer

    def issue(
        self,
        state: State,
        account: JsonObject,
        *,
        audiences: Sequence[str],
        seconds: int,
        bound: JsonObject | None = None,
        node: JsonObject | None = None,
    ) -> tuple[str, int]:
        """A token for ``account`` that ends with ``bound`` (a Pod, Secret or Node), and when it ends.

        ``node`` is the one that a bound pod is on.
        """
        now = int(state.now().timestamp())
        namespace, name = meta.text(account, "namespace"), meta.text(account, "name")
        inside: JsonObject = {
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": meta.text(account, "uid")},
        }
        ends = now + seconds
        if bound is not None:
            kind = as_str(bound.get("kind")).lower()
            inside[kind] = {"name": meta.text(bound, "name"), "uid": meta.text(bound, "uid")}
            if kind == "pod" and node is not None:
                inside["node"] = {"name": meta.text(node, "name"), "uid": meta.text(node, "uid")}
            if kind == "pod" and seconds == _WARNED_AFTER_S and list(audiences) == [self.issuer]:
                inside["warnafter"] = ends
                ends = now + _EXTENDED_S
        claims: JsonObject = {
            "aud": list(audiences),
            "exp": ends,
            "iat": now,
            "iss": self.issuer,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": inside,
            "nbf": now,
            "sub": users.account_name(namespace, name),
        }
        return self.signer.sign(claims), now + seconds

    def read(self, token: str) -> Checked:
        """What a token says, its signature checked. Raises ``Refused``."""
        try:
            claims = self.signer.verify(token)
        except NotSigned as problem:
            raise Refused("invalid bearer token") from problem
        if claims.get("iss") == _LEGACY_ISSUER:
            return self._legacy(claims, token)
        if claims.get("iss") != self.issuer:
            raise Refused("invalid bearer token")
        inside = as_object(claims.get("kubernetes.io"))
        namespace = as_str(inside.get("namespace"))
        account = as_object(inside.get("serviceaccount"))
        name, uid = as_str(account.get("name")), as_str(account.get("uid"))
        begins, ends = _seconds(claims.get("nbf")), _seconds(claims.get("exp"))
        if begins is None or ends is None or claims.get("sub") != users.account_name(namespace, name):
            raise Refused("invalid bearer token")
        bound = [Bound(resource="serviceaccounts", namespace=namespace, name=name, uid=uid)]
        extra: list[tuple[str, tuple[str, ...]]] = []
        identity = as_str(claims.get("jti"))
        if identity:
            extra.append((users.CREDENTIAL_ID, (f"JTI={identity}",)))
        pod, node = as_object(inside.get("pod")), as_object(inside.get("node"))
        if node:
            extra.append((f"{_NODE}-name", (as_str(node.get("name")),)))
            extra.append((f"{_NODE}-uid", (as_str(node.get("uid")),)))
        if pod:
            extra.append((f"{_POD}-name", (as_str(pod.get("name")),)))
            extra.append((f"{_POD}-uid", (as_str(pod.get("uid")),)))
        for kind, resource in (("pod", "pods"), ("secret", "secrets")):
            if kind in inside:
                bound.append(_bound(resource, namespace, inside[kind]))
        if node and not pod:
            bound.append(_bound("nodes", "", node))
        return Checked(
            user=users.service_account(namespace, name, uid=uid, extra=tuple(extra)),
            audiences=_audiences(claims.get("aud")),
            begins=begins,
            ends=ends,
            bound=tuple(bound),
        )

    def _legacy(self, claims: JsonObject, token: str) -> Checked:
        namespace = as_str(claims.get(_LEGACY + "namespace"))
        name = as_str(claims.get(_LEGACY + "service-account.name"))
        uid = as_str(claims.get(_LEGACY + "service-account.uid"))
        secret = as_str(claims.get(_LEGACY + "secret.name"))
        if claims.get("sub") != users.account_name(namespace, name) or not secret:
            raise Refused("invalid bearer token")
        return Checked(
            user=users.service_account(namespace, name, uid=uid),
            audiences=(self.issuer,),
            begins=0,
            ends=None,
            bound=(Bound(resource="serviceaccounts", namespace=namespace, name=name, uid=uid),),
            secret=(namespace, secret, token),
        )


def still_holds(checked: Checked, state: State, audiences: Sequence[str]) -> tuple[str, ...]:
    """The audiences that a token has of those that are asked for. Raises ``Refused``."""
    now = state.now()
    moment = now.timestamp()
    if checked.begins > moment or (checked.ends is not None and checked.ends <= moment):
        raise Refused("service account token has expired" if checked.begins <= moment else "token is not valid yet")
    found = tuple(audience for audience in audiences if audience in checked.audiences)
    if not found:
        shown = " ".join(f'"{audience}"' for audience in checked.audiences)
        wanted = " ".join(f'"{audience}"' for audience in audiences)
        raise Refused(f"token audiences [{shown}] is invalid for the target audiences [{wanted}]")
    for bound in checked.bound:
        whole = state.get(bound.resource, bound.namespace, bound.name)
        if whole is None or meta.text(whole, "uid") != bound.uid:
            raise Refused("service account token has been invalidated")
        deleted = meta.text(whole, "deletionTimestamp")
        if deleted and meta.parse_timestamp(deleted) + _LEEWAY < now:
            raise Refused("service account token has been invalidated")
    if checked.secret is not None:
        _check_secret(checked.secret, state)
    return found


def _check_secret(kept: tuple[str, str, str], state: State) -> None:
    import base64

    namespace, name, token = kept
    secret = state.get("secrets", namespace, name)
    data = as_object(as_object(secret).get("data"))
    if secret is None or as_str(data.get("token")) != base64.b64encode(token.encode()).decode():
        raise Refused("service account token has been invalidated")


def _bound(resource: str, namespace: str, value: Json) -> Bound:
    found = as_object(value)
    return Bound(resource=resource, namespace=namespace, name=as_str(found.get("name")), uid=as_str(found.get("uid")))


def _audiences(value: Json) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(as_str(one) for one in as_list(value))


def _seconds(value: Json) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
