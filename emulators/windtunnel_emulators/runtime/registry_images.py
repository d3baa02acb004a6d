"""Images of the emulated registries, made ready for the process runtime: unpacked, with their packages."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.jsontypes import as_str
from windtunnel_emulators.runtime.interface import Image, ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from windtunnel_emulators.images.oci import ImageConfig
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.registry.pull import FetchedManifest
    from windtunnel_emulators.runtime.interface import Credentials


class Registries(Protocol):
    """What is needed of ``registry.pull.RegistrySource``."""

    def owns(self, reference: str) -> bool: ...
    def local_name(self, reference: str) -> str: ...
    def fetch(self, reference: str, credentials: Sequence[Credentials] = ()) -> FetchedManifest:
        """Raises ``ImageError``."""
        ...


class RegistryImages:
    """Implements ``sources.ImageSource``.

    An image that a task built without Docker names its base, whose promise this machine keeps: its programs and its
    Python. Any other image has to bring all that it needs.
    """

    def __init__(self, registries: Registries, folder: Path, environments: Path) -> None:
        """``folder`` is for the unpacked images; ``environments`` that of the builds, as what they made is used."""
        self._registries = registries
        self._folder = folder
        self._environments = environments

    def owns(self, reference: str) -> bool:
        return self._registries.owns(reference)

    async def fetch(self, reference: str, credentials: tuple[Credentials, ...]) -> Image:
        fetched = self._registries.fetch(reference, credentials)
        return await prepared(reference, fetched, self._folder, self._environments)


async def prepared(reference: str, fetched: FetchedManifest, folder: Path, environments: Path) -> Image:
    """An image that was fetched, unpacked below ``folder`` and with its packages. Raises ``ImageError``."""
    from windtunnel_emulators.images.bases import ANNOTATION, SCRATCH, base_of
    from windtunnel_emulators.images.environments import Environments
    from windtunnel_emulators.images.errors import ImageProblem
    from windtunnel_emulators.images.oci import read_config
    from windtunnel_emulators.images.threads import in_thread
    from windtunnel_emulators.images.unpack import materialise
    from windtunnel_emulators.jsontypes import as_object

    _check_platform(reference, fetched.config)
    base = as_str(as_object(fetched.manifest.get("annotations")).get(ANNOTATION))
    complete = base in ("", SCRATCH)
    stop = threading.Event()
    try:
        python = not complete and base_of(fetched.manifest).python
        root = await in_thread(stop, materialise, fetched.digest, fetched.layers, folder, stop=stop.is_set)
        packages = await Environments(environments).of_image(root) if python else None
    except ImageProblem as problem:
        raise ImageError(f"image {reference!r} cannot run here: {problem}", denied=False) from problem
    return _image(reference, fetched.digest, read_config(fetched.config), root, packages, complete=complete)


def _check_platform(reference: str, config: JsonObject) -> None:
    """Raises ``ImageError`` for another system or processor than this machine's."""
    from windtunnel_emulators.images.oci import architecture

    system, processor = as_str(config.get("os"), "linux"), as_str(config.get("architecture"), architecture())
    if system != "linux":
        raise ImageError(
            f"image {reference!r} is for {system}, and only Linux containers run here; Windows containers need Azure",
            denied=False,
        )
    if processor != architecture():
        raise ImageError(
            f"image {reference!r} is for {processor} processors, and this machine's is {architecture()};"
            " build it for this one",
            denied=False,
        )


def _image(
    reference: str, digest: str, config: ImageConfig, root: Path, packages: Path | None, *, complete: bool
) -> Image:
    ports = (port.partition("/")[0] for port in config.ports)
    return Image(
        reference=reference,
        digest=digest,
        entrypoint=config.entrypoint,
        command=config.command,
        environment=config.environment,
        working_directory=config.working_directory or "/",
        labels=config.labels,
        exposed_ports=tuple(sorted(int(port) for port in ports if port.isdigit())),
        root=root,
        packages=packages,
        complete=complete,
    )
