"""What runs a device's modules, and where their images come from, for the runtime that the device has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_emulators.edge.device import DeviceProblem
from windtunnel_emulators.runtime.interface import ImageError

if TYPE_CHECKING:
    import ssl

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.edge.agent.machine import Images
    from windtunnel_emulators.edge.device import DeviceFile
    from windtunnel_emulators.edge.upstream.link import Link
    from windtunnel_emulators.registry.pull import FetchedManifest
    from windtunnel_emulators.runtime.interface import Credentials, Image, Runtime


def make_runtime(
    file: DeviceFile, folder: Path, clock: Clock, *, link: Link, tls: ssl.SSLContext
) -> tuple[Runtime, Images]:
    """Raises ``DeviceProblem`` for a runtime that there is not."""
    if file.runtime == "process":
        from windtunnel_emulators.edge.images.source import EdgeImages
        from windtunnel_emulators.runtime.process import ProcessRuntime

        environments = Path(file.environments) if file.environments else folder / "environments"
        images = EdgeImages(folder / "images", environments, link=link, tls=tls)
        return ProcessRuntime(folder / "runtime", clock), images
    if file.runtime == "docker":
        from windtunnel_emulators.runtime.docker import DockerRuntime

        runtime = DockerRuntime(folder / "runtime", clock, _NoRegistries())
        return runtime, _EngineImages(runtime)
    raise DeviceProblem(f"device.json: there is no runtime {file.runtime!r}; there are process and docker")


class _EngineImages:
    """A Docker engine pulls and keeps images itself."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def get(self, reference: str, credentials: tuple[Credentials, ...], *, kept_only: bool) -> Image:
        del kept_only  # the engine takes what it has when it cannot pull
        return await self._runtime.pull(reference, credentials)

    async def kept(self, reference: str, digest: str) -> Image | None:
        found = await self._runtime.pull(reference)
        return found if found.digest == digest else None


class _NoRegistries:
    """A device emulates no registry: all are reached by their wire."""

    def owns(self, reference: str) -> bool:
        del reference
        return False

    def local_name(self, reference: str) -> str:
        return reference

    def fetch(self, reference: str, credentials: object = ()) -> FetchedManifest:
        del credentials
        raise ImageError(f"{reference} is of no registry that is emulated here", denied=False)
