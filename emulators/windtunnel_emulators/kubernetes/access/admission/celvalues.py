"""What expressions of policies and of match conditions speak of: the write, who makes it, and what they may do.

``variables`` of a policy are evaluated when an expression uses them, each once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from windtunnel_emulators.jsontypes import as_object, as_str
from windtunnel_emulators.kubernetes.access.admission.matching import described, namespace_of
from windtunnel_emulators.kubernetes.access.interface import Attributes, Decision, User
from windtunnel_emulators.kubernetes.access.users import service_account
from windtunnel_emulators.kubernetes.objects.cel import CelError, compile_expression

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Admission
    from windtunnel_emulators.kubernetes.access.state import State

_VARIABLE = re.compile(r"\bvariables\.([A-Za-z_][A-Za-z0-9_]*)")
_FIELD = re.compile(r"\b(object|oldObject|params|namespaceObject)\.([A-Za-z_][A-Za-z0-9_]*)")
_ASKED = "@authorizer"
_DECIDED = "@decision"


class Expressions:
    """The expressions of one policy, or one webhook, about one write."""

    def __init__(
        self,
        admission: Admission,
        state: State,
        authorize: Callable[[User, Attributes], Decision],
        *,
        params: JsonObject | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._authorize = authorize
        self._user = admission.user
        self._sources = variables or {}
        self._known: dict[str, object] = {}
        self._failed: dict[str, CelError] = {}
        self._values: dict[str, object] = {
            "object": admission.object,
            "oldObject": admission.old,
            "request": described(admission),
            "namespaceObject": namespace_of(admission, state),
            "params": params,
            "authorizer": {_ASKED: {}},
        }
        kind = admission.kind
        self._resource: JsonObject = {
            "group": kind.group,
            "resource": kind.plural,
            "subresource": admission.subresource,
            "namespace": admission.namespace,
            "name": admission.name,
        }

    def evaluate(self, source: str) -> object:
        """The value of an expression. Raises ``CelError``."""
        values = dict(self._values)
        if "authorizer.requestResource" in source:
            values["authorizer"] = {_ASKED: {}, "requestResource": {_ASKED: {**self._resource}}}
        names = _VARIABLE.findall(source)
        for name in names:
            self._variable(name)
        values["variables"] = dict(self._known)
        try:
            return compile_expression(source).evaluate(values, self._functions())
        except CelError as problem:
            raise self._explained(source, problem) from problem

    def _explained(self, source: str, problem: CelError) -> CelError:
        """A field of null, and operands of other types, in the words of Kubernetes' own implementation."""
        if not str(problem).startswith("No such overload"):
            return problem
        for name, field in _FIELD.findall(source):
            if self._values.get(name) is None:
                return CelError(f"no such key: {field}")
        return CelError("no such overload")

    def _variable(self, name: str) -> None:
        if name in self._known or name not in self._sources:
            return
        if name in self._failed:
            raise self._failed[name]
        try:
            self._known[name] = self.evaluate(self._sources[name])
        except CelError as problem:
            self._failed[name] = CelError(f'composited variable "{name}" fails to evaluate: {problem}')
            raise self._failed[name] from problem

    def _functions(self) -> dict[str, Callable[..., object]]:
        def with_field(name: str) -> Callable[..., object]:
            def apply(asked: object, value: str) -> object:
                return {_ASKED: {**_inside(asked), name: value}}

            return apply

        def decided(name: str) -> Callable[..., object]:
            def read(decision: object) -> object:
                return cast("dict[str, object]", decision)[_DECIDED + name]

            return read

        def errored(_: object) -> bool:
            return False

        def account(asked: object, namespace: str, name: str) -> object:
            return {_ASKED: {**_inside(asked), "account": f"{namespace}:{name}"}}

        return {
            "group": with_field("group"),
            "resource": with_field("resource"),
            "subresource": with_field("subresource"),
            "namespace": with_field("namespace"),
            "name": with_field("name"),
            "path": with_field("path"),
            "serviceAccount": account,
            "check": self._check,
            "allowed": decided("allowed"),
            "reason": decided("reason"),
            "errored": errored,
        }

    def _check(self, asked: object, verb: str) -> object:
        found = as_object(cast("JsonObject", _inside(asked)))
        user = self._user
        account = as_str(found.get("account"))
        if account:
            namespace, _, name = account.partition(":")
            user = service_account(namespace, name)
        decision = self._authorize(
            user,
            Attributes(
                verb=verb,
                group=as_str(found.get("group")),
                version="*",
                resource=as_str(found.get("resource")),
                subresource=as_str(found.get("subresource")),
                namespace=as_str(found.get("namespace")),
                name=as_str(found.get("name")),
                path=as_str(found.get("path")),
            ),
        )
        return {f"{_DECIDED}allowed": decision.allowed, f"{_DECIDED}reason": decision.reason}


def _inside(asked: object) -> dict[str, object]:
    return cast("dict[str, dict[str, object]]", asked)[_ASKED]
