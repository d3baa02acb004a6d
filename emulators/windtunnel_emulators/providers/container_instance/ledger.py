"""What is taken of quotas and DNS labels: kept in memory, and asked of the store again before anything is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError

from .capabilities import normal
from .quotas import Entry
from .stored import load
from .validation.resources import totals
from .views import fqdn_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from windtunnel_emulators.arm.provider import Resource

    from .quotas import Quotas


class Ledger:
    """An entry for each container group. ``groups`` reads them all from the store, which is always right."""

    def __init__(self, quotas: Quotas, groups: Callable[[], Iterable[Resource]], tenant: str) -> None:
        self._quotas = quotas
        self._groups = groups
        self._tenant = tenant
        self._entries: dict[str, Entry] = {}

    def refresh(self) -> None:
        """Forget everything and read it from the store."""
        self._entries = {entry.key: entry for entry in (entry_of(group, self._tenant) for group in self._groups())}

    def admit(self, resource: Resource) -> None:
        """Take note of a group that is about to be stored.

        Raises ``ArmError``: 400 ``ContainerGroupQuotaReached``, 409 ``DnsNameLabelNotAvailable``.
        """
        asked = entry_of(resource, self._tenant)
        if self._refusal(asked, resource.id.name) is not None:
            self.refresh()
            refusal = self._refusal(asked, resource.id.name)
            if refusal is not None:
                raise refusal
        self._entries[asked.key] = asked

    def forget(self, key: str) -> None:
        """A group is gone; nothing happens when it was not known."""
        self._entries.pop(key, None)

    def entries(self) -> list[Entry]:
        """All groups, as the store has them."""
        self.refresh()
        return list(self._entries.values())

    def _refusal(self, asked: Entry, name: str) -> ArmError | None:
        others = [entry for entry in self._entries.values() if entry.key != asked.key]
        if asked.fqdn is not None and any(other.fqdn == asked.fqdn for other in others):
            return ArmError(
                409,
                "DnsNameLabelNotAvailable",
                f"The DNS name label '{asked.fqdn.partition('.')[0]}' in container group '{name}' not available. Try"
                " using a different label.",
                target="properties.ipAddress.dnsNameLabel",
            )
        return self._quotas.refusal(asked, others)


def entry_of(resource: Resource, tenant: str) -> Entry:
    """What a stored group takes."""
    properties = load(resource.properties)
    return Entry(
        key=resource.id.key,
        subscription=resource.id.subscription.lower(),
        location=normal(resource.location or ""),
        sku=properties.sku or "Standard",
        spot=properties.priority == "Spot",
        cores=totals(properties)[0],
        fqdn=fqdn_of(resource, tenant),
    )
