"""What a provider's service is given: everything outside itself, made once by the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_emulators.arm.resources import Resources
    from windtunnel_emulators.clock import Clock, Pace
    from windtunnel_emulators.identity.tokens import Tokens
    from windtunnel_emulators.kubernetes.engines.interface import Engine
    from windtunnel_emulators.registry.content import Content
    from windtunnel_emulators.runtime.interface import Runtime
    from windtunnel_emulators.server import Listeners
    from windtunnel_emulators.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One emulator process, as its parts see it."""

    store: Store
    resources: Resources
    """ARM's resources, for services that read or change them outside a request."""
    clock: Clock
    pace: Pace
    folder: Path
    """The state folder; each part writes only below a subfolder of its own name."""
    runtime: Runtime
    content: Content
    """Manifests, tags and blobs of all registries."""
    tokens: Tokens
    listeners: Listeners
    """Opens and closes further TLS ports, as each registry has one."""
    tenant: str
    subscription: str
    engine: Engine | None = None
    """Serves Kubernetes clusters; None for the embedded engine, which is made when the first cluster needs it."""
