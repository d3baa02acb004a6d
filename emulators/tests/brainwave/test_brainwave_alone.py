"""The simulator stands alone: of this project it imports itself only, and its wheel works where nothing else is."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from importlib import util
from pathlib import Path

import pytest

from windtunnel.wheel import BRAINWAVE, build_wheel
from windtunnel_emulators import brainwave

PACKAGE = "windtunnel_emulators.brainwave"
FOLDER = Path(brainwave.__file__).parent
FILES = sorted(p for p in FOLDER.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=[str(f.relative_to(FOLDER)) for f in FILES])
def test_a_module_imports_nothing_else_of_this_project(file: Path) -> None:
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    ours = [name for name in names if name.startswith("windtunnel")]
    assert [name for name in ours if name != PACKAGE and not name.startswith(f"{PACKAGE}.")] == []


def test_the_wheel_is_the_same_every_time_and_serves_where_nothing_else_of_the_project_is(tmp_path: Path) -> None:
    wheel = build_wheel(BRAINWAVE)
    assert wheel == build_wheel(BRAINWAVE)
    path = tmp_path / "wheel.whl"
    path.write_bytes(wheel)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "site")
    assert sorted(p.name for p in (tmp_path / "site" / "windtunnel_emulators").iterdir()) == [
        "__init__.py",
        "brainwave",
    ]
    found = util.find_spec("numpy")
    assert found is not None
    assert found.origin is not None
    paths = os.pathsep.join([str(tmp_path / "site"), str(Path(found.origin).parents[1])])
    ended = subprocess.run(
        # -S: without this interpreter's own packages, so that only the two paths are looked at.
        [sys.executable, "-S", "-m", f"{PACKAGE}.service"],
        env={"PYTHONPATH": paths, "AZUREML_MODEL_DIR": str(tmp_path / "nothing")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "there are 0 .onnx files" in ended.stdout, ended.stderr
    assert ended.returncode == 2
