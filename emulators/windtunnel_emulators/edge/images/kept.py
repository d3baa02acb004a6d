"""The images that a device has: manifests and blobs by digest, and which digest each reference had last."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.files import private_folder, read_secret, write_secret
from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.registry.pull import FetchedManifest

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_emulators.jsontypes import Json

_log = logging.getLogger(__name__)


class KeptImages:
    """Below one folder: ``blobs/`` and ``references.json``."""

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)
        self._blobs = private_folder(folder / "blobs")
        self._references: dict[str, str] = {}
        content = read_secret(folder / "references.json")
        if content is not None:
            try:
                self._references = msgspec.json.decode(content, type=dict[str, str])
            except (msgspec.DecodeError, UnicodeDecodeError) as problem:
                _log.error("references.json is damaged (%s); images are pulled again", problem)

    def digest(self, reference: str) -> str | None:
        """Of the image's own manifest; None for a reference that was never pulled."""
        return self._references.get(reference)

    def blob(self, digest: str) -> Path:
        """Where a blob or a manifest is, or belongs. A file there is whole."""
        return self._blobs / digest.replace(":", "-")

    def put_manifest(self, digest: str, body: bytes) -> None:
        write_secret(self.blob(digest), body)

    def refer(self, reference: str, digest: str) -> None:
        """From now on the reference means this image."""
        if self._references.get(reference) != digest:
            self._references[reference] = digest
            write_secret(self._folder / "references.json", msgspec.json.encode(self._references))

    def image(self, digest: str) -> FetchedManifest | None:
        """The image of that digest, if all of it is here."""
        try:
            value: Json = msgspec.json.decode(self.blob(digest).read_bytes())
            manifest = as_object(value)
            config: Json = msgspec.json.decode(self._part(manifest.get("config")).read_bytes())
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        layers = tuple(self._part(layer) for layer in as_list(manifest.get("layers")))
        if not all(layer.is_file() for layer in layers):
            return None
        return FetchedManifest(digest=digest, manifest=manifest, config=as_object(config), layers=layers)

    def _part(self, descriptor: Json) -> Path:
        return self.blob(as_str(as_object(descriptor).get("digest")))
