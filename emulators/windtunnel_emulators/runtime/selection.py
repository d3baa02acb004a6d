"""The runtime that the command line names, with all the sources of images that it can use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.runtime.interface import Runtime
    from windtunnel_emulators.runtime.registry_images import Registries

NAMES = ("process", "docker")


def make_runtime(name: str, *, folder: Path, clock: Clock, registries: Registries) -> Runtime:
    """``folder`` is the state folder. Raises ``ValueError`` with a sentence for an unknown name."""
    if name == "process":
        from windtunnel_emulators.runtime.process import ProcessRuntime
        from windtunnel_emulators.runtime.registry_images import RegistryImages
        from windtunnel_emulators.standins.catalogue import StandIns

        own = folder / "runtime"
        sources = (
            RegistryImages(registries, own / "images", folder / "environments"),
            StandIns(own / "stand-ins", folder / "environments"),
        )
        return ProcessRuntime(own, clock, sources)
    if name == "docker":
        from windtunnel_emulators.runtime.docker import DockerRuntime

        return DockerRuntime(folder / "runtime", clock, registries)
    raise ValueError(f"there is no runtime {name!r}; there are {', '.join(NAMES)}")
