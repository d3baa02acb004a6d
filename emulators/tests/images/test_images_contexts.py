"""The build contexts that ``windtunnel`` packs, as the builder takes them."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from windtunnel import packaging
from windtunnel.model import Model
from windtunnel_emulators.images import interpreter
from windtunnel_emulators.images.build import build
from windtunnel_emulators.images.environments import Environments
from windtunnel_emulators.images.unpack import materialise
from windtunnel_emulators.registry.content import Content
from windtunnel_emulators.store import Store


async def build_digits(folder: Path) -> tuple[str, Path, Path]:
    """The digest, the image's root folder and its packages, made in a folder of its own."""
    folder.mkdir()
    model = Path(str(resources.files("windtunnel_contracts").joinpath("data/digits/digits.onnx")))
    packaging.build_context(Model.read(model), "digits").save(folder / "context.tar.gz")
    content = Content(Store(None), folder / "registry")
    environments = Environments(folder / "environments")
    result = await build(
        context=folder / "context.tar.gz",
        dockerfile="Dockerfile",
        images=["digits:1"],
        arguments={},
        log=lambda line: None,
        content=content,
        registry="registry",
        environments=environments,
        work=folder,
    )
    manifest = content.manifest("registry", "digits", "1")
    assert manifest is not None
    layers = [content.blob_path(layer["digest"]) for layer in json.loads(manifest.body)["layers"]]
    root = materialise(result.digest, [path for path in layers if path is not None], folder / "images")
    return result.digest, root, await environments.of_image(root)


async def test_a_packed_model_is_built_the_same_way_twice(tmp_path: Path) -> None:
    first, root, packages = await build_digits(tmp_path / "first")
    second, _, _ = await build_digits(tmp_path / "second")
    assert first == second
    assert list(root.rglob("digits.onnx"))
    importable = {path.name for path in interpreter.site_packages(packages).iterdir()}
    assert {"windtunnel_scoring", "onnxruntime", "numpy"} <= importable
    assert importable.isdisjoint({"windtunnel", "windtunnel_emulators", "msgspec", "pytest", "fastapi"})
