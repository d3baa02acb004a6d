"""Reviews: what a user may, whose a token is, who oneself is. They are answered and never kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.access.accounts import Refused
from windtunnel_emulators.kubernetes.access.interface import (
    MASTERS,
    Attributes,
    SpecialReply,
    SpecialRequest,
    SpecialSubresource,
    User,
)
from windtunnel_emulators.kubernetes.access.rules import Rule
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.failures import Failure, bad_request, invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.authentication import Authentication
    from windtunnel_emulators.kubernetes.access.interface import Decision
    from windtunnel_emulators.kubernetes.access.roles import Roles
    from windtunnel_emulators.kubernetes.access.state import State

AUTHORIZATION, AUTHENTICATION = "authorization.k8s.io", "authentication.k8s.io"
_CREATE = frozenset({"create"})


class Reviews:
    """Answers for one cluster."""

    def __init__(
        self,
        state: State,
        authentication: Authentication,
        roles: Roles,
        authorize: Callable[[User, Attributes], Decision],
        issuer: str,
    ) -> None:
        self._state = state
        self._authentication = authentication
        self._roles = roles
        self._authorize = authorize
        self._issuer = issuer

    def all(self) -> Iterator[SpecialSubresource]:
        """As the server finds them."""
        found = (
            (AUTHORIZATION, "selfsubjectaccessreviews", self._self),
            (AUTHORIZATION, "subjectaccessreviews", self._subject),
            (AUTHORIZATION, "localsubjectaccessreviews", self._local),
            (AUTHORIZATION, "selfsubjectrulesreviews", self._rules),
            (AUTHENTICATION, "selfsubjectreviews", self._who),
            (AUTHENTICATION, "tokenreviews", self._token),
        )
        for group, resource, handle in found:
            yield SpecialSubresource(group=group, resource=resource, subresource="", verbs=_CREATE, handle=handle)

    async def _self(self, request: SpecialRequest) -> SpecialReply:
        spec = as_object(request.body.get("spec"))
        _check_spec(spec)
        return self._reviewed(request.body, request.user, spec)

    async def _subject(self, request: SpecialRequest) -> SpecialReply:
        spec = as_object(request.body.get("spec"))
        _check_spec(spec, subject=True)
        return self._reviewed(request.body, _user(spec), spec)

    async def _local(self, request: SpecialRequest) -> SpecialReply:
        spec = as_object(request.body.get("spec"))
        _check_spec(spec, subject=True)
        asked = as_object(spec.get("resourceAttributes"))
        if as_str(asked.get("namespace")) != request.namespace:
            value = as_str(asked.get("namespace"))
            cause = _cause("spec.resourceAttributes.namespace", f'"{value}"', "must match metadata.namespace")
            raise _anonymous(AUTHORIZATION, cause)
        body = request.body
        if not meta.text(body, "namespace"):
            metadata: JsonObject = {**meta.of(body), "namespace": request.namespace}
            with_place: JsonObject = {**body, "metadata": metadata}
            body = with_place
        return self._reviewed(body, _user(spec), spec)

    def _reviewed(self, body: JsonObject, user: User, spec: JsonObject) -> SpecialReply:
        decision = self._authorize(user, _attributes(spec))
        status: JsonObject = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        return SpecialReply(object=_answer(body, status), code=201)

    async def _rules(self, request: SpecialRequest) -> SpecialReply:
        namespace = as_str(as_object(request.body.get("spec")).get("namespace"))
        if not namespace:
            raise bad_request("no namespace on request")
        rules, problems = self._roles.rules(request.user, namespace)
        if MASTERS in request.user.groups:
            everything = (
                Rule(verbs=("*",), groups=("*",), resources=("*",)),
                Rule(verbs=("*",), paths=("*",)),
            )
            rules = (*everything, *(rule for rule in rules if rule not in everything))
        resources: list[Json] = [_resource_rule(rule) for rule in rules if rule.resources]
        paths: list[Json] = [{"verbs": [*rule.verbs], "nonResourceURLs": [*rule.paths]} for rule in rules if rule.paths]
        status: JsonObject = {"resourceRules": resources, "nonResourceRules": paths, "incomplete": bool(problems)}
        if problems:
            status["evaluationError"] = f"rolebindings: {', '.join(problems)}"
        return SpecialReply(object=_answer(request.body, status), code=201)

    async def _who(self, request: SpecialRequest) -> SpecialReply:
        whole: JsonObject = {
            "kind": "SelfSubjectReview",
            "apiVersion": f"{AUTHENTICATION}/v1",
            "metadata": {"creationTimestamp": meta.timestamp(self._state.now())},
            "status": {"userInfo": request.user.json()},
        }
        return SpecialReply(object=whole, code=201)

    async def _token(self, request: SpecialRequest) -> SpecialReply:
        spec = as_object(request.body.get("spec"))
        token = as_str(spec.get("token"))
        if not token:
            raise bad_request("token is required for TokenReview in authentication")
        wanted = tuple(as_str(one) for one in as_list(spec.get("audiences"))) or (self._issuer,)
        try:
            user, audiences = self._authentication.token_user(token, self._state, wanted)
        except Refused as problem:
            error = str(problem)
            if error != "invalid bearer token":
                error = f"[invalid bearer token, {error}]"
            return SpecialReply(object=_answer(request.body, {"user": {}, "error": error}), code=201)
        status: JsonObject = {"authenticated": True, "user": user.json(), "audiences": list(audiences)}
        return SpecialReply(object=_answer(request.body, status), code=201)


def _answer(body: JsonObject, status: JsonObject) -> JsonObject:
    return {
        "kind": body.get("kind"),
        "apiVersion": body.get("apiVersion"),
        "metadata": meta.of(body),
        "spec": as_object(body.get("spec")),
        "status": status,
    }


def _resource_rule(rule: Rule) -> JsonObject:
    found: JsonObject = {"verbs": [*rule.verbs], "apiGroups": [*rule.groups], "resources": [*rule.resources]}
    if rule.names:
        found["resourceNames"] = [*rule.names]
    return found


def _user(spec: JsonObject) -> User:
    extra = tuple(
        (key, tuple(as_str(value) for value in as_list(values))) for key, values in as_object(spec.get("extra")).items()
    )
    groups = tuple(as_str(group) for group in as_list(spec.get("groups")))
    return User(name=as_str(spec.get("user")), groups=groups, uid=as_str(spec.get("uid")), extra=extra)


def _attributes(spec: JsonObject) -> Attributes:
    asked = as_object(spec.get("resourceAttributes"))
    if not asked:
        path = as_object(spec.get("nonResourceAttributes"))
        return Attributes(verb=as_str(path.get("verb")), path=as_str(path.get("path")))
    selectors = as_list(as_object(asked.get("fieldSelector")).get("requirements"))
    terms: list[str] = []
    for one in selectors:
        term = as_object(one)
        values = as_list(term.get("values"))
        if term.get("operator") == "In" and len(values) == 1:
            terms.append(f"{as_str(term.get('key'))}={as_str(values[0])}")
    raw = as_str(as_object(asked.get("fieldSelector")).get("rawSelector"))
    return Attributes(
        verb=as_str(asked.get("verb")),
        group=as_str(asked.get("group")),
        version=as_str(asked.get("version")),
        # A resource is asked for even if its name is not given: nothing but a star matches it.
        resource=as_str(asked.get("resource")) or " ",
        subresource=as_str(asked.get("subresource")),
        namespace=as_str(asked.get("namespace")),
        name=as_str(asked.get("name")),
        selector=raw or ",".join(terms),
    )


def _cause(field: str, value: str, why: str) -> JsonObject:
    return {"reason": "FieldValueInvalid", "message": f"Invalid value: {value}: {why}", "field": field}


def _anonymous(group: str, cause: JsonObject) -> Failure:
    """The real server says it without the kind, too."""
    return invalid(group, "", "", [cause])


def _check_spec(spec: JsonObject, *, subject: bool = False) -> None:
    causes: list[JsonObject] = []
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        why = "cannot be specified in combination with resourceAttributes"
        causes.append(_cause("spec.nonResourceAttributes", "null", why))
    if resource is None and path is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes.append(_cause("spec.resourceAttributes", "null", why))
    if subject and not spec.get("user") and not spec.get("groups"):
        causes.append(_cause("spec.user", '""', "at least one of user or group must be specified"))
    if causes:
        raise invalid(AUTHORIZATION, "", "", causes)
