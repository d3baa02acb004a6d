"""The same Dockerfiles on a real engine (its classic builder): equal files, owners, modes and settings, equal refusals.

A .dockerignore file is the docker command's business, not the engine's, so there is none here. ``.ci/docker-engine``
makes an engine where there is none.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import json
import os
import re
import tarfile
from typing import IO, TYPE_CHECKING, Protocol, cast

import pytest

from windtunnel_emulators.images.archive import Kind, Limits
from windtunnel_emulators.images.errors import BuildError
from windtunnel_emulators.images.unpack import read_layers
from windtunnel_emulators.jsontypes import JsonObject, as_object, as_str

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.images.conftest import Bench
    from windtunnel_emulators.images.tree import Tree

pytestmark = pytest.mark.docker

Facts = dict[str, object]
SETTINGS = (
    *("User", "Env", "Cmd", "Entrypoint", "WorkingDir", "ExposedPorts", "Labels", "Volumes", "StopSignal"),
    "Healthcheck",
)


class Docker(Protocol):
    """What is used of ``docker.APIClient``."""

    def ping(self) -> bool: ...
    def build(
        self, *, fileobj: IO[bytes], custom_context: bool, nocache: bool, rm: bool, forcerm: bool, decode: bool
    ) -> Iterator[JsonObject]: ...
    def inspect_image(self, image: str) -> JsonObject: ...
    def get_image(self, image: str) -> Iterator[bytes]: ...
    def remove_image(self, image: str, *, force: bool) -> None: ...
    def close(self) -> None: ...


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    package = importlib.import_module("docker")
    try:
        api = cast("Docker", package.APIClient(base_url=os.environ.get("DOCKER_HOST")))
    except package.errors.DockerException as error:
        why = f"no Docker engine answers: {error} (.ci/docker-engine makes one)"
        if os.environ.get("WINDTUNNEL_CI"):
            pytest.fail(why)
        pytest.skip(why)
    yield api
    api.close()


def make_context(dockerfile: str) -> bytes:
    files: dict[str, str | bytes | None] = {
        "Dockerfile": dockerfile,
        "a": "1",
        "b": "2",
        "run.sh": "3",
        "with blank": "4",
        "x.log": "5",
        "keep.log": "6",
        "empty": None,
        "d/c": "7",
        "d/e/f": "8",
        "d/x.log": "9",
    }
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        info = tarfile.TarInfo("in/side")
        info.size, info.uid, info.mode = 1, 77, 0o600
        archive.addfile(info, io.BytesIO(b"5"))
    files["pack.tar.gz"] = gzip.compress(inner.getvalue(), mtime=0)
    outer = io.BytesIO()
    with tarfile.open(fileobj=outer, mode="w") as archive:
        for name, given in files.items():
            data = given.encode() if isinstance(given, str) else given
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
            info.mode, info.uid = 0o755 if data is None or name.endswith(".sh") else 0o640, 500
            info.size = len(data or b"")
            archive.addfile(info, io.BytesIO(data or b""))
        for name, target in {"link": "d/c", "dlink": "d", "d/in": "e/f", "abs": "/etc/passwd"}.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return outer.getvalue()


def facts(tree: Tree, settings: JsonObject) -> Facts:
    found: Facts = {
        path: (
            node.kind.value,
            0 if node.kind is Kind.SYMLINK else node.mode,
            (node.uid, node.gid),
            node.content.read(1000) if node.content else node.target,
        )
        for path, node in tree.walk()
    }
    return found | {name: settings.get(name) for name in SETTINGS if settings.get(name)}


def by_docker(docker: Docker, dockerfile: str, folder: Path) -> Facts | str:
    """What the engine has built, or why it has not; it keeps nothing."""
    made: list[str] = []
    errors = importlib.import_module("docker").errors
    try:
        refusal = _run(docker, make_context(dockerfile), made)
        if refusal is not None:
            return refusal
        settings = as_object(docker.inspect_image(made[-1])["Config"])
        (folder / "saved").mkdir()
        with tarfile.open(fileobj=io.BytesIO(b"".join(docker.get_image(made[-1])))) as archive:
            archive.extractall(folder / "saved", filter="data")
    except errors.APIError as error:
        return str(error.explanation)
    finally:
        for image in reversed(made):
            # The steps of an image go with it; those of a build that failed are left.
            with contextlib.suppress(errors.ImageNotFound):
                docker.remove_image(image, force=True)
    layers = json.loads((folder / "saved/manifest.json").read_bytes())[0]["Layers"]
    return facts(read_layers([folder / "saved" / layer for layer in layers], folder, Limits()), settings)


def _run(docker: Docker, context: bytes, made: list[str]) -> str | None:
    """Build; ``made`` gets the image of each step. Returns what went wrong."""
    for event in docker.build(
        fileobj=io.BytesIO(context), custom_context=True, nocache=True, rm=True, forcerm=True, decode=True
    ):
        if "error" in event:
            return as_str(event["error"])
        made += re.findall(r"---> ([0-9a-f]{12})\n", as_str(event.get("stream")))
    return None


async def here(bench: Bench, dockerfile: str, folder: Path) -> Facts | str:
    try:
        await bench.build("", archive=make_context(dockerfile))
    except BuildError as error:
        return str(error)
    image = bench.image()
    return facts(read_layers(image.layers, folder, Limits()), cast("JsonObject", image.config))


ALIKE = [
    "COPY a /x\nCOPY a /y/\nCOPY a z\nCOPY a b /w/\nCOPY run.sh .\nCOPY a ./",
    "COPY d /x\nCOPY d/ /y/\nCOPY d/. /z\nCOPY empty /e\nCOPY empty /f/",
    "COPY d/* /x/\nCOPY [ab] /y/\nCOPY *.sh /z\nCOPY *.log /l/\nCOPY x* /k/",
    "COPY link /x\nCOPY dlink /y\nCOPY dlink/c /z\nCOPY dlink/ /w/\nCOPY d/in /v\nCOPY link dlink /u/",
    "COPY d /x\nCOPY a /x\nCOPY a /y\nCOPY b /y\nCOPY a /x/../q",
    "WORKDIR /w/v\nCOPY a .\nCOPY a ..\nWORKDIR u\nCOPY a b ./\nCOPY a s/.\nCOPY a r/",
    'COPY ["with blank", "/x y"]\nCOPY "a" /x\nCOPY \'a\' /y',
    "COPY --chown=5:6 a /x\nCOPY --chown=5 d /y\nCOPY --chown=$NO a /z",
    "ADD a /x\nADD pack.tar.gz /y\nADD pack.tar.gz a /z/\nADD d /w\nCOPY pack.tar.gz /v",
    "COPY a /a\nENV A=1 B=$A\nENV C=$A D=${A:-z}${Q:-z}${A:+s}${Q:+s}\nENV E b  c \nENV F='b c' G=\"d $A\" H=e\\ f",
    "COPY a /a\nENV A=\"x\\ny\" B=x\\\ny C=\"$A'q'\" D='$A' E=\\$A\nenv x=1 \\\n# a comment\n\n y=2",
    'COPY a /a\nLABEL a=b "c d"=\'e f\' g="h\\"i"\nLABEL j k l\nLABEL a=c $NO=x',
    "ARG X=1\nARG Y\nENV A=$X B=$Y\nENV X=2\nENV C=$X\nCOPY a /$X/b",
    'COPY a /a\nEXPOSE 80 81/udp 90-92 70/TCP\nVOLUME /v /w\nVOLUME ["/x y"]\nUSER a:b\nSTOPSIGNAL SIGINT',
    "COPY a /a\nCMD a $B\nHEALTHCHECK --interval=1m30s --timeout=5s --retries=3 CMD a b\nMAINTAINER me",
    'COPY a /a\nENTRYPOINT ["y", "z"]\nCMD ["x",]\nHEALTHCHECK CMD ["a"]\nWORKDIR /a b',
    'COPY a /a\nCMD x\nENTRYPOINT ["y"]\nHEALTHCHECK NONE\nWORKDIR ${X:-/d}',
    'COPY a /a\nCMD  [ "a" , "b" ] \nENTRYPOINT [a]',
    "COPY a /a\nFROM scratch AS two\nCOPY --from=0 /a /b\nFROM two\nCOPY --from=two /b /c",
]
REFUSED = [
    *("COPY a b /x", "COPY missing /x", "COPY ../a /x", "COPY * /x/", "COPY abs /x", "COPY a"),
    *("COPY a /x\nCOPY a /x/y", "COPY a /x/\nCOPY d /x/a", "COPY --chown=bob a /x", "COPY --from=0 /a /b"),
    *("COPY with\\ blank /x", "COPY --nonsense=1 a /x", "COPY []", 'CMD ["a", 1]', "WORKDIR", "WORKDIR $NO"),
    *("ENV a", "ENV a=1 b", "ENV =1", 'ENV a="1', "ENV a=${", "ENV a=${b", "ENV a=${b:=1}", "LABEL a", "ARG", "ARG =1"),
    *("EXPOSE x", "EXPOSE 70000", "STOPSIGNAL foo", "USER", "VOLUME []", "VOLUME $NO", "COPY a /a\nVOLUME /a", "FOO x"),
    *(
        "HEALTHCHECK",
        "HEALTHCHECK NONE x",
        "HEALTHCHECK CMD",
        "HEALTHCHECK --interval=5 CMD a",
        "ONBUILD",
        "FROM a b c",
    ),
]


@pytest.mark.parametrize("dockerfile", ALIKE, ids=range(len(ALIKE)))
async def test_an_image_is_what_docker_makes_of_the_same_dockerfile(
    docker: Docker, bench: Bench, tmp_path: Path, dockerfile: str
) -> None:
    expected = by_docker(docker, f"FROM scratch\n{dockerfile}\n", tmp_path)
    assert isinstance(expected, dict), expected
    assert await here(bench, f"FROM scratch\n{dockerfile}\n", tmp_path) == expected


@pytest.mark.parametrize("dockerfile", REFUSED)
async def test_what_docker_refuses_is_refused(docker: Docker, bench: Bench, tmp_path: Path, dockerfile: str) -> None:
    refusal = by_docker(docker, f"FROM scratch\n{dockerfile}\n", tmp_path)
    assert isinstance(refusal, str)
    assert isinstance(await here(bench, f"FROM scratch\n{dockerfile}\n", tmp_path), str)
