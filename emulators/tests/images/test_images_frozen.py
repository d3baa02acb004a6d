from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.images import frozen, interpreter
from windtunnel_emulators.images.errors import EnvironmentError_
from windtunnel_emulators.images.metadata import Metadata
from windtunnel_emulators.images.resolution import Pin
from windtunnel_emulators.images.wheels import Wheel

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_written_reads_the_same(tmp_path: Path) -> None:
    metadata = Metadata(name="dial", version="1.0")
    wheel = Wheel(file=tmp_path / "dial-1.0-py3-none-any.whl", sha256="0" * 64, metadata=metadata)
    pins = (
        Pin(name="dial", version="1.0", wheel=wheel),
        Pin(name="needle", version="2", url="https://example/needle.zip"),
        Pin(name="other", version="3"),
    )
    assert frozen.decode(frozen.encode(pins), tmp_path) == pins


def test_an_image_without_packages_has_none(tmp_path: Path) -> None:
    assert frozen.read(tmp_path) == ()


def test_packages_for_another_python_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentError_, match=r"built for Python 2\.7"):
        frozen.decode(b'{"python": "2.7", "packages": []}', tmp_path)


@pytest.mark.parametrize("content", ["{", '{"python": 1}', "[]", '{"python": "VERSION", "packages": [{}]}'])
def test_a_damaged_list_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(EnvironmentError_, match="damaged"):
        frozen.decode(content.replace("VERSION", interpreter.VERSION).encode(), tmp_path)


@pytest.mark.parametrize(
    ("wheel", "sha256"), [("../x.whl", "0" * 64), ("/x.whl", "0" * 64), ("x.txt", "0" * 64), ("x.whl", "0")]
)
def test_a_list_that_names_files_elsewhere_is_refused(tmp_path: Path, wheel: str, sha256: str) -> None:
    package = {"name": "x", "version": "1", "wheel": wheel, "sha256": sha256}
    content = json.dumps({"python": interpreter.VERSION, "packages": [package]})
    with pytest.raises(EnvironmentError_, match="damaged"):
        frozen.decode(content.encode(), tmp_path)
