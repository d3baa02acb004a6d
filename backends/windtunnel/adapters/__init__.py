"""Adapters: each target by Microsoft's own SDKs, for whatever ``Cloud`` they are given."""

from __future__ import annotations
