"""Which providers the subscription uses: all of them, but those that somebody has unregistered.

Azure begins with few; old clients then register one and wait for ten seconds, newer ones fail. Here that is an opt-in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import by_gateway

if TYPE_CHECKING:
    from windtunnel_emulators.store import Store


class Registrations:
    """The subscription's registrations."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def registered(self, namespace: str) -> bool:
        """Whether the subscription may use a provider."""
        return not self._store.row("SELECT 1 FROM unregistered WHERE namespace = ?", (namespace.lower(),))

    def register(self, namespace: str) -> None:
        """Let the subscription use a provider; safe when it does."""
        self._store.execute("DELETE FROM unregistered WHERE namespace = ?", (namespace.lower(),))

    def unregister(self, namespace: str) -> None:
        """Refuse to create anything of a provider from now on. Raises 409 while there is something of it."""
        prefix = f"{namespace.lower()}/"
        if self._store.row("SELECT 1 FROM resources WHERE substr(type, 1, ?) = ?", (len(prefix), prefix)):
            raise by_gateway(
                409,
                "Conflict",
                f"The resource provider '{namespace}' cannot be unregistered while the subscription has resources of"
                " it. Delete them first.",
            )
        self._store.execute("INSERT OR IGNORE INTO unregistered VALUES (?)", (namespace.lower(),))

    def check(self, namespace: str) -> None:
        """Raises 409 for a provider that the subscription does not use."""
        if not self.registered(namespace):
            # Clients take the last word in quotes for the namespace to register.
            raise by_gateway(
                409,
                "MissingSubscriptionRegistration",
                "The subscription is not registered to use namespace"
                f" '{namespace}'. See https://aka.ms/rps-not-found for how to register subscriptions.",
            )
