"""Shared access policies of a hub: names with two keys and rights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REGISTRY_READ, REGISTRY_WRITE, SERVICE_CONNECT = "RegistryRead", "RegistryWrite", "ServiceConnect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy. Its keys are never shown."""

    name: str
    keys: tuple[str, ...]
    rights: frozenset[str]
    """As ARM names them. Who may write the registry may read it."""

    def __repr__(self) -> str:
        return f"Policy(name={self.name!r}, rights={sorted(self.rights)})"


class Policies:
    """The policies of one hub as they are now."""

    def __init__(self, read: Callable[[], Mapping[str, Policy]]) -> None:
        """``read`` tells the policies by name in lower case: who owns the hub's resource knows them."""
        self._read = read

    def get(self, name: str) -> Policy | None:
        """Names are compared without case; None when there is none."""
        return self._read().get(name.lower())
