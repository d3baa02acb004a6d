"""Backends by name: the entry points of the group ``windtunnel.backends``, listed without importing any.

A third party joins with ``[project.entry-points."windtunnel.backends"]  acme = "acme_onnx:AcmeBackend"``.
"""

from __future__ import annotations

import inspect
from importlib import metadata
from typing import TYPE_CHECKING

from windtunnel.errors import MissingExtra, NotConfigured, NotFound
from windtunnel.interface import Backend
from windtunnel.settings import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP = "windtunnel.backends"
BUILT_IN: Mapping[str, str] = {
    "local": "windtunnel.emulated:EmulatedBackend",
    "azure": "windtunnel.adapters.azure:AzureBackend",
}
"""Also known when the distribution is not installed, as in a source tree."""
_EXTRAS = {"azure": "azure", "msal": "azure", "windtunnel_emulators": "emulators"}


def installed() -> dict[str, str]:
    """Where each backend is, as ``module:Class``, by name. Raises ``NotConfigured`` when two claim one name."""
    found = dict(BUILT_IN)
    for entry in metadata.entry_points(group=GROUP):
        if found.get(entry.name, entry.value) != entry.value:
            raise NotConfigured(
                f"two backends are called {entry.name!r}: {found[entry.name]} and {entry.value}",
                way_out="Uninstall one of the two distributions, or ask its author to rename the entry point.",
            )
        found[entry.name] = entry.value
    return dict(sorted(found.items()))


def load(name: str) -> type[Backend]:
    """The backend's class. Raises ``NotFound``, ``MissingExtra``, and ``NotConfigured`` for one that is none."""
    places = installed()
    place = places.get(name)
    if place is None:
        raise NotFound(f"no backend {name!r}; installed: {', '.join(places)}{_did_you_mean(name, places)}")
    entry = metadata.EntryPoint(name=name, value=place, group=GROUP)
    try:
        loaded: object = entry.load()
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise NotConfigured(
                f"backend {name!r} ({place}) cannot be imported: {error}",
                way_out="Install what it needs, or uninstall the distribution that registers it.",
            ) from error
        raise MissingExtra(f"backend {name!r}", extra, error.name or "?") from error
    except (ImportError, AttributeError) as error:
        raise NotConfigured(f"backend {name!r} ({place}) cannot be imported: {error}") from error
    if not (isinstance(loaded, type) and issubclass(loaded, Backend)):
        raise NotConfigured(f"backend {name!r} ({place}) is not a subclass of windtunnel.Backend")
    if inspect.isabstract(loaded):
        missing = ", ".join(sorted(loaded.__abstractmethods__))
        raise NotConfigured(f"backend {name!r} ({place}) does not implement: {missing}")
    return loaded


def _did_you_mean(name: str, places: Mapping[str, str]) -> str:
    hint = nearest(name, places)
    return hint if "did you mean" in hint else ""
