"""The catalogue of stand-ins as a source of images for the process runtime."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_emulators.images.errors import ReferenceProblem
from windtunnel_emulators.images.interpreter import VERSION
from windtunnel_emulators.images.reference import Reference
from windtunnel_emulators.runtime.interface import Image, ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.runtime.interface import Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """One entry of the catalogue."""

    names: tuple[str, ...]
    tags: str
    sentence: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    working_directory: str
    ports: tuple[int, ...]
    files: Mapping[str, str]
    """Path in the image: file of ``programs``."""
    requirements: tuple[str, ...]
    """Python packages that its programs import, of this machine's."""

    def has(self, tag: str) -> bool:
        """Whether the real repository has such a tag, as far as is known."""
        return re.fullmatch(self.tags, tag) is not None


class StandIns:
    """Implements ``runtime.sources.ImageSource``; what the stand-ins execute is put below ``folder``."""

    def __init__(self, folder: Path, environments: Path | None = None) -> None:
        """``environments`` is where folders of Python packages are made; by default below ``folder``."""
        self._folder = folder
        self._environments = environments or folder / "environments"

    def owns(self, reference: str) -> bool:
        return _find(reference) is not None

    async def fetch(self, reference: str, credentials: tuple[Credentials, ...]) -> Image:
        """Credentials are not asked for: the real images are public."""
        found = _find(reference)
        if found is None:
            raise ImageError(f"there is no stand-in for image {reference!r}", denied=True)
        stand_in, parsed = found
        if parsed.digest is None and not stand_in.has(parsed.tag or ""):
            raise ImageError(
                f"image {reference!r} has a tag that the stand-in for {parsed.name} does not know: {parsed.tag!r}",
                denied=True,
            )
        contents = {path: _program(name) for path, name in stand_in.files.items()}
        key = _key(stand_in, contents)
        root = self._folder / key if contents else None
        if root is not None:
            await asyncio.to_thread(_write, root, contents)
        packages = await self._packages(stand_in, parsed) if stand_in.requirements else None
        return Image(
            reference=reference,
            digest=parsed.digest or f"sha256:{key}",
            command=stand_in.command,
            environment=stand_in.environment,
            working_directory=stand_in.working_directory,
            exposed_ports=stand_in.ports,
            root=root,
            packages=packages,
            stand_in=stand_in.sentence,
        )

    async def _packages(self, stand_in: StandIn, reference: Reference) -> Path:
        """Only what this machine has: a stand-in installs nothing. Raises ``ImageError``."""
        from windtunnel_emulators.images.distributions import NotHere, find_installed
        from windtunnel_emulators.images.environments import Environments
        from windtunnel_emulators.images.resolution import Request, resolve

        request = Request(requirements=stand_in.requirements)
        try:
            pins = await asyncio.to_thread(lambda: resolve(request, find_installed(sys.path)))
        except NotHere as problem:
            raise ImageError(
                f"what stands in for image {reference.name!r} needs {', '.join(stand_in.requirements)}, and {problem}:"
                " pip install 'windtunnel[iot]'",
                denied=False,
            ) from problem
        return await Environments(self._environments).get(pins)


@cache
def catalogue() -> tuple[StandIn, ...]:
    """All entries, in the order of the file."""
    text = resources.files(__package__ or "").joinpath("catalogue.toml").read_text("utf-8")
    entries = tomllib.loads(text.replace("{python}", VERSION))["stand_in"]
    return tuple(
        StandIn(
            names=tuple(entry["names"]),
            tags=entry["tags"],
            sentence=entry["sentence"],
            command=tuple(entry["command"]),
            environment=dict(entry.get("environment", {})),
            working_directory=entry.get("working_directory", "/"),
            ports=tuple(entry.get("ports", ())),
            files=dict(entry.get("files", {})),
            requirements=tuple(entry.get("requirements", ())),
        )
        for entry in entries
    )


def _find(reference: str) -> tuple[StandIn, Reference] | None:
    try:
        parsed = Reference.parse(reference).with_default_tag()
    except ReferenceProblem:
        return None
    for entry in catalogue():
        if parsed.name in entry.names:
            return entry, parsed
    return None


def _program(name: str) -> bytes:
    return resources.files(__package__ or "").joinpath("programs", name).read_bytes()


def _key(stand_in: StandIn, contents: Mapping[str, bytes]) -> str:
    """Of all that it is made of, so that a newer version of it is another image."""
    digest = hashlib.sha256(repr((stand_in.names[0], stand_in.command, stand_in.environment)).encode())
    for path, content in sorted(contents.items()):
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _write(root: Path, contents: Mapping[str, bytes]) -> None:
    """Whole or not at all, however many do it at once."""
    if root.is_dir():
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{root.name}.", dir=root.parent))  # containers pull at the same time
    draft.chmod(0o755)
    for path, content in contents.items():
        file = draft / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o755 if content.startswith(b"#!") else 0o644)
    try:
        draft.rename(root)
    except OSError:
        shutil.rmtree(draft)
        if not root.is_dir():
            raise
