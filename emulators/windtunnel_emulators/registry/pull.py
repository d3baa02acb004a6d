"""Images of the emulated registries for the runtime that runs them: no HTTP in between, the credentials checked."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.registry.errors import RegistryError
from windtunnel_emulators.registry.manifests import INDEXES, OCI_ARTIFACT
from windtunnel_emulators.runtime.interface import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.registry.access import Access, Grants
    from windtunnel_emulators.registry.content import Content, Manifest
    from windtunnel_emulators.registry.registries import Registries, Registry
    from windtunnel_emulators.runtime.interface import Credentials

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_DEEPEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedManifest:
    """An image as its registry has it. The files belong to the registry: they are read, never changed."""

    digest: str
    """Of the image's own manifest, also when the reference named an index."""
    manifest: JsonObject
    config: JsonObject
    layers: tuple[Path, ...]
    """Lowest first."""


class RegistrySource:
    """The emulated registries as a source of images."""

    def __init__(self, registries: Registries, content: Content, access: Access) -> None:
        self._registries = registries
        self._content = content
        self._access = access

    def owns(self, reference: str) -> bool:
        """Whether the reference names a registry that is emulated here."""
        server, slash, _ = reference.partition("/")
        return bool(slash) and self._registries.at(server) is not None

    def local_name(self, reference: str) -> str:
        """The reference by its registry's login server, where other programs of this machine find it."""
        server, _, path = reference.partition("/")
        registry = self._registries.at(server)
        return reference if registry is None else f"{registry.login_server}/{path}"

    def fetch(self, reference: str, credentials: Sequence[Credentials] = ()) -> FetchedManifest:
        """The image. Raises ``ImageError``: ``denied`` when the credentials do not hold or there is no such image."""
        server, _, path = reference.partition("/")
        registry = self._registries.at(server)
        if registry is None:
            raise ImageError(f"no registry {server} is emulated here, so image {reference} cannot be had", denied=True)
        repository, wanted = _split(path)
        grants = self._grants(registry, credentials)
        if grants is None or not grants.allows("repository", repository, "pull"):
            raise ImageError(_refusal(registry, reference, credentials), denied=True)
        try:
            manifest = self._image(registry, repository, wanted, reference)
            return self._files(registry, repository, manifest, reference)
        except RegistryError as error:
            raise ImageError(f"image {reference} cannot be pulled: {error.message}", denied=True) from error

    def _grants(self, registry: Registry, credentials: Sequence[Credentials]) -> Grants | None:
        for given in credentials:
            named = self._registries.at(given.server.removeprefix("https://").rstrip("/"))
            if named is not None and named.key == registry.key:
                return self._access.by_password(registry, given.username, given.password)
        return self._access.anonymous(registry)

    def _image(self, registry: Registry, repository: str, wanted: str, reference: str) -> Manifest:
        for _ in range(_DEEPEST):
            manifest = self._content.manifest(registry.key, repository, wanted)
            if manifest is None:
                raise ImageError(
                    f"image {reference} is not in registry {registry.name}"
                    f" (repository {repository!r} has no {wanted!r})",
                    denied=True,
                )
            if manifest.media_type not in INDEXES:
                return manifest
            wanted = for_this_machine(as_object(msgspec.json.decode(manifest.body)), reference)
        raise ImageError(f"image {reference} is an index of indexes without an image", denied=False)

    def _files(self, registry: Registry, repository: str, manifest: Manifest, reference: str) -> FetchedManifest:
        if manifest.media_type == OCI_ARTIFACT:
            raise ImageError(f"{reference} is an artifact, not an image: it has nothing to run", denied=False)
        value = as_object(msgspec.json.decode(manifest.body))
        config = self._blob(registry, repository, as_object(value.get("config")), reference)
        try:
            settings = as_object(msgspec.json.decode(config.read_bytes()))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ImageError(f"the configuration of image {reference} is not JSON", denied=False) from error
        layers = [
            self._blob(registry, repository, as_object(layer), reference) for layer in as_list(value.get("layers"))
        ]
        return FetchedManifest(digest=manifest.digest, manifest=value, config=settings, layers=tuple(layers))

    def _blob(self, registry: Registry, repository: str, descriptor: JsonObject, reference: str) -> Path:
        digest = as_str(descriptor.get("digest"))
        path = self._content.blob_path(digest) if self._content.has(registry.key, repository, digest) else None
        if path is None or not path.is_file():
            raise ImageError(
                f"image {reference} has a part that its registry does not keep: {digest}"
                f" ({as_str(descriptor.get('mediaType'))})",
                denied=False,
            )
        return path


def _split(path: str) -> tuple[str, str]:
    """Repository, and tag or digest."""
    name, at, digest = path.partition("@")
    repository, colon, tag = name.rpartition(":")
    if not colon:
        repository, tag = name, "latest"
    return repository, digest if at else tag


def for_this_machine(index: JsonObject, reference: str) -> str:
    """The digest of the image for this machine: its own architecture, else amd64, else any for Linux."""
    offered: dict[str, str] = {}
    for entry in as_list(index.get("manifests")):
        descriptor = as_object(entry)
        wanted = as_object(descriptor.get("platform"))
        if as_str(wanted.get("os"), "linux") == "linux":
            offered.setdefault(as_str(wanted.get("architecture"), "any"), as_str(descriptor.get("digest")))
    own = _ARCHITECTURES.get(platform.machine().lower(), "")
    for architecture in (own, "amd64", "any", *offered):
        if architecture in offered:
            return offered[architecture]
    raise ImageError(f"image {reference} is an index that has nothing for Linux", denied=False)


def _refusal(registry: Registry, reference: str, credentials: Sequence[Credentials]) -> str:
    if not credentials:
        return (
            f"image {reference} needs credentials: registry {registry.name} allows no anonymous pull"
            " (give the admin user's, or enable anonymousPullEnabled)"
        )
    if not registry.admin_passwords:
        return (
            f"the credentials for image {reference} were refused: they are no token that holds now, and the admin user"
            f" of registry {registry.name} is disabled (adminUserEnabled)"
        )
    return f"the credentials for image {reference} were refused by registry {registry.name}"
