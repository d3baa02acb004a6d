"""What a manifest says: its kind, what it needs, what it is about. Parsed once, when it is pushed.

OCI image specification 1.1 (image manifest, image index), the withdrawn OCI artifact manifest, which Azure still
takes, and Docker's image manifest version 2, schema 2. Docker's schema 1 is refused, as Azure refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.registry.digests import check_digest
from windtunnel_emulators.registry.errors import RegistryError, manifest_invalid, size_invalid

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

MEDIA_TYPES = (OCI_IMAGE, OCI_INDEX, OCI_ARTIFACT, DOCKER_IMAGE, DOCKER_LIST)
INDEXES = (OCI_INDEX, DOCKER_LIST)

# The distribution specification asks registries for at least 4 MiB; Azure takes no more.
LARGEST = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a manifest says, as far as a registry must know."""

    media_type: str
    config: str | None
    """The digest of the image's configuration."""
    config_media_type: str | None
    blobs: tuple[str, ...]
    """Digests of the blobs that must be in the repository: configuration and layers, without foreign ones."""
    manifests: tuple[str, ...]
    """Digests of the manifests that must be in the repository."""
    subject: str | None
    artifact_type: str
    """As the referrers API reports it; empty when there is none."""
    annotations: JsonObject
    size: int
    """Bytes of the configuration and all layers, as their descriptors say."""


def parse_manifest(body: bytes, content_type: str) -> Contents:
    """Raises ``RegistryError``: SIZE_INVALID, or MANIFEST_INVALID with what is wrong and where."""
    if len(body) > LARGEST:
        raise too_large()
    try:
        value: Json = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise manifest_invalid(f"the manifest is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise manifest_invalid("the manifest is not a JSON object")
    media_type = _media_type(value, content_type)
    if value.get("schemaVersion", None if media_type != OCI_ARTIFACT else 2) != 2:
        raise manifest_invalid(f"schemaVersion is {value.get('schemaVersion')!r}; only 2 is supported")
    subject = value.get("subject")
    config: str | None = None
    config_type: str | None = None
    blobs: list[str] = []
    children: list[str] = []
    size = 0
    if media_type in INDEXES:
        for position, entry in enumerate(_entries(value, "manifests")):
            children.append(_digest(entry, f"manifests[{position}]"))
    elif media_type == OCI_ARTIFACT:
        blobs, size = _layers(value, "blobs") if "blobs" in value else ([], 0)
    else:
        config = _digest(value.get("config"), "config")
        config_type = as_str(as_object(value.get("config")).get("mediaType")) or None
        layers, size = _layers(value, "layers")
        blobs = [config, *layers]
        size += _size(as_object(value.get("config")), "config")
    return Contents(
        media_type=media_type,
        config=config,
        config_media_type=config_type,
        blobs=tuple(dict.fromkeys(blobs)),
        manifests=tuple(dict.fromkeys(children)),
        subject=None if subject is None else _digest(subject, "subject"),
        # Distribution specification, "Listing Referrers": the configuration's type stands in for a missing one.
        artifact_type=as_str(value.get("artifactType")) or (config_type or ""),
        annotations=as_object(value.get("annotations")),
        size=size,
    )


def too_large() -> RegistryError:
    """413, for a manifest over the limit."""
    return size_invalid(f"the manifest is larger than {LARGEST} bytes (4 MiB), the most that a registry takes")


def _media_type(value: JsonObject, content_type: str) -> str:
    sent = content_type.partition(";")[0].strip().lower()
    said = as_str(value.get("mediaType"))
    if sent and said and sent != said and sent in MEDIA_TYPES:
        raise manifest_invalid(f"Content-Type is {sent}, but the manifest's mediaType is {said}")
    media_type = sent if sent in MEDIA_TYPES else said
    if media_type not in MEDIA_TYPES:
        if value.get("schemaVersion") == 1:
            raise manifest_invalid("manifests of Docker's schema version 1 are not supported")
        raise manifest_invalid(
            f"manifest type {media_type or sent or '(none)'!r} is not supported; supported: {', '.join(MEDIA_TYPES)}"
        )
    return media_type


def _entries(value: JsonObject, name: str) -> list[Json]:
    entries = value.get(name)
    if not isinstance(entries, list):
        raise manifest_invalid(f"{name} is not a list")
    return entries


def _layers(value: JsonObject, name: str) -> tuple[list[str], int]:
    found: list[str] = []
    size = 0
    for position, entry in enumerate(_entries(value, name)):
        digest = _digest(entry, f"{name}[{position}]")
        layer = as_object(entry)
        size += _size(layer, f"{name}[{position}]")
        if not _is_foreign(layer):
            found.append(digest)
    return found, size


def _is_foreign(layer: JsonObject) -> bool:
    """Whether a layer is kept elsewhere: such a one is never pushed (image specification, "Non-Distributable")."""
    media_type = as_str(layer.get("mediaType"))
    return "nondistributable" in media_type or ".foreign." in media_type or bool(as_list(layer.get("urls")))


def _digest(value: Json, where: str) -> str:
    if not isinstance(value, dict):
        raise manifest_invalid(f"{where} is not a descriptor")
    digest = value.get("digest")
    if not isinstance(digest, str):
        raise manifest_invalid(f"{where} has no digest")
    try:
        return check_digest(digest)
    except RegistryError as error:
        raise manifest_invalid(f"{where}: {error.message}") from error


def _size(value: JsonObject, where: str) -> int:
    size = value.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise manifest_invalid(f"{where}.size is not a number of bytes")
    return size
