from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.images import interpreter

if TYPE_CHECKING:
    from pathlib import Path


def run(packages: Path | None, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    start, environment = interpreter.interpreter_environment(packages)
    return subprocess.run(
        [*start, *arguments], env=environment | extra, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "packages"
    interpreter.prepare(folder)
    return folder


@pytest.mark.parametrize("module", ["windtunnel_emulators", "msgspec", "uvicorn", "pytest", "pip"])
def test_nothing_that_the_emulators_have_is_importable(packages: Path, module: str) -> None:
    for folder in (packages, None):
        result = run(folder, "-c", f"import {module}")
        assert result.returncode == 1
        assert f"No module named '{module}'" in result.stderr


def test_the_standard_library_is_importable(packages: Path) -> None:
    for folder in (packages, None):
        result = run(folder, "-c", "import ssl, sqlite3, asyncio, ctypes, json, venv; print('all')")
        assert result.stdout == "all\n", result.stderr


def test_what_is_in_the_folder_is_importable_and_nothing_else_is_on_the_path(packages: Path) -> None:
    (interpreter.site_packages(packages) / "gauge.py").write_text("reading = 21\n")
    result = run(
        packages, "-P", "-c", "import gauge, json, sys; print(json.dumps([gauge.reading, sys.path, sys.prefix]))"
    )
    reading, path, prefix = json.loads(result.stdout)
    assert reading == 21
    assert prefix == str(packages)
    outside = [entry for entry in path if "site-packages" in entry or "dist-packages" in entry]
    assert outside == [str(interpreter.site_packages(packages))]


def test_a_program_that_starts_python_again_gets_the_same_packages(packages: Path) -> None:
    (interpreter.site_packages(packages) / "gauge.py").write_text("reading = 21\n")
    for child in ("sys.executable", "'python3'"):
        code = (
            f"import subprocess, sys; subprocess.run([{child}, '-c', 'import gauge; print(gauge.reading)'], check=True)"
        )
        assert run(packages, "-c", code).stdout == "21\n"


def test_the_packages_of_the_user_are_out_of_reach(packages: Path, tmp_path: Path) -> None:
    version = interpreter.VERSION
    user = tmp_path / "home" / ".local" / "lib" / f"python{version}" / "site-packages"
    user.mkdir(parents=True)
    (user / "private_gauge.py").write_text("")
    for folder in (packages, None):
        result = run(folder, "-c", "import private_gauge", HOME=str(tmp_path / "home"))
        assert "No module named 'private_gauge'" in result.stderr


def test_the_path_of_python_works_as_in_a_container(packages: Path) -> None:
    (packages.parent / "more").mkdir()
    (packages.parent / "more" / "dial.py").write_text("")
    assert run(packages, "-c", "import dial", PYTHONPATH=str(packages.parent / "more")).returncode == 0


@pytest.mark.parametrize("name", [*interpreter.INTERPRETER_NAMES, "/usr/local/bin/python", "/usr/bin/python3"])
def test_the_interpreter_is_found_by_every_name_it_has_in_an_image(packages: Path, name: str) -> None:
    found = interpreter.find_program(packages, name)
    assert found is not None
    output = subprocess.run([*found, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == str(packages)
    assert interpreter.find_program(None, name) == interpreter.interpreter_environment(None)[0]


@pytest.mark.parametrize(
    "name", ["gunicorn", "/app/python", "./python", "", "..", "/usr/local/bin/..", "/", "python9.9"]
)
def test_what_is_no_program_of_the_packages_is_not_found(packages: Path, name: str) -> None:
    assert interpreter.find_program(packages, name) is None
    assert interpreter.find_program(None, name) is None


def test_the_base_interpreter_is_of_the_version_that_runs_the_emulators() -> None:
    output = subprocess.run(
        [
            interpreter.base_interpreter(),
            "-S",
            "-c",
            "import sys; print(sys.prefix == sys.base_prefix, *sys.version_info[:2])",
        ],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    assert output.stdout.split() == ["True", *map(str, sys.version_info[:2])]
