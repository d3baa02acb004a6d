"""The images that the emulated registries hold, for the process runtime: pulled, unpacked, with their packages."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.images.bases import base_of
from windtunnel_emulators.images.errors import WAY_OUT, BaseError, ImageProblem
from windtunnel_emulators.images.oci import architecture, read_config
from windtunnel_emulators.images.threads import in_thread
from windtunnel_emulators.images.unpack import materialise
from windtunnel_emulators.images.unpack import sweep as sweep_images
from windtunnel_emulators.jsontypes import as_str
from windtunnel_emulators.runtime.interface import Image, ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from windtunnel_emulators.images.environments import Environments
    from windtunnel_emulators.registry.pull import FetchedManifest
    from windtunnel_emulators.runtime.interface import Credentials

_log = logging.getLogger(__name__)


class Registries(Protocol):
    """``registry.pull.RegistrySource``, as far as it is used here."""

    def owns(self, reference: str) -> bool: ...
    def fetch(self, reference: str, credentials: Sequence[Credentials] = ()) -> FetchedManifest:
        """Raises ``ImageError``."""
        ...


class BuiltImages:
    """Implements ``runtime.sources.ImageSource``; ``folder`` is its own."""

    def __init__(self, registries: Registries, folder: Path, environments: Environments) -> None:
        self._registries = registries
        self._folder = folder
        self._environments = environments

    def owns(self, reference: str) -> bool:
        return self._registries.owns(reference)

    async def fetch(self, reference: str, credentials: tuple[Credentials, ...]) -> Image:
        """An image that was built here; for any other, ``ImageError`` says why it cannot run."""
        fetched = self._registries.fetch(reference, credentials)
        try:
            return await self._ready(reference, fetched)
        except ImageProblem as error:
            raise ImageError(f"image {reference} cannot run here: {error}", denied=False) from error

    async def _ready(self, reference: str, fetched: FetchedManifest) -> Image:
        base = base_of(fetched.manifest)
        made_for = as_str(fetched.config.get("architecture"), architecture())
        if made_for != architecture():
            raise BaseError(f"it is for {made_for}, and this machine is {architecture()}; build it here, or {WAY_OUT}")
        stop = threading.Event()
        root = await in_thread(stop, materialise, fetched.digest, fetched.layers, self._folder, stop=stop.is_set)
        config = read_config(fetched.config)
        return Image(
            reference=reference,
            digest=fetched.digest,
            entrypoint=config.entrypoint,
            command=config.command,
            environment=config.environment,
            working_directory=config.working_directory or "/",
            labels=config.labels,
            exposed_ports=tuple(
                sorted(int(port) for port, _, protocol in (p.partition("/") for p in config.ports) if protocol != "udp")
            ),
            root=root,
            packages=await self._environments.of_image(root, _log.info) if base.python else None,
        )

    def clear(self) -> None:
        """Remove all that was unpacked and all environments; only while no container runs."""
        sweep_images(self._folder, ())
        self._environments.sweep()
