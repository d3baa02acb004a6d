"""Images of the emulated registries on the process runtime: what runs, on what base, and what is refused."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.images.bases import ANNOTATION
from windtunnel_emulators.images.interpreter import VERSION
from windtunnel_emulators.images.oci import architecture
from windtunnel_emulators.registry.pull import FetchedManifest
from windtunnel_emulators.runtime.interface import ContainerSpec, Credentials, Image, ImageError, StartError
from windtunnel_emulators.runtime.logs import read_log
from windtunnel_emulators.runtime.process import ProcessRuntime
from windtunnel_emulators.runtime.registry_images import RegistryImages
from windtunnel_emulators.runtime.selection import make_runtime

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

PYTHON_BASE = f"docker.io/library/python:{VERSION}-slim"
LINUX = {"os": "linux", "architecture": architecture()}
DIGEST = f"sha256:{'12' * 32}"


def layer(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return path


class Shelf:
    """A registry with one image."""

    def __init__(self) -> None:
        self.image = FetchedManifest(digest=DIGEST, manifest={}, config={}, layers=())
        self.given: list[Sequence[Credentials]] = []

    def put(self, *layers: Path, base: str | None, config: dict[str, Any], **platform: str) -> None:
        manifest: dict[str, Any] = {"annotations": {ANNOTATION: base}} if base is not None else {}
        document: dict[str, Any] = {**LINUX, "config": config, **platform}
        self.image = FetchedManifest(digest=DIGEST, manifest=manifest, config=document, layers=layers)

    def owns(self, reference: str) -> bool:
        return reference.startswith("localhost:1/")

    def local_name(self, reference: str) -> str:
        return reference

    def fetch(self, reference: str, credentials: Sequence[Credentials] = ()) -> FetchedManifest:
        self.given.append(credentials)
        return self.image


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
async def runtime(tmp_path: Path, shelf: Shelf) -> AsyncIterator[ProcessRuntime]:
    images = RegistryImages(shelf, tmp_path / "images", tmp_path / "environments")
    runtime = ProcessRuntime(tmp_path / "runtime", RealClock(), [images], control_groups=False)
    yield runtime
    await runtime.close()


async def output(runtime: ProcessRuntime, image: Image, folder: Path, *command: str) -> str:
    spec = ContainerSpec(
        id="c", owner="o", image=image, command=command, address="127.0.0.1", log=folder / "log", directory=folder / "c"
    )
    container = await runtime.start(spec)
    await container.wait()
    return read_log(spec.log)


async def test_an_image_on_a_python_base_runs_with_what_the_base_promises(
    runtime: ProcessRuntime, shelf: Shelf, tmp_path: Path
) -> None:
    first = layer(tmp_path / "1.tar", {"app/main.py": b"import sys, os; print('old')"})
    second = layer(
        tmp_path / "2.tar", {"app/main.py": b"import sys, os; print(os.getcwd(), os.environ['A'], *sys.argv[1:])"}
    )
    config: dict[str, Any] = {
        "Entrypoint": ["python", "main.py"],
        "Cmd": ["default"],
        "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "A=b=c"],
        "WorkingDir": "/app",
        "ExposedPorts": {"5001/tcp": {}, "80/tcp": {}},
        "Labels": {"who": "test"},
    }
    shelf.put(first, second, base=PYTHON_BASE, config=config)
    given = (Credentials(server="localhost:1", username="u", password="p"),)
    image = await runtime.pull("localhost:1/model:1", given)
    assert shelf.given == [given]
    assert (image.digest, image.exposed_ports, image.complete) == (DIGEST, (80, 5001), False)
    assert (image.labels, image.stand_in) == ({"who": "test"}, None)
    assert image.packages is not None
    shown = await output(runtime, image, tmp_path)
    assert re.fullmatch(r"(/app|.*/c/layer/app) b=c default\n", shown)
    again = await runtime.pull("localhost:1/model:1")
    assert again == image


async def test_an_image_that_brings_all_it_needs_runs_alone(
    runtime: ProcessRuntime, shelf: Shelf, tmp_path: Path
) -> None:
    lines = await asyncio.to_thread(lambda: subprocess.check_output(["ldd", "/bin/sh"], text=True))
    libraries = re.findall(r"(/\S+)", lines)
    files = {path.lstrip("/"): Path(path).read_bytes() for path in {*libraries, "/bin/sh"}}
    shelf.put(layer(tmp_path / "1.tar", files), base=None, config={"Cmd": ["sh", "-c", "echo alone; echo /*; ls"]})
    image = await runtime.pull("localhost:1/whole:1")
    assert image.complete
    try:
        shown = await output(runtime, image, tmp_path)
    except StartError as problem:
        if "brings its own system" not in str(problem):
            raise
        pytest.skip(str(problem))
    assert shown.splitlines()[0] == "alone"
    assert "/usr/share" not in shown
    assert "ls: not found" in shown
    spec = ContainerSpec(
        id="d",
        owner="o",
        image=image,
        command=("sh", "-c", "while :; do :; done"),
        address="127.0.0.1",
        log=tmp_path / "log-d",
        directory=tmp_path / "d",
    )
    container = await runtime.start(spec)
    session = await container.execute(("sh", "-c", "echo on $0; exit 6"), terminal=(24, 80))
    assert b"".join([chunk async for chunk in session.output()]) == b"on sh\r\n"
    assert await session.wait() == 6
    await session.close()
    await container.stop(0)
    with pytest.raises(StartError, match="'python': executable file not found"):
        await output(runtime, image, tmp_path, "python")


async def test_an_image_that_brings_all_it_needs_needs_a_root_of_its_own(shelf: Shelf, tmp_path: Path) -> None:
    images = RegistryImages(shelf, tmp_path / "images", tmp_path / "environments")
    runtime = ProcessRuntime(tmp_path / "runtime", RealClock(), [images], own_root=False, control_groups=False)
    shelf.put(layer(tmp_path / "1.tar", {"run": b""}), base="scratch", config={"Cmd": ["/run"]})
    image = await runtime.pull("localhost:1/whole:1")
    with pytest.raises(StartError, match=r"brings its own system.*--runtime docker"):
        await output(runtime, image, tmp_path)
    await runtime.close()


@pytest.mark.parametrize(
    ("base", "platform", "message"),
    [
        (None, {"os": "windows"}, "is for windows, and only Linux containers run here"),
        (None, {"architecture": "s390x"}, "is for s390x processors"),
        ("docker.io/library/node:22", {}, r"base image node:22 is not known here.*--runtime docker"),
        ("docker.io/library/python:2.7", {}, "promises Python 2.7"),
    ],
)
async def test_an_image_that_cannot_run_here_is_refused_with_the_reason(
    runtime: ProcessRuntime, shelf: Shelf, base: str | None, platform: dict[str, str], message: str
) -> None:
    shelf.put(base=base, config={"Cmd": ["x"]}, **platform)
    with pytest.raises(ImageError, match=message) as refused:
        await runtime.pull("localhost:1/other:1")
    assert not refused.value.denied
    assert "localhost:1/other:1" in str(refused.value)


async def test_a_damaged_layer_is_an_error_of_the_image(runtime: ProcessRuntime, shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(b"no archive" * 100)
    shelf.put(tmp_path / "bad.tar", base=PYTHON_BASE, config={})
    with pytest.raises(ImageError, match="cannot run here: layer 1 of 1"):
        await runtime.pull("localhost:1/bad:1")
    assert not list((tmp_path / "images").iterdir())


async def test_the_command_lines_names_make_runtimes(shelf: Shelf, tmp_path: Path) -> None:
    runtime = make_runtime("process", folder=tmp_path, clock=RealClock(), registries=shelf)
    assert runtime.name == "process"
    assert (await runtime.pull("alpine")).stand_in is not None
    shelf.put(base=PYTHON_BASE, config={"Cmd": ["x"]})
    assert (await runtime.pull("localhost:1/model:1")).command == ("x",)
    with pytest.raises(ImageError, match="--runtime docker"):
        await runtime.pull("redis")
    await runtime.close()
    with pytest.raises(ValueError, match="no runtime 'podman'; there are process, docker"):
        make_runtime("podman", folder=tmp_path, clock=RealClock(), registries=shelf)
