"""This project's own run of the contract."""

from __future__ import annotations

pytest_plugins = ["windtunnel_contracts.plugin"]
