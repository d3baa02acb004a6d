"""Fills cluster roles that are made of others: the rules of all that ``aggregationRule`` selects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.kinds import CLUSTER_ROLE
from windtunnel_emulators.kubernetes.client.meta import entries, key_of, labels_of, mapping, name_of
from windtunnel_emulators.kubernetes.client.selectors import matches
from windtunnel_emulators.kubernetes.controllers.controller import Controller

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from windtunnel_emulators.jsontypes import Json, JsonObject


def aggregated(role: JsonObject, roles: Sequence[JsonObject]) -> list[Json]:
    """The rules it should have, each once, in the order of the roles' names."""
    selectors = entries(role, "aggregationRule", "clusterRoleSelectors")
    rules: list[Json] = []
    for other in sorted(roles, key=name_of):
        if name_of(other) != name_of(role) and any(matches(each, labels_of(other)) for each in selectors):
            for rule in entries(other, "rules"):
                if rule not in rules:
                    rules.append(rule)
    return rules


class ClusterRoles(Controller):
    """The controller of aggregated ClusterRoles."""

    name = "clusterrole-aggregation-controller"
    workers = 1

    def prepare(self) -> None:
        self._roles = self.watch(CLUSTER_ROLE, self._aggregates)

    def _aggregates(self, changed: JsonObject) -> Iterable[str]:
        for role in self._roles.objects():
            selectors = entries(role, "aggregationRule", "clusterRoleSelectors")
            if name_of(role) == name_of(changed) or any(matches(each, labels_of(changed)) for each in selectors):
                yield key_of(role)

    async def reconcile(self, key: str) -> None:
        role = self._roles.by_key(key)
        if role is None or not mapping(role, "aggregationRule"):
            return
        rules = aggregated(role, self._roles.objects())
        if rules != entries(role, "rules"):
            await self.objects.update(CLUSTER_ROLE, {**role, "rules": rules})
