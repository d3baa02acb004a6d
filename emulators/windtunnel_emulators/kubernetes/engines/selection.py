"""The engine that the command line names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.engines.interface import EngineProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.kubernetes.engines.interface import Engine
    from windtunnel_emulators.server import Listeners
    from windtunnel_emulators.store import Store

NAMES = ("embedded", "binaries", "kind")


def make_engine(
    name: str, *, environment: Mapping[str, str], store: Store, clock: Clock, listeners: Listeners
) -> Engine:
    """One that can be used here. Raises ``EngineProblem`` with a sentence otherwise, and for an unknown name."""
    engine: Engine
    if name == "embedded":
        from windtunnel_emulators.kubernetes.engines.embedded import EmbeddedEngine

        engine = EmbeddedEngine(store=store, clock=clock, listeners=listeners)
    elif name == "binaries":
        from windtunnel_emulators.kubernetes.engines.binaries import BinariesEngine

        engine = BinariesEngine(environment=environment, clock=clock, listeners=listeners)
    elif name == "kind":
        from windtunnel_emulators.kubernetes.engines.kind import KindEngine

        engine = KindEngine(environment=environment, clock=clock)
    else:
        raise EngineProblem(f"there is no engine {name!r} for Kubernetes; there are {', '.join(NAMES)}")
    engine.check()
    return engine
