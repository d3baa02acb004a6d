"""The plugins of admission in the real server's order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.access.admission import namespaces, serviceaccounts

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Admission
    from windtunnel_emulators.kubernetes.access.state import State


class Chain:
    """Admission of one cluster."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def mutate(self, admission: Admission) -> JsonObject | None:
        """The object as the mutating plugins leave it; None for a deletion. Raises ``StatusError``."""
        namespaces.check(admission, self._state)
        whole = admission.object
        if whole is None:
            return None
        if admission.kind.group == "" and admission.kind.plural == "pods":
            whole = serviceaccounts.mutate(admission, whole, self._state)
        return whole

    async def validate(self, admission: Admission) -> None:
        """Raises ``StatusError``."""

    async def admit(self, admission: Admission) -> JsonObject | None:
        """Both."""
        whole = await self.mutate(admission)
        await self.validate(replace(admission, object=whole))
        return whole
