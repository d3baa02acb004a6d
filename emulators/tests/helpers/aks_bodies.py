"""Bodies of clusters and pools, as tests of the AKS provider send them."""

from __future__ import annotations

from typing import Any

SUBSCRIPTION = "22222222-2222-2222-2222-222222222222"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"


def cluster_body(*pools: dict[str, Any], **properties: object) -> dict[str, Any]:
    """A small valid cluster."""
    profiles = list(pools) or [pool_body("system")]
    return {
        "location": "eastus",
        "identity": {"type": "SystemAssigned"},
        "properties": {"dnsPrefix": "k1", "agentPoolProfiles": profiles, **properties},
    }


def pool_body(name: str, *, mode: str = "System", count: int = 1, **properties: object) -> dict[str, Any]:
    """A pool in a cluster's body."""
    return {"name": name, "mode": mode, "count": count, "vmSize": "Standard_D2_v2", **properties}
