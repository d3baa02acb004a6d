"""This project's own run of the contract: ``pytest contract-tests [--backend NAME] [--target T]``."""

from __future__ import annotations

from windtunnel_contracts.all import *  # noqa: F403  the whole suite, by its published names
