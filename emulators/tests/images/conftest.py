"""A bench on which images are built, and looked at as they come out of the registry."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tarfile
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.images import interpreter
from windtunnel_emulators.images.archive import Limits
from windtunnel_emulators.images.build import BuildResult, build
from windtunnel_emulators.images.environments import Environments
from windtunnel_emulators.images.errors import BuildError
from windtunnel_emulators.images.unpack import materialise
from windtunnel_emulators.images.wheels import inspect, unpack
from windtunnel_emulators.registry.content import Content
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from pathlib import Path

REGISTRY = "/subscriptions/s/resourcegroups/g/providers/microsoft.containerregistry/registries/wt"
SERVER = "localhost:5001"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def tar(files: dict[str, bytes | str | None], *, mtime: int = 0, links: dict[str, str] | None = None) -> bytes:
    """An archive; None is a directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            content = data.encode() if isinstance(data, str) else data
            info = tarfile.TarInfo(name)
            info.mtime, info.mode = mtime, 0o755 if name.endswith(".sh") or data is None else 0o644
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.size = len(content or b"")
            archive.addfile(info, io.BytesIO(content or b""))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return buffer.getvalue()


def make_wheel(name: str, version: str, requires: str = "") -> bytes:
    information = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},\n"
        for path, text in files.items()
    ]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in (files | {f"{information}/RECORD": "".join(rows) + f"{information}/RECORD,,\n"}).items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return buffer.getvalue()


@dataclass
class Bench:
    """A registry's content, a machine with one package (needle 1.5), and what builds say."""

    folder: Path
    content: Content
    lines: list[str] = field(default_factory=list[str])
    registry = REGISTRY
    server = SERVER
    tar = staticmethod(tar)
    make_wheel = staticmethod(make_wheel)

    @property
    def environments(self) -> Environments:
        path = [str(interpreter.site_packages(self.folder / "machine"))]
        return Environments(
            self.folder / "environments", path=path, environment={"PATH": "/nowhere", "PIP_NO_INDEX": "1"}
        )

    @property
    def work(self) -> Path:
        return self.folder / "work"

    async def build(
        self,
        dockerfile: str,
        files: dict[str, bytes | str | None] | None = None,
        *,
        images: tuple[str, ...] = ("app:1",),
        arguments: dict[str, str] | None = None,
        archive: bytes | None = None,
        target: str | None = None,
        limits: Limits | None = None,
        path: str = "Dockerfile",
    ) -> BuildResult:
        context = self.folder / "context.tar"
        context.write_bytes(tar({path: dockerfile, **(files or {})}) if archive is None else archive)
        try:
            return await build(
                context=context,
                dockerfile=path,
                images=images,
                arguments=arguments or {},
                log=self.lines.append,
                content=self.content,
                registry=REGISTRY,
                environments=self.environments,
                work=self.work,
                servers=(SERVER, "wt.azurecr.io"),
                target=target,
                limits=limits or Limits(),
            )
        finally:
            assert os.listdir(self.work) == []

    def image(self, tag: str = "1", repository: str = "app") -> Image:
        manifest = self.content.manifest(REGISTRY, repository, tag)
        assert manifest is not None
        document = json.loads(manifest.body)
        config = self.content.blob_path(document["config"]["digest"])
        layers = [self.content.blob_path(layer["digest"]) for layer in document["layers"]]
        assert config is not None
        files = [path for path in layers if path is not None]
        assert len(files) == len(layers)
        root = materialise(manifest.digest, files, self.folder / "images")
        return Image(document, json.loads(config.read_bytes()), files, root)

    async def fails(self, dockerfile: str, files: dict[str, bytes | str | None] | None = None, **more: object) -> str:
        before = self.content.resolve(REGISTRY, "app", "1")
        with pytest.raises(BuildError) as error:
            await self.build(dockerfile, files, **more)  # type: ignore[arg-type]  # the options of a build
        assert self.lines[-1] == str(error.value)
        assert self.content.resolve(REGISTRY, "app", "1") == before
        return str(error.value)


@dataclass
class Image:
    manifest: dict[str, object]
    document: dict[str, object]
    layers: list[Path]
    root: Path

    @property
    def config(self) -> dict[str, object]:
        found = self.document["config"]
        assert isinstance(found, dict)
        return found  # pyright: ignore[reportUnknownVariableType]  # JSON

    def tree(self) -> dict[str, str]:
        """Files with their text, links with their target; without what belongs to packages."""
        return {
            str(path.relative_to(self.root)): f"-> {path.readlink()}" if path.is_symlink() else text_of(path)
            for path in sorted(self.root.rglob("*"))
            if (path.is_symlink() or path.is_file()) and ".windtunnel" not in path.parts
        }


def text_of(path: Path) -> str:
    return path.read_bytes().decode("latin-1")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    interpreter.prepare(tmp_path / "machine")
    wheel = tmp_path / "needle-1.5-py3-none-any.whl"
    wheel.write_bytes(make_wheel("needle", "1.5"))
    unpack(wheel, inspect(wheel).sha256, tmp_path / "machine", tmp_path / "machine")
    (tmp_path / "work").mkdir()
    return Bench(tmp_path, Content(Store(None), tmp_path / "registry"))
