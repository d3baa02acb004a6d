"""Nobody hands out more than they have: what a role or a binding grants must be held by who writes it.

Verbs that lift this: ``escalate`` on roles, ``bind`` on the role that a binding names.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.jsontypes import as_object, as_str
from windtunnel_emulators.kubernetes.access.interface import MASTERS, Attributes
from windtunnel_emulators.kubernetes.access.roles import GROUP, Roles
from windtunnel_emulators.kubernetes.access.rules import Rule, parse_rules, path_matches
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.failures import forbidden, not_found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Admission, Decision, User

_ROLES, _BINDINGS = ("roles", "clusterroles"), ("rolebindings", "clusterrolebindings")


class Escalation:
    """Checks writes of roles and bindings of one cluster."""

    def __init__(self, roles: Roles, authorize: Callable[[User, Attributes], Decision]) -> None:
        self._roles = roles
        self._authorize = authorize

    def check(self, admission: Admission, whole: JsonObject) -> None:
        """Raises ``Failure`` 403."""
        if MASTERS in admission.user.groups or admission.operation == "DELETE":
            return
        if admission.kind.plural in _ROLES:
            self._check_role(admission, whole)
        elif admission.kind.plural in _BINDINGS:
            self._check_binding(admission, whole)

    def _asked(self, admission: Admission, verb: str, resource: str, name: str) -> bool:
        namespace = admission.namespace if resource in ("roles", "rolebindings") or verb == "bind" else ""
        asked = Attributes(verb=verb, group=GROUP, version="v1", resource=resource, namespace=namespace, name=name)
        return self._authorize(admission.user, asked).allowed

    def _check_role(self, admission: Admission, whole: JsonObject) -> None:
        name = meta.text(whole, "name")
        if self._asked(admission, "escalate", admission.kind.plural, name):
            return
        before = admission.old or {}
        rules, old = parse_rules(whole), parse_rules(before)
        aggregated = admission.kind.plural == "clusterroles" and whole.get("aggregationRule")
        if aggregated and whole.get("aggregationRule") != before.get("aggregationRule"):
            everything = (Rule(verbs=("*",), groups=("*",), resources=("*",)), Rule(verbs=("*",), paths=("*",)))
            if self._missing(admission, everything):
                why = "must have cluster-admin privileges to use the aggregationRule"
                raise forbidden(GROUP, admission.kind.plural, name, why)
        if admission.old is not None and rules == old:
            return
        self._refuse(admission, name, rules)

    def _check_binding(self, admission: Admission, whole: JsonObject) -> None:
        before = admission.old or {}
        reference = as_object(whole.get("roleRef"))
        same = ("subjects", "roleRef")
        if admission.old is not None and all(whole.get(part) == before.get(part) for part in same):
            return
        kind, name = as_str(reference.get("kind")), as_str(reference.get("name"))
        resource = "clusterroles" if kind == "ClusterRole" else "roles"
        if self._asked(admission, "bind", resource, name):
            return
        role = self._roles.role(kind, admission.namespace, name)
        if role is None:
            raise not_found(GROUP, admission.kind.plural, name)
        self._refuse(admission, meta.text(whole, "name"), parse_rules(role))

    def _missing(self, admission: Admission, rules: Sequence[Rule]) -> list[Rule]:
        held, _ = self._roles.rules(admission.user, admission.namespace)
        return uncovered(held, rules)

    def _refuse(self, admission: Admission, name: str, rules: Sequence[Rule]) -> None:
        missing = self._missing(admission, rules)
        if not missing:
            return
        _, problems = self._roles.rules(admission.user, admission.namespace)
        groups = " ".join(_quoted(group) for group in admission.user.groups)
        why = (
            f"user {_quoted(admission.user.name)} (groups=[{groups}]) is attempting to grant RBAC permissions not"
            " currently held:\n" + "\n".join(sorted(described(rule) for rule in compacted(missing)))
        )
        if problems:
            why += f"; resolution errors: [{', '.join(_quoted(problem) for problem in problems)}]"
        raise forbidden(GROUP, admission.kind.plural, name, why)


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _broken_down(rule: Rule) -> Iterator[Rule]:
    """A rule as the single permissions that it consists of."""
    for group, resource, verb in product(rule.groups, rule.resources, rule.verbs):
        if rule.names:
            for name in rule.names:
                yield Rule(verbs=(verb,), groups=(group,), resources=(resource,), names=(name,))
        else:
            yield Rule(verbs=(verb,), groups=(group,), resources=(resource,))
    for path, verb in product(rule.paths, rule.verbs):
        yield Rule(verbs=(verb,), paths=(path,))


def _covers(held: Rule, single: Rule) -> bool:
    if not ("*" in held.verbs or single.verbs[0] in held.verbs):
        return False
    if single.paths:
        return path_matches(held.paths, single.paths[0])
    if not ("*" in held.groups or single.groups[0] in held.groups):
        return False
    resource = single.resources[0]
    known = "*" in held.resources or resource in held.resources
    if not known and "/" in resource:
        known = f"*/{resource.partition('/')[2]}" in held.resources
    return known and (not held.names or (bool(single.names) and single.names[0] in held.names))


def uncovered(held: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The single permissions of ``wanted`` that ``held`` does not give."""
    known = tuple(held)
    return [
        single for rule in wanted for single in _broken_down(rule) if not any(_covers(rule_, single) for rule_ in known)
    ]


def compacted(singles: Iterable[Rule]) -> list[Rule]:
    """Single permissions, those of one resource together."""
    together: dict[tuple[str, str], list[str]] = {}
    found: list[Rule] = []
    for single in singles:
        if single.paths or single.names:
            found.append(single)
        else:
            verbs = together.setdefault((single.groups[0], single.resources[0]), [])
            if single.verbs[0] not in verbs:
                verbs.append(single.verbs[0])
    for (group, resource), verbs in together.items():
        found.append(Rule(verbs=tuple(verbs), groups=(group,), resources=(resource,)))
    return found


def described(rule: Rule) -> str:
    """A rule in the real server's words."""
    parts = (
        ("APIGroups", rule.groups),
        ("Resources", rule.resources),
        ("NonResourceURLs", rule.paths),
        ("ResourceNames", rule.names),
        ("Verbs", rule.verbs),
    )
    shown = [f"{name}:[{' '.join(_quoted(value) for value in values)}]" for name, values in parts if values]
    return "{" + ", ".join(shown) + "}"
