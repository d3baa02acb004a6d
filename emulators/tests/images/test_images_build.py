from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.images import interpreter
from windtunnel_emulators.images.build import BuildResult, build
from windtunnel_emulators.images.errors import BuildError
from windtunnel_emulators.images.oci import read_config

if TYPE_CHECKING:
    from tests.images.conftest import Bench

PYTHON = f"python:{interpreter.VERSION}-slim"


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
        "dial-1.0-py3-none-any.whl": bench.make_wheel("dial", "1.0", "Requires-Dist: needle<2\n"),
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
        assert bench.content.resolve(bench.registry, repository, tag) == result.digest
    assert result.base == PYTHON
    steps = [line for line in bench.lines if line.startswith("Step ")]
    assert steps[0] == f"Step 1/11 : ARG TAG={interpreter.VERSION}-slim"
    assert steps[4] == "Step 5/11 : RUN pip install --no-cache-dir     -r requirements.txt"
    assert "Successfully installed dial-1.0 needle-1.5" in bench.lines
    assert f"Successfully built {result.config_digest[7:19]}" in bench.lines
    assert f"Successfully tagged {bench.server}/app:latest" in bench.lines


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
    second = await bench.build(dockerfile, archive=gzip.compress(bench.tar(dict(context), mtime=1_700_000_000)))
    third = await bench.build(dockerfile, files, arguments={"SOURCE_DATE_EPOCH": "1700000000"})
    assert first.digest == second.digest
    assert first.digest != third.digest
    assert bench.image().document["created"] == "2023-11-14T22:13:20Z"
    assert await bench.build(dockerfile, files, arguments={"SOURCE_DATE_EPOCH": "1700000000"}) == third
    assert (await bench.build(dockerfile, files | {"a": "changed"})).digest != first.digest


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
    files: dict[str, bytes | str | None] = {"dial-1.0-py3-none-any.whl": bench.make_wheel("dial", "1.0"), "a": "1"}
    await bench.build(parent, files, images=("team/parent:v1",))
    child = f"FROM {bench.server}/team/parent:v1\nRUN rm *.whl && pip install dial\nCOPY b .\nCMD python -V\n"
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
    context.write_bytes(bench.tar(files))
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
            registry=bench.registry,
            environments=bench.environments,
            work=bench.work,
        )
    )
    with pytest.raises(asyncio.CancelledError):
        await task
    assert os.listdir(bench.work) == []
    assert bench.content.manifest(bench.registry, "app", "1") is None
