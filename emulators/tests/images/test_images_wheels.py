from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import zipfile
from importlib.metadata import Distribution
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.images import interpreter
from windtunnel_emulators.images.errors import EnvironmentError_
from windtunnel_emulators.images.wheels import check_tags, inspect, unpack

if TYPE_CHECKING:
    from pathlib import Path

METADATA = (
    "Metadata-Version: 2.1\nName: Gauge.Tool\nVersion: 1.0\nRequires-Python: >=3.8\nRequires-Dist: numpy>=1\n\nText"
)
SCRIPTS = "[console_scripts]\ngauge = gauge:main\n"


def make_wheel(folder: Path, files: dict[str, bytes], *, unrecorded: dict[str, bytes] | None = None) -> Path:
    """A wheel of ``gauge_tool`` with these files besides its metadata; ``unrecorded`` replaces after recording."""
    information = "gauge_tool-1.0.dist-info"
    everything = {
        f"{information}/METADATA": METADATA.encode(),
        f"{information}/WHEEL": b"Wheel-Version: 1.0\n",
        f"{information}/entry_points.txt": SCRIPTS.encode(),
    } | files
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for name, data in everything.items()
    )
    everything[f"{information}/RECORD"] = (record + f"{information}/RECORD,,\n").encode()
    path = folder / "gauge_tool-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (everything | (unrecorded or {})).items():
            archive.writestr(name, data)
    return path


MODULE = {"gauge/__init__.py": b"import sys\ndef main():\n    print('reading', *sys.argv[1:])\n"}


def install(wheel: Path, folder: Path) -> Path:
    packages = folder / "packages"
    interpreter.prepare(packages)
    unpack(wheel, inspect(wheel).sha256, packages, packages)
    return packages


def test_what_a_wheel_says_of_itself(tmp_path: Path) -> None:
    wheel = inspect(make_wheel(tmp_path, MODULE), ("fast",))
    assert (wheel.metadata.name, wheel.metadata.version) == ("gauge-tool", "1.0")
    assert (wheel.metadata.requires, wheel.metadata.requires_python) == (("numpy>=1",), ">=3.8")
    assert (wheel.extras, wheel.sha256) == (("fast",), hashlib.sha256(wheel.file.read_bytes()).hexdigest())


def test_an_unpacked_wheel_can_be_imported_and_its_programs_run(tmp_path: Path) -> None:
    files = MODULE | {
        "gauge_tool-1.0.data/scripts/dial": b"#!python\nimport gauge\nprint('dial')\n",
        "gauge_tool-1.0.data/data/share/gauge/table.txt": b"1",
        "gauge_tool-1.0.data/purelib/extra_gauge.py": b"",
        "gauge_tool-1.0.data/headers/gauge.h": b"",
    }
    packages = install(make_wheel(tmp_path, files), tmp_path)
    for name, arguments, output in (("gauge", ["5"], "reading 5\n"), ("dial", [], "dial\n")):
        found = interpreter.find_program(packages, f"/usr/local/bin/{name}")
        assert found is not None
        result = subprocess.run([*found, *arguments], capture_output=True, text=True, env={}, check=True)
        assert result.stdout == output
    assert (packages / "share/gauge/table.txt").read_bytes() == b"1"
    distribution = Distribution.at(interpreter.site_packages(packages) / "gauge_tool-1.0.dist-info")
    assert distribution.files is not None
    assert all(os.path.exists(file.locate()) for file in distribution.files)
    assert {"extra_gauge.py", "../../../bin/dial", "../../../include/gauge.h"} <= {str(f) for f in distribution.files}


def test_programs_run_from_a_long_path_with_blanks_and_quotes(tmp_path: Path) -> None:
    home = tmp_path / ("it's a long 'folder' " + "x" * 120)
    packages = install(make_wheel(tmp_path, MODULE), home)
    result = subprocess.run([packages / "bin/gauge", "a b"], capture_output=True, text=True, check=True)
    assert result.stdout == "reading a b\n"


@pytest.mark.parametrize(
    ("files", "unrecorded", "why"),
    [
        (MODULE, {"gauge/__init__.py": b"changed"}, "another hash than its RECORD says"),
        (MODULE, {"gauge/more.py": b""}, "for which its RECORD has no hash"),
        ({"../gauge.py": b""}, {}, "goes up"),
        ({"/gauge.py": b""}, {}, "absolute"),
        ({"gauge_tool-1.0.data/scripts/../../../x": b""}, {}, "goes up"),
        ({"gauge_tool-1.0.data/strange/x": b""}, {}, "scheme 'strange' is unknown"),
        ({"gauge_tool-1.0.data/x": b""}, {}, "belongs to no scheme"),
        ({"a": b"", "a/b": b""}, {}, "cannot be unpacked"),
        (MODULE, {"gauge_tool-1.0.dist-info/RECORD": b"\xff"}, "RECORD that is damaged"),
        (
            MODULE | {"gauge_tool-1.0.dist-info/entry_points.txt": b"[console_scripts]\n../x = a:b\n"},
            {},
            "console script",
        ),
        (MODULE | {"gauge_tool-1.0.dist-info/entry_points.txt": b"[console_scripts]\nx = a;b\n"}, {}, "console script"),
        (MODULE | {"gauge_tool-1.0.dist-info/entry_points.txt": b"[console_scripts]\npython = a:b\n"}, {}, "'python'"),
    ],
)
def test_a_wheel_that_is_unsafe_or_wrong_is_refused(
    tmp_path: Path, files: dict[str, bytes], unrecorded: dict[str, bytes], why: str
) -> None:
    wheel = make_wheel(tmp_path, files, unrecorded=unrecorded)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(EnvironmentError_) as error:
        install(wheel, tmp_path)
    assert why in str(error.value)
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "packages"])


def test_a_wheel_with_another_hash_than_the_image_says_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, MODULE)
    interpreter.prepare(tmp_path / "packages")
    with pytest.raises(EnvironmentError_, match="SHA-256"):
        unpack(wheel, "0" * 64, tmp_path / "packages", tmp_path / "packages")


def test_a_link_that_another_package_left_is_never_written_through(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    interpreter.prepare(packages)
    (tmp_path / "outside.py").write_text("outside")
    (interpreter.site_packages(packages) / "gauge").mkdir()
    (interpreter.site_packages(packages) / "gauge/__init__.py").symlink_to(tmp_path / "outside.py")
    wheel = make_wheel(tmp_path, MODULE)
    unpack(wheel, inspect(wheel).sha256, packages, packages)
    assert (tmp_path / "outside.py").read_text() == "outside"


@pytest.mark.parametrize("data", [b"", b"PK", b"x" * 1000])
def test_what_is_no_wheel_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x-1-py3-none-any.whl"
    path.write_bytes(data)
    with pytest.raises(EnvironmentError_, match="is not a wheel"):
        inspect(path)


def test_a_wheel_without_metadata_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.py", "")
    with pytest.raises(EnvironmentError_, match="0 folders of metadata"):
        inspect(path)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("x.whl", "is not a wheel's name"),
        ("x-1-py2-none-any.whl", "is not a wheel for this machine's Python"),
        ("x-1-cp39-cp39-win_amd64.whl", "cp39-cp39-win_amd64"),
    ],
)
def test_a_wheel_for_another_machine_is_refused(name: str, why: str) -> None:
    with pytest.raises(EnvironmentError_) as error:
        check_tags(name)
    assert why in str(error.value)


def test_wheels_for_this_interpreter_are_accepted() -> None:
    version = interpreter.VERSION.replace(".", "")
    for name in ("x-1-py3-none-any.whl", "x-1-py2.py3-none-any.whl", f"x-1-cp{version}-none-any.whl"):
        check_tags(name)


def test_damage_anywhere_in_a_wheel_is_an_error_of_ours(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, MODULE | {"gauge/data.bin": bytes(range(256)) * 40})
    whole = wheel.read_bytes()
    interpreter.prepare(tmp_path / "packages")
    for position in range(0, len(whole), 97):
        wheel.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        with pytest.raises(EnvironmentError_):
            unpack(wheel, hashlib.sha256(whole).hexdigest(), tmp_path / "packages", tmp_path / "packages")
        try:
            inspect(wheel)
            unpack(wheel, hashlib.sha256(wheel.read_bytes()).hexdigest(), tmp_path / "packages", tmp_path / "packages")
        except EnvironmentError_:
            continue
