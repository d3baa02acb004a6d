"""Where the images of a device's modules come from: stand-ins of the catalogue, registries, or what the device has.

A reference is asked for anew at each pull, as Docker does; when its registry is out of reach, what was pulled before
serves. An image that a module runs already needs no registry (``kept``).
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from typing import TYPE_CHECKING, TypeVar

import msgspec

from windtunnel_emulators.edge.images.kept import KeptImages
from windtunnel_emulators.edge.images.wire import Registry
from windtunnel_emulators.edge.interface import Unreachable
from windtunnel_emulators.images.errors import ReferenceProblem
from windtunnel_emulators.images.reference import Reference
from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.registry.manifests import INDEXES, OCI_ARTIFACT
from windtunnel_emulators.registry.pull import for_this_machine
from windtunnel_emulators.runtime.interface import ImageError
from windtunnel_emulators.runtime.registry_images import prepared
from windtunnel_emulators.standins.catalogue import StandIns

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path
    from typing import Protocol

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.runtime.interface import Credentials, Image

    class Carrier(Protocol):
        """What is needed of ``upstream.link.Link``."""

        async def carry(self, call: Callable[[], Awaitable[_T]], *, within: float = ...) -> _T:
            """Raises ``Unreachable``."""
            ...


_T = TypeVar("_T")
_PULL_LIMIT_S = 3600.0
_DEEPEST = 3
_log = logging.getLogger(__name__)


class EdgeImages:
    """For the process runtime. ``folder`` is the device's; ``environments`` where packages are, shared with others."""

    def __init__(self, folder: Path, environments: Path, *, link: Carrier, tls: ssl.SSLContext) -> None:
        self._kept = KeptImages(folder)
        self._unpacked = folder / "unpacked"
        self._environments = environments
        self._link = link
        self._tls = tls
        self._stand_ins = StandIns(folder / "stand-ins", environments)
        self._pulling: dict[str, asyncio.Lock] = {}

    async def get(self, reference: str, credentials: tuple[Credentials, ...], *, kept_only: bool) -> Image:
        """Raises ``ImageError``."""
        if self._stand_ins.owns(reference):
            return await self._stand_ins.fetch(reference, credentials)
        async with self._pulling.setdefault(reference, asyncio.Lock()):
            digest = self._kept.digest(reference)
            if not kept_only:
                digest = await self._pulled(reference, credentials, digest)
        found = None if digest is None else await self.kept(reference, digest)
        if found is None:
            raise ImageError(
                f"image {reference!r} is not on the device, and imagePullPolicy 'never' forbids to pull it",
                denied=False,
            )
        return found

    async def kept(self, reference: str, digest: str) -> Image | None:
        """An image that the device has; its packages may have to be installed. Raises ``ImageError``."""
        if self._stand_ins.owns(reference):
            return await self._stand_ins.fetch(reference, ())
        fetched = self._kept.image(digest)
        if fetched is None:
            return None
        return await prepared(reference, fetched, self._unpacked, self._environments)

    async def _pulled(self, reference: str, credentials: tuple[Credentials, ...], former: str | None) -> str:
        try:
            wanted = Reference.parse(reference).with_default_tag()
        except ReferenceProblem as problem:
            raise ImageError(str(problem), denied=True) from problem
        registry = Registry(wanted, _of(wanted, credentials), self._tls)
        try:
            digest = await self._link.carry(lambda: self._pull(registry, wanted), within=_PULL_LIMIT_S)
        except Unreachable as problem:
            if former is not None and self._kept.image(former) is not None:
                _log.warning("image %s is the one that was pulled before: %s", reference, problem)
                return former
            raise ImageError(
                f"image {reference!r} cannot be pulled: {problem}, and the device has none of that name", denied=False
            ) from problem
        finally:
            await registry.close()
        self._kept.refer(reference, digest)
        return digest

    async def _pull(self, registry: Registry, wanted: Reference) -> str:
        """Returns the digest of the image, all of which is on the disk then."""
        name, target = str(wanted), wanted.digest or wanted.tag or "latest"
        for _ in range(_DEEPEST):
            digest, body = await registry.manifest(target)
            manifest = _decoded(body, name)
            kind = as_str(manifest.get("mediaType"))
            if kind not in INDEXES and "manifests" not in manifest:
                break
            target = for_this_machine(manifest, name)
        else:
            raise ImageError(f"image {name} is an index of indexes without an image", denied=False)
        if kind == OCI_ARTIFACT or not as_object(manifest.get("config")):
            raise ImageError(f"{name} is an artifact, not an image: it has nothing to run", denied=False)
        parts: list[JsonObject] = [as_object(part) for part in [manifest["config"], *as_list(manifest.get("layers"))]]
        for part in parts:
            await self._fetch(registry, part)
        # Last, so that an image whose manifest is here is whole.
        self._kept.put_manifest(digest, body)
        return digest

    async def _fetch(self, registry: Registry, part: JsonObject) -> None:
        digest, size = as_str(part.get("digest")), part.get("size")
        target = self._kept.blob(digest)
        if "/" not in digest and target.is_file():
            return
        draft = target.with_name(f".draft-{secrets.token_hex(4)}")
        try:
            await registry.blob(digest, size if isinstance(size, int) else None, draft)
            await asyncio.to_thread(_sync, draft)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _of(reference: Reference, credentials: Sequence[Credentials]) -> Credentials | None:
    """The credentials of an image's registry."""
    for given in credentials:
        server = given.server.removeprefix("https://").removeprefix("http://").rstrip("/").partition("/")[0]
        if server.lower() == reference.domain.lower():
            return given
    return None


def _decoded(body: bytes, name: str) -> JsonObject:
    try:
        value: Json = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise ImageError(f"the manifest of image {name} is not JSON", denied=False) from problem
    return as_object(value)
