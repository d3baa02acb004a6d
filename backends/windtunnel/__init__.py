"""Windtunnel: prove a model deployment on the ground before it flies on Azure."""

from __future__ import annotations

__version__ = "0.1.0"
