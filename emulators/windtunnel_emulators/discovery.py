"""The providers of this installation: every folder in ``providers`` that exports ``PROVIDER``."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from windtunnel_emulators import providers
from windtunnel_emulators.arm.provider import Provider

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import AnyProvider


class BadProvider(Exception):
    """A folder in ``providers`` that is no provider; the message names it."""


def discover() -> list[AnyProvider]:
    """All providers, by the name of their folder. What fails to import fails here: a provider is never left out."""
    found: list[AnyProvider] = []
    for module in sorted(pkgutil.iter_modules(providers.__path__), key=lambda m: m.name):
        name = f"{providers.__name__}.{module.name}"
        exported: AnyProvider | None = getattr(importlib.import_module(name), "PROVIDER", None)
        if not isinstance(exported, Provider):
            raise BadProvider(f"{name} does not export PROVIDER, a Provider")
        found.append(exported)
    return found
