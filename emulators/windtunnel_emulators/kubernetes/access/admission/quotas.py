"""ResourceQuota: what a write adds must fit into the quotas of its namespace.

What is used is counted when it is asked for, from the objects that there are: nothing is awaited between the check and
the write, so two writes cannot have the same room. The quotas' status follows at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.failures import Failure, forbidden, qualified
from windtunnel_emulators.kubernetes.client.meta import strings
from windtunnel_emulators.kubernetes.objects.quantities import ZERO, Quantity, QuantityError, canonical, read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Admission
    from windtunnel_emulators.kubernetes.access.state import State

_QUOTAS = "resourcequotas"
_CHANGEABLE = frozenset({"services", "persistentvolumeclaims"})
"""Kinds of which an update may need more."""
_COUNTED = frozenset(
    {"configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets", "services"}
)
_SPECIFIED = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
"""What every container has to say if a quota limits it."""


class Quotas:
    """The quotas of one cluster."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._stale: set[str] = set()

    def check(self, admission: Admission) -> None:
        """Raises ``Failure`` 403."""
        whole = admission.object
        if whole is None or not admission.namespace or not _handled(admission):
            return
        quotas = list(self._state.objects(_QUOTAS, admission.namespace))
        if not quotas:
            return
        resource = qualified(admission.kind.group, admission.kind.plural)
        counted = False
        for quota in quotas:
            counted = self._check(quota, resource, admission, whole) or counted
        if counted and not admission.dry_run and admission.namespace not in self._stale:
            self._stale.add(admission.namespace)
            self._state.spawn(self._refresh(admission.namespace), "status of quotas")

    def _check(self, quota: JsonObject, resource: str, admission: Admission, whole: JsonObject) -> bool:
        """Whether the write counts for a quota."""
        hard = strings(quota, "spec", "hard")
        if resource == "pods" and admission.operation == "CREATE":
            _check_specified(quota, admission, whole, hard)
        added = _use(quota, resource, whole)
        if admission.old is not None:
            before = _use(quota, resource, admission.old)
            added = {name: amount - before.get(name, ZERO) for name, amount in added.items()}
        added = {name: amount for name, amount in added.items() if amount > ZERO}
        if not added:
            return False
        used = self._used(quota, admission.namespace)
        exceeded = sorted(
            name for name, amount in added.items() if used.get(name, ZERO) + amount > _limit(hard.get(name, "0"))
        )
        if exceeded:
            why = (
                f"exceeded quota: {meta.text(quota, 'name')},"
                f" requested: {_shown({name: canonical(added[name]) for name in exceeded})},"
                f" used: {_shown({name: canonical(used.get(name, ZERO)) for name in exceeded})},"
                f" limited: {_shown({name: canonical(_limit(hard[name])) for name in exceeded})}"
            )
            raise _refused(admission, why)
        return True

    def _used(self, quota: JsonObject, namespace: str) -> Mapping[str, Quantity]:
        from windtunnel_emulators.kubernetes.controllers.quotas import used_of

        others: dict[str, Sequence[JsonObject]] = {}
        for name in {*_COUNTED, *(_counted_plural(name) for name in strings(quota, "spec", "hard"))}:
            if name and name != "pods":
                others[name] = list(self._state.objects(name, namespace))
        return used_of(quota, self._state.objects("pods", namespace), others)

    async def _refresh(self, namespace: str) -> None:
        """Write what is used now."""
        self._stale.discard(namespace)
        for quota in list(self._state.objects(_QUOTAS, namespace)):
            name = meta.text(quota, "name")

            def counted(current: JsonObject) -> JsonObject:
                used = {name: canonical(amount) for name, amount in self._used(current, namespace).items()}
                hard = strings(current, "spec", "hard")
                return {**current, "status": {"hard": {**hard}, "used": {**used}}}

            try:
                await self._state.update(_QUOTAS, namespace, name, counted)
            except Failure as problem:
                if problem.code != 404:  # it is gone
                    raise


def _counted_plural(resource: str) -> str:
    return resource.removeprefix("count/") if resource.startswith("count/") else ""


def _handled(admission: Admission) -> bool:
    if admission.operation == "CREATE":
        return not admission.subresource
    if admission.operation != "UPDATE":
        return False
    plural = qualified(admission.kind.group, admission.kind.plural)
    return (plural in _CHANGEABLE and not admission.subresource) or (plural, admission.subresource) == (
        "pods",
        "resize",
    )


def _use(quota: JsonObject, resource: str, whole: JsonObject) -> dict[str, Quantity]:
    from windtunnel_emulators.kubernetes.controllers.quotas import used_of

    if resource == "pods":
        return used_of(quota, [whole], {})
    scoped = as_object(quota.get("spec"))
    if scoped.get("scopes") or scoped.get("scopeSelector"):
        return {}
    return used_of(quota, [], {resource: [whole]})


def _check_specified(quota: JsonObject, admission: Admission, pod: JsonObject, hard: Mapping[str, str]) -> None:
    from windtunnel_emulators.kubernetes.controllers.quotas import in_scope

    required = sorted(_SPECIFIED & hard.keys())
    if not required or not in_scope(quota, pod):
        return
    spec, missing = as_object(pod.get("spec")), dict[str, list[str]]()
    for group in ("containers", "initContainers"):
        for one in as_list(spec.get(group)):
            container = as_object(one)
            resources = as_object(container.get("resources"))
            for name in required:
                part, found, plain = name.rpartition(".")
                if plain not in as_object(resources.get(part if found else "requests")):
                    missing.setdefault(name, []).append(as_str(container.get("name")))
    if missing:
        listed = "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))
        raise _refused(admission, f"failed quota: {meta.text(quota, 'name')}: must specify {listed}")


def _refused(admission: Admission, why: str) -> Failure:
    kind = admission.kind
    return forbidden(kind.group, kind.plural, admission.name, why)


def _limit(value: str) -> Quantity:
    try:
        return read(value)
    except QuantityError:
        return ZERO


def _shown(amounts: Mapping[str, str]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in sorted(amounts))
