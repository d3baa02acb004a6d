"""Rules of roles, and whether they allow what is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_str

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Attributes

_ALL = "*"


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(as_str(one) for one in as_list(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One ``PolicyRule``."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    @classmethod
    def parse(cls, rule: JsonObject) -> Rule:
        """As a role has it."""
        return cls(
            verbs=_texts(rule.get("verbs")),
            groups=_texts(rule.get("apiGroups")),
            resources=_texts(rule.get("resources")),
            names=_texts(rule.get("resourceNames")),
            paths=_texts(rule.get("nonResourceURLs")),
        )

    def json(self) -> JsonObject:
        """As a role has it."""
        found: JsonObject = {}
        if self.groups:
            found["apiGroups"] = list(self.groups)
        if self.names:
            found["resourceNames"] = list(self.names)
        if self.resources:
            found["resources"] = list(self.resources)
        if self.paths:
            found["nonResourceURLs"] = list(self.paths)
        found["verbs"] = list(self.verbs)
        return found

    def allows(self, asked: Attributes) -> bool:
        """Whether this rule alone allows it."""
        if asked.verb not in self.verbs and _ALL not in self.verbs:
            return False
        if not asked.resource:
            return path_matches(self.paths, asked.path)
        if asked.group not in self.groups and _ALL not in self.groups:
            return False
        if not resource_matches(self.resources, asked.resource, asked.subresource):
            return False
        return not self.names or asked.name in self.names


def path_matches(patterns: tuple[str, ...], path: str) -> bool:
    """Whether a path is one of a rule's: literally, or with a star at the pattern's end."""
    for pattern in patterns:
        if pattern in (_ALL, path) or (pattern.endswith(_ALL) and path.startswith(pattern.rstrip(_ALL))):
            return True
    return False


def resource_matches(patterns: tuple[str, ...], resource: str, subresource: str) -> bool:
    """Whether a resource is one of a rule's: ``pods``, ``pods/log``, ``*/scale``, ``*``."""
    if _ALL in patterns:
        return True
    whole = f"{resource}/{subresource}" if subresource else resource
    return whole in patterns or (bool(subresource) and f"{_ALL}/{subresource}" in patterns)


def parse_rules(role: JsonObject) -> tuple[Rule, ...]:
    """The rules of a role."""
    return tuple(Rule.parse(rule) for rule in as_list(role.get("rules")) if isinstance(rule, dict))
