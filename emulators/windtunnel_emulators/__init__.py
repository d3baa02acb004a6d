"""Servers that answer like Azure: ARM, token service, registry, and containers that really run."""

from __future__ import annotations

__version__ = "0.1.0"
