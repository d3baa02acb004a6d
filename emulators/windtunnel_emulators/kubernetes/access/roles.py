"""Roles and their bindings: which rules a user has, where, and by which binding.

Compiled per user when first asked, and forgotten when any role or binding changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.access import users
from windtunnel_emulators.kubernetes.access.interface import Decision
from windtunnel_emulators.kubernetes.access.rules import parse_rules
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.objects.selectors import label_selector, labels_of

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Attributes, User
    from windtunnel_emulators.kubernetes.access.rules import Rule
    from windtunnel_emulators.kubernetes.access.state import State
    from windtunnel_emulators.kubernetes.api.storage import Event

GROUP = "rbac.authorization.k8s.io"
ROLES = f"roles.{GROUP}"
CLUSTER_ROLES = f"clusterroles.{GROUP}"
ROLE_BINDINGS = f"rolebindings.{GROUP}"
CLUSTER_ROLE_BINDINGS = f"clusterrolebindings.{GROUP}"
_MOST_USERS = 1024
_MOST_DECISIONS = 8192


@dataclass(frozen=True, slots=True)
class Grant:
    """The rules that one binding gives a user; ``problem`` says that its role is not there."""

    rules: tuple[Rule, ...]
    why: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Grants:
    """What a user has: everywhere, and by namespace."""

    everywhere: tuple[Grant, ...]
    inside: dict[str, tuple[Grant, ...]]

    def of(self, namespace: str) -> tuple[Grant, ...]:
        """What counts in a namespace; with an empty name, at the cluster's scope."""
        return (*self.everywhere, *self.inside.get(namespace, ())) if namespace else self.everywhere


class Roles:
    """The roles of one cluster."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._grants: dict[tuple[str, tuple[str, ...]], Grants] = {}
        self._decisions: dict[tuple[str, tuple[str, ...], Attributes], Decision] = {}

    def start(self) -> None:
        """Notice changes, and keep aggregated roles what the others make them."""
        for resource in (ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
            self._state.follow(resource, partial(self._changed, resource))

    def _changed(self, resource: str, event: Event) -> None:
        self._grants.clear()
        self._decisions.clear()
        if resource == CLUSTER_ROLES and not (event.deleted and not labels_of(event.new.object)):
            self._state.spawn(self.aggregate(), "aggregation of cluster roles")

    async def aggregate(self) -> None:
        """Write the rules of roles that are the union of others."""
        for role in list(self._state.objects(CLUSTER_ROLES)):
            if not role.get("aggregationRule"):
                continue
            rules = self._united(role)
            if rules != as_list(role.get("rules")):
                name = meta.text(role, "name")

                def with_rules(current: JsonObject, rules: list[Json] = rules) -> JsonObject:
                    return {**current, "rules": rules}

                if self._state.get(CLUSTER_ROLES, "", name) is not None:
                    await self._state.update(CLUSTER_ROLES, "", name, with_rules)

    def _united(self, role: JsonObject) -> list[Json]:
        chosen = as_list(as_object(role.get("aggregationRule")).get("clusterRoleSelectors"))
        selectors = [label_selector(one) for one in chosen]
        own = meta.text(role, "name")
        found: list[Json] = []
        for selector in selectors:
            for other in self._state.objects(CLUSTER_ROLES):
                if meta.text(other, "name") == own or not selector.matches(labels_of(other)):
                    continue
                found.extend(rule for rule in as_list(other.get("rules")) if rule not in found)
        return found

    def decide(self, user: User, asked: Attributes) -> Decision:
        """Whether a user's roles allow it."""
        key = (user.name, user.groups, asked)
        found = self._decisions.get(key)
        if found is None:
            found = self._decide(user, asked)
            if len(self._decisions) >= _MOST_DECISIONS:
                self._decisions.clear()
            self._decisions[key] = found
        return found

    def _decide(self, user: User, asked: Attributes) -> Decision:
        problems: list[str] = []
        for grant in self.grants(user).of(asked.namespace):
            if grant.problem:
                problems.append(grant.problem)
            elif any(rule.allows(asked) for rule in grant.rules):
                return Decision(allowed=True, reason=grant.why)
        if not problems:
            return Decision(allowed=False)
        listed = problems[0] if len(problems) == 1 else f"[{', '.join(dict.fromkeys(problems))}]"
        return Decision(allowed=False, reason=f"RBAC: {listed}")

    def rules(self, user: User, namespace: str) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
        """Every rule that a user has in a namespace, and what kept others from being known."""
        grants = self.grants(user).of(namespace)
        found = tuple(rule for grant in grants for rule in grant.rules)
        return found, tuple(grant.problem for grant in grants if grant.problem)

    def grants(self, user: User) -> Grants:
        """What a user has."""
        key = (user.name, user.groups)
        found = self._grants.get(key)
        if found is None:
            found = self._compile(user)
            if len(self._grants) >= _MOST_USERS:
                self._grants.clear()
            self._grants[key] = found
        return found

    def _compile(self, user: User) -> Grants:
        everywhere: list[Grant] = []
        for binding in self._state.objects(CLUSTER_ROLE_BINDINGS):
            subject = _subject(binding, user, "")
            if subject:
                name = meta.text(binding, "name")
                everywhere.append(self._grant(binding, "", f'ClusterRoleBinding "{name}"', subject))
        inside: dict[str, list[Grant]] = {}
        for binding in self._state.objects(ROLE_BINDINGS):
            namespace = meta.text(binding, "namespace")
            subject = _subject(binding, user, namespace)
            if subject:
                what = f'RoleBinding "{meta.text(binding, "name")}/{namespace}"'
                inside.setdefault(namespace, []).append(self._grant(binding, namespace, what, subject))
        return Grants(tuple(everywhere), {name: tuple(grants) for name, grants in inside.items()})

    def _grant(self, binding: JsonObject, namespace: str, what: str, subject: str) -> Grant:
        reference = as_object(binding.get("roleRef"))
        kind, name = as_str(reference.get("kind")), as_str(reference.get("name"))
        role = self.role(kind, namespace, name)
        if role is None:
            return Grant((), "", f'{kind.lower()}.{GROUP} "{name}" not found')
        return Grant(parse_rules(role), f'RBAC: allowed by {what} of {kind} "{name}" to {subject}')

    def role(self, kind: str, namespace: str, name: str) -> JsonObject | None:
        """The role that a binding names."""
        if kind == "ClusterRole":
            return self._state.get(CLUSTER_ROLES, "", name)
        return self._state.get(ROLES, namespace, name) if kind == "Role" and namespace else None


def _subject(binding: JsonObject, user: User, namespace: str) -> str:
    """The subject of a binding that a user is, in words; empty when they are none of them."""
    for one in as_list(binding.get("subjects")):
        subject = as_object(one)
        kind, name = as_str(subject.get("kind")), as_str(subject.get("name"))
        if kind == "User" and name == user.name:
            return f'User "{name}"'
        if kind == "Group" and name in user.groups:
            return f'Group "{name}"'
        if kind == "ServiceAccount":
            where = as_str(subject.get("namespace")) or namespace
            if where and users.account_name(where, name) == user.name:
                return f'ServiceAccount "{name}/{where}"'
    return ""
