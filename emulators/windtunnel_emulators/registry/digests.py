"""Content digests: ``sha256:<64 hex digits>`` and ``sha512:<128 hex digits>``, checked at the edge."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.registry.errors import digest_invalid

if TYPE_CHECKING:
    from pathlib import Path

# OCI image specification 1.1, descriptor.md, "Digests": the two registered algorithms that registries must know.
_LENGTHS = {"sha256": 64, "sha512": 128}
_HEX = re.compile(r"[0-9a-f]+")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A blob: its digest and its size in bytes."""

    digest: str
    size: int


def check_algorithm(name: str) -> str:
    """The name if it is an algorithm that is served; raises ``RegistryError`` DIGEST_INVALID otherwise."""
    if name not in _LENGTHS:
        raise digest_invalid(name, f"the digest algorithm {name!r} is not supported; supported: {', '.join(_LENGTHS)}")
    return name


def check_digest(text: str) -> str:
    """The text if it is a digest; raises ``RegistryError`` DIGEST_INVALID otherwise."""
    algorithm, _, encoded = text.partition(":")
    check_algorithm(algorithm)
    if len(encoded) != _LENGTHS[algorithm] or not _HEX.fullmatch(encoded):
        raise digest_invalid(
            text, f"{text[:160]!r} is not a digest: {algorithm} has {_LENGTHS[algorithm]} lower-case hex digits"
        )
    return text


def algorithm_of(digest: str) -> str:
    """``sha256`` or ``sha512``."""
    return digest.partition(":")[0]


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """The digest of bytes."""
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def digest_of_file(path: Path, algorithm: str = "sha256") -> str:
    """The digest of a file, read in pieces; may take seconds, so call it off the event loop."""
    value = hashlib.new(algorithm)
    with path.open("rb") as source:
        while piece := source.read(_CHUNK):
            value.update(piece)
    return f"{algorithm}:{value.hexdigest()}"
