"""Microsoft.Resources: what ARM itself answers. Subscriptions, locations, providers, groups, tags, the generic list."""

from __future__ import annotations

from windtunnel_emulators.providers.resources.surface import ENDPOINTS, PROVIDER

__all__ = ["ENDPOINTS", "PROVIDER"]
