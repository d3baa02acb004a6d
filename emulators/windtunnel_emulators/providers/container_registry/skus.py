"""What each service tier has: limits as ``listUsages`` answers them, and what only Premium may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError

if TYPE_CHECKING:
    from collections.abc import Mapping

GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One tier's limits (Azure's documentation, "Azure Container Registry SKU features and limits")."""

    size: int
    webhooks: int
    scope_maps: int


TIERS: Mapping[str, Tier] = {
    "Basic": Tier(size=10 * GIB, webhooks=2, scope_maps=100),
    "Standard": Tier(size=100 * GIB, webhooks=10, scope_maps=500),
    "Premium": Tier(size=500 * GIB, webhooks=500, scope_maps=50_000),
}


def premium_only(sku: str, place: str) -> None:
    """Raises ``ArmError`` 400 when a registry of this tier may not have what is at ``place``."""
    if sku != "Premium":
        raise ArmError(
            400,
            "SkuNotSupported",
            f"'{place}' is supported only for registries of SKU 'Premium'; this one has SKU '{sku}'."
            " Change the registry's SKU and try again.",
            target=place,
        )
