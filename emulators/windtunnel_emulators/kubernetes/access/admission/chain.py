"""The plugins of admission in the real server's order, and what its storage does before it validates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.access.admission import (
    certificates,
    defaultclasses,
    limits,
    namespaces,
    nodes,
    priorities,
    runtimeclasses,
    serviceaccounts,
    tolerations,
)
from windtunnel_emulators.kubernetes.access.admission.policies import Policies
from windtunnel_emulators.kubernetes.access.admission.quotas import Quotas
from windtunnel_emulators.kubernetes.access.admission.webhooks import Webhooks
from windtunnel_emulators.kubernetes.access.roles import GROUP as ROLES
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.objects.prepare import quality_of_service

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.access.admission.webhooks import Resolver
    from windtunnel_emulators.kubernetes.access.allocation.services import ServiceAllocation
    from windtunnel_emulators.kubernetes.access.escalation import Escalation
    from windtunnel_emulators.kubernetes.access.interface import Admission, Attributes, Decision, User
    from windtunnel_emulators.kubernetes.access.state import State


class Chain:
    """Admission of one cluster."""

    def __init__(
        self,
        state: State,
        escalation: Escalation,
        allocation: ServiceAllocation,
        authorize: Callable[[User, Attributes], Decision],
        resolve: Resolver,
    ) -> None:
        self._state = state
        self._escalation = escalation
        self._allocation = allocation
        self._authorize = authorize
        self._quotas = Quotas(state)
        self._policies = Policies(state, authorize)
        self._webhooks = Webhooks(state, authorize, resolve)

    def start(self) -> None:
        """Follow what there is to follow."""
        self._policies.start()

    async def mutate(self, admission: Admission) -> JsonObject | None:
        """The object as the mutating plugins leave it; None for a deletion. Raises ``StatusError``."""
        namespaces.check(admission, self._state)
        whole = admission.object
        if whole is None:
            nodes.check(admission, self._state)
            await self._webhooks.mutate(admission)
            return None
        place = (admission.kind.group, admission.kind.plural)
        if place == ("", "pods") and not _binding(admission):
            whole = self._pod(admission, whole)
        elif place == ("", "nodes"):
            nodes.check(admission, self._state)
            whole = tolerations.taint_node(admission, whole)
        else:
            nodes.check(admission, self._state)
            if place == ("networking.k8s.io", "ingresses"):
                whole = defaultclasses.ingress(admission, whole, self._state)
            elif place == ("", "persistentvolumeclaims"):
                whole = defaultclasses.claim(admission, whole, self._state)
        changed = await self._webhooks.mutate(replace(admission, object=whole))
        return self._stored(admission, whole if changed is None else changed)

    def _pod(self, admission: Admission, whole: JsonObject) -> JsonObject:
        state = self._state
        whole = limits.mutate(admission, whole, state)
        whole = serviceaccounts.mutate(admission, whole, state)
        nodes.check(replace(admission, object=whole), state)
        whole = priorities.mutate(admission, whole, state)
        whole = tolerations.mutate(admission, whole)
        return runtimeclasses.mutate(admission, whole, state)

    def _stored(self, admission: Admission, whole: JsonObject) -> JsonObject:
        """What the storage of a kind does with a write that mutating admission lets through."""
        place = (admission.kind.group, admission.kind.plural)
        if place == ("", "services") and not admission.subresource:
            return self._allocation.allocate(admission, whole)
        if admission.kind.group == ROLES:
            self._escalation.check(admission, whole)
        elif place == (certificates.GROUP, "certificatesigningrequests"):
            return certificates.mutate(admission, whole, meta.timestamp(self._state.now()))
        elif place == ("", "pods") and admission.operation == "CREATE" and not admission.subresource:
            status = whole.get("status")
            if isinstance(status, dict):  # the class follows from what admission has filled in
                return {**whole, "status": {**status, "qosClass": quality_of_service(whole)}}
        return whole

    async def validate(self, admission: Admission) -> None:
        """Raises ``StatusError``."""
        place = (admission.kind.group, admission.kind.plural)
        if place == (priorities.GROUP, "priorityclasses"):
            priorities.check_class(admission, self._state)
        elif place == (certificates.GROUP, "certificatesigningrequests"):
            certificates.check(admission, self._authorize)
        elif place[0] == "admissionregistration.k8s.io":
            self._policies.check_references(admission)
        limits.check(admission, self._state)
        self._policies.check(admission)
        await self._webhooks.validate(admission)
        self._quotas.check(admission)  # last: nothing is awaited between it and the write

    async def admit(self, admission: Admission) -> JsonObject | None:
        """Both."""
        whole = await self.mutate(admission)
        await self.validate(replace(admission, object=whole))
        return whole


def _binding(admission: Admission) -> bool:
    return admission.subresource in ("binding", "eviction")
