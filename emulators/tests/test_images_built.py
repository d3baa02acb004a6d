from __future__ import annotations

import io
import subprocess
import tarfile
from typing import TYPE_CHECKING

import msgspec
import pytest

from windtunnel_emulators.images import interpreter
from windtunnel_emulators.images.build import build
from windtunnel_emulators.images.built import BuiltImages
from windtunnel_emulators.images.environments import Environments
from windtunnel_emulators.jsontypes import JsonObject, as_list, as_object, as_str
from windtunnel_emulators.registry.content import Content
from windtunnel_emulators.registry.pull import FetchedManifest
from windtunnel_emulators.runtime.interface import ImageError
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from windtunnel_emulators.runtime.interface import Credentials

PYTHON = f"python:{interpreter.VERSION}-slim"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Registry:
    """A registry ``wt.example`` whose images a test may change before they are pulled."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self.changes: JsonObject = {}
        self.annotations: JsonObject | None = None

    def owns(self, reference: str) -> bool:
        return reference.startswith("wt.example/")

    def fetch(self, reference: str, credentials: Sequence[Credentials] = ()) -> FetchedManifest:
        repository, _, tag = reference.removeprefix("wt.example/").partition(":")
        manifest = self.content.manifest("registry", repository, tag)
        if manifest is None:
            raise ImageError(f"no image {reference} for {credentials}", denied=True)
        document = as_object(msgspec.json.decode(manifest.body))
        if self.annotations is not None:
            document["annotations"] = self.annotations
        config = self._file(as_object(document["config"])).read_bytes()
        return FetchedManifest(
            digest=manifest.digest,
            manifest=document,
            config=as_object(msgspec.json.decode(config)) | self.changes,
            layers=tuple(self._file(as_object(layer)) for layer in as_list(document["layers"])),
        )

    def _file(self, descriptor: JsonObject) -> Path:
        path = self.content.blob_path(as_str(descriptor["digest"]))
        assert path is not None
        return path


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.registry = Registry(Content(Store(None), folder / "registry"))
        self.environments = Environments(folder / "environments")
        self.images = BuiltImages(self.registry, folder / "images", self.environments)

    async def build(self, dockerfile: str, **files: str) -> None:
        with tarfile.open(self.folder / "context.tar", "w") as archive:
            for name, text in {"Dockerfile": dockerfile, **files}.items():
                info = tarfile.TarInfo(name.replace("__", "."))
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
        await build(
            context=self.folder / "context.tar",
            dockerfile="Dockerfile",
            images=["app:1"],
            arguments={},
            log=self.lines.append,
            content=self.registry.content,
            registry="registry",
            environments=self.environments,
            work=self.folder,
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def run_in(folder: Path | None, command: Sequence[str], environment: dict[str, str]) -> str:
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


async def test_an_image_is_ready_to_run_with_its_own_packages(place: Place) -> None:
    program = "import numpy, os, sys\nprint(numpy.ones(3).sum(), os.environ['NAME'])\n"
    dockerfile = (
        f"FROM {PYTHON}\nRUN pip install numpy\nWORKDIR /app\nCOPY app.py .\nENV NAME=digits\nEXPOSE 5001 9/udp\n"
        'LABEL a=b\nENTRYPOINT ["python", "app.py"]\nCMD ["--port"]\n'
    )
    await place.build(dockerfile, app__py=program)
    image = await place.images.fetch("wt.example/app:1", ())
    assert (image.entrypoint, image.command) == (("python", "app.py"), ("--port",))
    assert (image.working_directory, image.exposed_ports, image.labels) == ("/app", (5001,), {"a": "b"})
    assert image.digest.startswith("sha256:")
    assert image.root is not None
    assert image.packages is not None
    found = interpreter.find_program(image.packages, image.entrypoint[0])
    assert found is not None
    assert run_in(image.root / "app", [*found, "app.py"], {"NAME": image.environment["NAME"]}) == "3.0 digits\n"
    again = await place.images.fetch("wt.example/app:1", ())
    assert (again.root, again.packages) == (image.root, image.packages)
    place.images.clear()
    assert not image.root.exists()
    assert not image.packages.exists()


async def test_an_image_without_python_has_no_packages(place: Place) -> None:
    await place.build("FROM scratch\nCOPY hello /hello\n", hello="#!/bin/sh\n")
    image = await place.images.fetch("wt.example/app:1", ())
    assert (image.packages, image.working_directory) == (None, "/")
    assert image.root is not None
    assert (image.root / "hello").read_text() == "#!/bin/sh\n"


async def test_what_the_registry_refuses_stays_refused(place: Place) -> None:
    assert place.images.owns("wt.example/app:1")
    assert not place.images.owns("docker.io/app:1")
    with pytest.raises(ImageError, match=r"no image wt\.example/app:1") as error:
        await place.images.fetch("wt.example/app:1", ())
    assert error.value.denied


@pytest.mark.parametrize(
    ("changes", "annotations", "why"),
    [
        ({}, {}, "was not built by the emulated registry's tasks"),
        ({}, {"org.opencontainers.image.base.name": "docker.io/library/python:2.7"}, "promises Python 2.7"),
        ({}, {"org.opencontainers.image.base.name": "docker.io/library/node:22"}, "is not known here"),
        ({}, {"org.opencontainers.image.base.name": "NOT a name"}, "is not an image reference"),
        ({"architecture": "s390x"}, None, "it is for s390x, and this machine is"),
    ],
)
async def test_an_image_that_cannot_run_here_says_why(
    place: Place, changes: JsonObject, annotations: JsonObject | None, why: str
) -> None:
    await place.build(f"FROM {PYTHON}\n")
    place.registry.changes, place.registry.annotations = changes, annotations
    with pytest.raises(ImageError) as error:
        await place.images.fetch("wt.example/app:1", ())
    assert why in str(error.value)
    assert str(error.value).startswith("image wt.example/app:1 cannot run here: ")
    assert not error.value.denied
