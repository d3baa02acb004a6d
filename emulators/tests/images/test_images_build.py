from __future__ import annotations

import asyncio
import base64
import gzip
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
from windtunnel_emulators.images.oci import read_config
from windtunnel_emulators.images.unpack import materialise
from windtunnel_emulators.images.wheels import inspect, unpack
from windtunnel_emulators.registry.content import Content
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from pathlib import Path

REGISTRY = "/subscriptions/s/resourcegroups/g/providers/microsoft.containerregistry/registries/wt"
SERVER = "localhost:5001"
PYTHON = f"python:{interpreter.VERSION}-slim"


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
    """A registry's content, a machine with one package, and what builds say."""

    folder: Path
    content: Content
    lines: list[str] = field(default_factory=list[str])

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


async def test_a_model_server_is_built_and_its_log_reads_like_dockers(bench: Bench) -> None:
    dockerfile = f"""\
ARG TAG={interpreter.VERSION}-slim
FROM python:$TAG
WORKDIR /app
COPY requirements.txt dial-1.0-py3-none-any.whl ./
RUN pip install --no-cache-dir \\
    -r requirements.txt
COPY model.onnx model/
ENV MODEL_DIR=/app/model WORKERS=1
EXPOSE 5001
LABEL purpose="a test"
USER 1000
CMD ["python", "-m", "windtunnel_scoring"]
"""
    files: dict[str, bytes | str | None] = {
        "requirements.txt": "needle>=1\n./dial-1.0-py3-none-any.whl\n",
        "dial-1.0-py3-none-any.whl": make_wheel("dial", "1.0", "Requires-Dist: needle<2\n"),
        "model.onnx": "weights",
    }
    result = await bench.build(dockerfile, files, images=("app:1", "app:latest", "other/app:1"))
    image = bench.image()
    assert image.tree()["app/model/model.onnx"] == "weights"
    config = read_config(image.document)  # type: ignore[arg-type]  # JSON
    assert config.environment["MODEL_DIR"] == "/app/model"
    assert config.environment["PATH"].startswith("/usr/local/bin:")
    assert (config.working_directory, config.user, config.ports) == ("/app", "1000", frozenset({"5001/tcp"}))
    assert (config.command, config.entrypoint) == (("python", "-m", "windtunnel_scoring"), ())
    assert config.labels == {"purpose": "a test"}
    packages = await bench.environments.of_image(image.root)
    names = sorted(path.name for path in interpreter.site_packages(packages).glob("*.py"))
    assert names == ["dial.py", "needle.py"]
    assert image.manifest["annotations"] == {"org.opencontainers.image.base.name": f"docker.io/library/{PYTHON}"}
    for tag, repository in (("latest", "app"), ("1", "other/app")):
        assert bench.content.resolve(REGISTRY, repository, tag) == result.digest
    assert result.base == PYTHON
    steps = [line for line in bench.lines if line.startswith("Step ")]
    assert steps[0] == f"Step 1/11 : ARG TAG={interpreter.VERSION}-slim"
    assert steps[4] == "Step 5/11 : RUN pip install --no-cache-dir     -r requirements.txt"
    assert "Successfully installed dial-1.0 needle-1.5" in bench.lines
    assert f"Successfully built {result.config_digest[7:19]}" in bench.lines
    assert f"Successfully tagged {SERVER}/app:latest" in bench.lines


async def test_the_documents_are_what_the_oci_specification_says(bench: Bench) -> None:
    result = await bench.build(f"FROM {PYTHON}\nCOPY a /a\nENV X=1\nCOPY a /b\n", {"a": "1"})
    image = bench.image()
    assert image.manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    rootfs = image.document["rootfs"]
    history = image.document["history"]
    assert isinstance(rootfs, dict)
    assert isinstance(history, list)
    diff_ids = ["sha256:" + hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest() for path in image.layers]
    assert rootfs == {"type": "layers", "diff_ids": diff_ids}
    layers = image.manifest["layers"]
    assert layers == [
        {
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest(),
            "size": path.stat().st_size,
        }
        for path in image.layers
    ]
    assert history == [
        {"created": "1970-01-01T00:00:00Z", "created_by": "COPY a /a"},
        {"created": "1970-01-01T00:00:00Z", "created_by": "ENV X=1", "empty_layer": True},
        {"created": "1970-01-01T00:00:00Z", "created_by": "COPY a /b"},
    ]
    assert image.manifest["config"] == {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": result.config_digest,
        "size": len(json.dumps(image.document, separators=(",", ":"))),
    }


async def test_the_same_input_gives_the_same_digest(bench: Bench) -> None:
    dockerfile = f"FROM {PYTHON}\nCOPY . /app\nRUN pip install needle && mkdir -p /data\n"
    files: dict[str, bytes | str | None] = {"b": "2", "a": "1", "d/e": "3"}
    first = await bench.build(dockerfile, files)
    context = {"d/e": "3", "Dockerfile": dockerfile, "a": "1", "b": "2"}
    second = await bench.build(dockerfile, archive=gzip.compress(tar(dict(context), mtime=1_700_000_000)))
    third = await bench.build(dockerfile, files, arguments={"SOURCE_DATE_EPOCH": "1700000000"})
    assert first.digest == second.digest
    assert first.digest != third.digest
    assert bench.image().document["created"] == "2023-11-14T22:13:20Z"
    assert await bench.build(dockerfile, files, arguments={"SOURCE_DATE_EPOCH": "1700000000"}) == third
    assert (await bench.build(dockerfile, files | {"a": "changed"})).digest != first.digest


COPIES: list[tuple[str, dict[str, str]]] = [
    ("COPY a /x", {"x": "1"}),
    ("COPY a /x/", {"x/a": "1"}),
    ("COPY a x", {"x": "1"}),
    ("COPY a b /x/", {"x/a": "1", "x/b": "2"}),
    ("COPY d /x", {"x/c": "3", "x/e/f": "4", "x/link": "-> c"}),
    ("COPY d/ /x/", {"x/c": "3", "x/e/f": "4", "x/link": "-> c"}),
    ("COPY d/link /x", {"x": "3"}),
    ("COPY d/e /x", {"x/f": "4"}),
    ("COPY * /x/", {"x/Dockerfile": "…", "x/a": "1", "x/b": "2", "x/c": "3", "x/e/f": "4", "x/link": "-> c"}),
    ("COPY [ab] /x/", {"x/a": "1", "x/b": "2"}),
    ("COPY d/* /x/", {"x/c": "3", "x/f": "4", "x/link": "3"}),
    ('COPY ["a", "/with blank"]', {"with blank": "1"}),
    ("WORKDIR /w/v\nCOPY a .", {"w/v/a": "1"}),
    ("WORKDIR /w/v\nCOPY a ..", {"w/a": "1"}),
    ("WORKDIR /w\nWORKDIR v\nCOPY a b ./", {"w/v/a": "1", "w/v/b": "2"}),
    ("COPY d /x\nCOPY a /x", {"x/a": "1", "x/c": "3", "x/e/f": "4", "x/link": "-> c"}),
    ("COPY a /x\nCOPY b /x", {"x": "2"}),
    ("COPY a /tmp", {"tmp/a": "1"}),
    ("COPY a /bin/tool", {"usr/bin/tool": "1"}),
    ("COPY d /x\nRUN rm -r /x/e && rm -f /x/c /x/no", {"x/link": "-> c"}),
    ("COPY d /x\nRUN rm -rf /x/*", {}),
    ("COPY d /x\nRUN rm -rf /x && mkdir /x\nCOPY a /x", {"x/a": "1"}),
    ("ARG D=/y\nENV E=$D/z\nCOPY a $E/${N:-b}", {"y/z/b": "1"}),
    ("ADD a /x", {"x": "1"}),
    ("ADD pack.tar.gz /x", {"x/in/side": "5"}),
    ("ADD pack.tar.gz a /x/", {"x/in/side": "5", "x/a": "1"}),
    ("COPY pack.tar.gz /x/", {"x/pack.tar.gz": "…"}),
]


@pytest.mark.parametrize(("dockerfile", "expected"), COPIES)
async def test_copies_land_where_docker_puts_them(bench: Bench, dockerfile: str, expected: dict[str, str]) -> None:
    files: dict[str, bytes | str | None] = {"a": "1", "b": "2", "d/c": "3", "d/e/f": "4"}
    if "pack" in dockerfile:
        files["pack.tar.gz"] = gzip.compress(tar({"in/side": "5"}), mtime=0)
    archive = tar({"Dockerfile": f"FROM {PYTHON}\n{dockerfile}\n", **files}, links={"d/link": "c"})
    await bench.build("", archive=archive)
    root = bench.image().root
    found = {
        str(path.relative_to(root)): f"-> {path.readlink()}"
        if path.is_symlink()
        else path.read_bytes().decode("latin-1")
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    }
    assert {name: expected[name] if expected.get(name) == "…" else text for name, text in found.items()} == expected


async def test_dockerignore_decides_what_can_be_copied(bench: Bench) -> None:
    files: dict[str, bytes | str | None] = {
        ".dockerignore": "*\n!app\napp/**/*.pyc\n",
        "secret": "1",
        "app/a.py": "2",
        "app/b/c.pyc": "3",
        "app/b/d.py": "4",
    }
    await bench.build(f"FROM {PYTHON}\nCOPY . /x\n", files)
    assert bench.image().tree() == {"x/app/a.py": "2", "x/app/b/d.py": "4"}
    with pytest.raises(
        BuildError, match=r"'secret' is not in the build context \(or its \.dockerignore leaves it out\)"
    ):
        await bench.build(f"FROM {PYTHON}\nCOPY secret /x\n", files)
    await bench.build(f"FROM {PYTHON}\nCOPY . /x\n", files | {"Dockerfile.dockerignore": "app\nDocker*\n.d*"})
    assert bench.image().tree() == {"x/secret": "1"}


async def test_owners_and_modes(bench: Bench) -> None:
    files: dict[str, bytes | str | None] = {"a": "1", "run.sh": "2", "passwd": "ann:x:1234:1235::/:/bin/sh\n"}
    dockerfile = f"""\
FROM {PYTHON}
COPY passwd /etc/passwd
COPY --chown=ann:7 --chmod=750 a /one
COPY --chown=10 a /two
COPY run.sh /three
RUN chmod u=rw,go= /two && chmod +x /two && chmod -R a-w /one && mkdir -m 700 /four
"""
    await bench.build(dockerfile, files)
    members: dict[str, tarfile.TarInfo] = {}
    for path in bench.image().layers:
        with tarfile.open(path) as archive:
            members |= {member.name: member for member in archive.getmembers()}
    assert {n: (m.uid, m.gid, oct(m.mode)) for n, m in members.items() if n in ("one", "two", "three", "four")} == {
        "one": (1234, 7, "0o550"),
        "two": (10, 10, "0o711"),
        "three": (0, 0, "0o755"),
        "four": (0, 0, "0o700"),
    }
    assert await bench.fails(f"FROM {PYTHON}\nCOPY --chown=bob a /x", {"a": ""}, images=()) == (
        "Dockerfile line 2 (COPY --chown=bob a /x): the image has no user 'bob'; use a number"
    )


async def test_stages_are_built_on_one_another(bench: Bench) -> None:
    dockerfile = f"""\
FROM {PYTHON} AS first
ARG WHO=nobody
ENV FROM_FIRST=$WHO
RUN pip install needle
COPY a /a
FROM first AS second
COPY b /b
FROM scratch AS third
COPY --from=second /a /b /copied/
COPY --from=0 /a /again
FROM second
COPY --from=third /copied /c
"""
    await bench.build(dockerfile, {"a": "1", "b": "2"}, arguments={"WHO": "me", "UNUSED": "x"})
    image = bench.image()
    assert image.tree() == {"a": "1", "b": "2", "c/a": "1", "c/b": "2"}
    assert "[Warning] One or more build-args ['UNUSED'] were not consumed" in bench.lines
    assert read_config(image.document).environment["FROM_FIRST"] == "me"  # type: ignore[arg-type]  # JSON
    assert (interpreter.site_packages(await bench.environments.of_image(image.root)) / "needle.py").exists()
    await bench.build(dockerfile, {"a": "1", "b": "2"}, target="third", images=("app:2",))
    image = bench.image("2")
    assert image.tree() == {"again": "1", "copied/a": "1", "copied/b": "2"}
    assert image.manifest["annotations"] == {"org.opencontainers.image.base.name": "scratch"}


async def test_a_build_can_start_from_an_image_of_its_registry(bench: Bench) -> None:
    parent = (
        f"FROM {PYTHON}\nWORKDIR /app\nCOPY dial-1.0-py3-none-any.whl a ./\nRUN pip install ./*.whl needle\nENV P=1\n"
    )
    files: dict[str, bytes | str | None] = {"dial-1.0-py3-none-any.whl": make_wheel("dial", "1.0"), "a": "1"}
    await bench.build(parent, files, images=("team/parent:v1",))
    child = f"FROM {SERVER}/team/parent:v1\nRUN rm *.whl && pip install dial\nCOPY b .\nCMD python -V\n"
    await bench.build(child, {"b": "2"})
    image = bench.image()
    assert image.tree() == {"app/a": "1", "app/b": "2"}
    config = read_config(image.document)  # type: ignore[arg-type]  # JSON
    assert (config.environment["P"], config.command) == ("1", ("/bin/sh", "-c", "python -V"))
    packages = interpreter.site_packages(await bench.environments.of_image(image.root))
    assert sorted(path.name for path in packages.glob("*.py")) == ["dial.py", "needle.py"]
    assert str(image.document["history"]).count("created_by") == 7
    with pytest.raises(BuildError, match=r"the base image wt\.azurecr\.io/team/parent:v2 is not in this registry"):
        await bench.build("FROM wt.azurecr.io/team/parent:v2")


async def test_an_entry_point_drops_the_command_of_the_base_alone(bench: Bench) -> None:
    await bench.build(f'FROM {PYTHON}\nENTRYPOINT ["a"]')
    assert "Cmd" not in bench.image().config
    await bench.build(f'FROM {PYTHON}\nCMD ["b"]\nENTRYPOINT a $X')
    assert bench.image().config["Cmd"] == ["b"]
    assert bench.image().config["Entrypoint"] == ["/bin/sh", "-c", "a $X"]


async def test_the_rest_of_the_configuration(bench: Bench) -> None:
    await bench.build(
        f"FROM {PYTHON}\nEXPOSE 80 81-83/udp $PORT\nARG PORT=99\nEXPOSE $PORT/TCP\nVOLUME /v\nSTOPSIGNAL SIGINT\n"
        "HEALTHCHECK --interval=1m1.5s --retries=2 CMD check\nMAINTAINER Ann\nLABEL a=1 a=2 b='x y'\nENV E=1 F=$E\n"
        "ENV E=2 G=$E\n"
    )
    config = bench.image().config
    assert config["ExposedPorts"] == {"80/tcp": {}, "81/udp": {}, "82/udp": {}, "83/udp": {}, "99/tcp": {}}
    assert config["Volumes"] == {"/v": {}}
    assert config["StopSignal"] == "SIGINT"
    assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "check"], "Interval": 61_500_000_000, "Retries": 2}
    assert config["Labels"] == {"a": "2", "b": "x y"}
    assert bench.image().document["author"] == "Ann"
    environment = read_config(bench.image().document).environment  # type: ignore[arg-type]  # JSON
    assert {name: environment[name] for name in "EFG"} == {"E": "2", "F": "", "G": "1"}


DOCKER = "start the emulators with --runtime docker"
REFUSALS: list[tuple[str, str]] = [
    (
        "FROM ubuntu:24.04",
        f"Dockerfile line 1 (FROM ubuntu:24.04): the base image ubuntu:24.04 is not known here|{DOCKER}",
    ),
    ("FROM python:2.7-slim", f"promises Python 2.7, and the emulators run on Python {interpreter.VERSION}|{DOCKER}"),
    ("FROM python:latest", "does not say which Python it has"),
    ("FROM python", "does not say which Python it has"),
    (f"FROM python:{interpreter.VERSION}-alpine", "is of the variant 'alpine'; known are"),
    ("FROM $NOTHING", "is not an image reference"),
    ("FROM Bad/Name", "must be lower case"),
    ("FROM --platform=linux/s390x scratch", "asks for another platform"),
    ("FROM {base}\nRUN apt-get update", f"Dockerfile line 2 (RUN apt-get update): RUN with apt-get update|{DOCKER}"),
    ("FROM {base}\nRUN pip install numpy>=2", "a redirection (quote requirements such as 'numpy>=2')"),
    ("FROM {base}\nRUN pip install a; true", "the command separator ;"),
    ("FROM {base}\nRUN pip install $(cat a)", "a command substitution"),
    ("FROM {base}\nRUN pip install a || true", "a pipe or ||"),
    ("FROM {base}\nRUN pip install -e .", "--editable is not supported without Docker"),
    ("FROM {base}\nRUN pip install -r missing.txt", "/missing.txt, which is not in the image"),
    ("FROM {base}\nRUN pip install missing-package", "missing-package is not installed on this machine|"),
    ("FROM {base}\nRUN --mount=type=secret,id=x pip install a", "RUN with --mount=type=secret,id=x is not supported"),
    ("FROM scratch\nRUN pip install needle", "needs Python, which the base scratch does not promise"),
    ("FROM {base}\nRUN chmod +x /usr/bin/env", "is not among the files that this build has put into the image"),
    ("FROM {base}\nRUN mkdir /a/b", "there is no 'a'; use mkdir -p"),
    ("FROM {base}\nRUN mkdir /tmp", "it exists"),
    ("FROM {base}\nRUN rm /tmp", "it is a directory"),
    ("FROM {base}\nRUN rm -rf /", "which the image needs"),
    ("FROM {base}\nCOPY missing /x", "Dockerfile line 2 (COPY missing /x): 'missing' is not in the build context"),
    ("FROM {base}\nCOPY ../a /x", "is outside of the build context"),
    ("FROM {base}\nCOPY a Dockerfile /x", "the destination must be a directory and end with a /"),
    ("FROM {base}\nCOPY a /x\nCOPY a /x/y", "'x', which is no directory but a file"),
    ("FROM {base}\nCOPY --chmod=rwx a /x", "'rwx' is not three or four octal digits"),
    ("FROM {base}\nCOPY --from=nginx /a /b", f"COPY --from=nginx names no earlier stage|{DOCKER}"),
    (
        "FROM {base} AS s\nFROM s\nCOPY --from=s /usr/local/lib/python3 /x",
        "run pip install in the stage that needs them",
    ),
    ("FROM {base}\nADD https://example/a /b", "which is on another machine"),
    ("FROM {base}\nEXPOSE 0", "EXPOSE takes ports"),
    ("FROM {base}\nEXPOSE 9-5", "EXPOSE takes ports"),
    ("FROM {base}\nSTOPSIGNAL now", "STOPSIGNAL takes a signal"),
    ("FROM {base}\nENV A='x", "closing single quote"),
    ('FROM {base}\nSHELL ["bash"]', "Dockerfile line 2: SHELL is not supported without Docker"),
    ("RUN x", "only ARG may stand before the first FROM"),
]


@pytest.mark.parametrize(("dockerfile", "why"), REFUSALS)
async def test_what_cannot_be_built_fails_with_the_line_and_the_reason(bench: Bench, dockerfile: str, why: str) -> None:
    said = await bench.fails(dockerfile.replace("{base}", PYTHON), {"a": "1"})
    everything = "\n".join(bench.lines)
    assert "Dockerfile line" in said
    assert all(part in everything for part in why.split("|"))


@pytest.mark.parametrize(
    ("archive", "why"),
    [
        (b"", "the context cannot be used: the archive is neither a tar file"),
        (b"nonsense", "the context cannot be used: the archive is neither a tar file"),
        (tar({"a": "1"}), "the context has no Dockerfile at 'Dockerfile'; it has a"),
        (tar({"../a": "1"}), "goes up with '..'"),
        (tar({"/a": "1"}), "absolute"),
        (tar({"Dockerfile": b"\xff"}), "Dockerfile is not UTF-8 text"),
        (tar({"Dockerfile": None}), "has no Dockerfile"),
        (tar({"Dockerfile": "FROM scratch", ".dockerignore": "["}), ".dockerignore line 1"),
        (gzip.compress(tar({"Dockerfile": "FROM scratch"}), mtime=0)[:-30], "damaged"),
    ],
    ids=["empty", "text", "none", "up", "absolute", "not-utf8", "folder", "ignore", "damaged"],
)
async def test_a_context_that_cannot_be_used_is_refused(bench: Bench, archive: bytes, why: str) -> None:
    assert why in await bench.fails("", archive=archive)


async def test_the_dockerfile_may_be_anywhere_in_the_context(bench: Bench) -> None:
    await bench.build("FROM scratch\nCOPY a /", {"a": "1"}, path="deploy/app.Dockerfile")
    assert bench.image().tree() == {"a": "1"}
    assert "goes up" in await bench.fails("FROM scratch", path="../Dockerfile", archive=tar({"a": ""}), images=())


async def test_a_context_over_its_limits_is_refused(bench: Bench) -> None:
    assert "more than 2 entries" in await bench.fails("FROM scratch", {"a": "1", "b": "2"}, limits=Limits(entries=2))
    assert "more than 20 bytes" in await bench.fails("FROM scratch", {"a": "1" * 30}, limits=Limits(size=20))


async def test_a_target_that_is_not_there_is_refused(bench: Bench) -> None:
    said = await bench.fails("FROM scratch AS a\nFROM scratch AS b", target="c")
    assert said == "the Dockerfile has no stage 'c' to stop after; it has a, b"


async def test_a_build_without_names_leaves_the_registry_alone(bench: Bench) -> None:
    result = await bench.build("FROM scratch\nCOPY a /a", {"a": "1"}, images=())
    assert bench.content.blob_path(result.config_digest) is None
    assert f"Successfully built {result.config_digest[7:19]}" in bench.lines


async def test_a_name_that_the_registry_refuses_fails_the_build(bench: Bench) -> None:
    with pytest.raises(BuildError, match="could not be pushed"):
        await bench.build("FROM scratch", images=("Bad Name:1",))


async def test_secret_build_arguments_stay_out_of_the_log(bench: Bench) -> None:
    dockerfile = f"FROM {PYTHON}\nARG TOKEN\nRUN pip install needle && mkdir /x-$TOKEN\n"
    await bench.build(dockerfile, arguments={"TOKEN": "hush"})
    assert "hush" not in "\n".join(bench.lines)
    assert "hush" not in json.dumps(bench.image().document)


@pytest.mark.parametrize("moment", ["Step 2/3", "Step 3/3", "Successfully built"])
async def test_a_cancelled_build_leaves_nothing(bench: Bench, moment: str) -> None:
    context = bench.folder / "context.tar"
    files: dict[str, bytes | str | None] = {
        "a": os.urandom(3_000_000),
        "Dockerfile": "FROM scratch\nCOPY a /a\nCOPY a /b",
    }
    context.write_bytes(tar(files))
    task: asyncio.Task[BuildResult]

    def log(line: str) -> None:
        if line.startswith(moment):
            asyncio.get_running_loop().call_soon(task.cancel)

    task = asyncio.create_task(
        build(
            context=context,
            dockerfile="Dockerfile",
            images=("app:1",),
            arguments={},
            log=log,
            content=bench.content,
            registry=REGISTRY,
            environments=bench.environments,
            work=bench.work,
        )
    )
    with pytest.raises(asyncio.CancelledError):
        await task
    assert os.listdir(bench.work) == []
    assert bench.content.manifest(REGISTRY, "app", "1") is None
