"""A model and a script as a build context, and the wheel in it."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from windtunnel import __version__
from windtunnel.errors import InvalidSpec, MissingExtra
from windtunnel.model import Model
from windtunnel.packaging import build_context, image_name, image_tag, this_python
from windtunnel.scripts import check_requirements, check_script
from windtunnel.spec import Script
from windtunnel.wheel import REQUIREMENTS, build_wheel, pins, wheel_name

REPOSITORY = Path(__file__).parents[3]


def text(context: object, path: str) -> str:
    from windtunnel.context import Context

    assert isinstance(context, Context)
    (source,) = (e.source for e in context.entries if e.path == path)
    assert isinstance(source, bytes)
    return source.decode()


def test_a_model_without_a_script(model_file: Path) -> None:
    context = build_context(Model.read(model_file), "linear")
    assert [e.path for e in context.entries] == [
        "Dockerfile",
        "azureml-models/linear/1/linear.onnx",
        "requirements.txt",
        f"wheels/{wheel_name()}",
    ]
    assert text(context, "Dockerfile").splitlines() == [
        f"FROM python:{this_python()}-slim",
        "ENV PYTHONUNBUFFERED=1",
        "ENV AML_APP_ROOT=/var/azureml-app",
        "ENV AZUREML_MODEL_DIR=/var/azureml-app/azureml-models/linear/1",
        "WORKDIR /var/azureml-app",
        "COPY wheels/ /tmp/wheels/",
        "COPY requirements.txt /tmp/requirements.txt",
        f"RUN pip install --no-cache-dir /tmp/wheels/{wheel_name()} -r /tmp/requirements.txt",
        "COPY azureml-models/ /var/azureml-app/azureml-models/",
        "EXPOSE 5001",
        'CMD ["python", "-m", "windtunnel_scoring"]',
    ]


def test_a_script_is_called_score_py_whatever_its_file_is_called(model_file: Path, script_file: Path) -> None:
    context = build_context(Model.read(model_file), "linear", Script(entry=script_file))
    assert text(context, "app/score.py") == script_file.read_text("utf-8")
    assert "ENV AZUREML_ENTRY_SCRIPT=score.py" in text(context, "Dockerfile")


def test_the_same_input_gives_the_same_digest_and_any_other_gives_another(
    model_file: Path, script_file: Path, tmp_path: Path
) -> None:
    model = Model.read(model_file)
    elsewhere = tmp_path / "copy" / "linear.onnx"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(model_file.read_bytes())
    same = {build_context(m, "linear").digest for m in (model, Model.read(elsewhere))}
    assert len(same) == 1
    different = {
        build_context(model, "linear").digest,
        build_context(model, "linear2").digest,
        build_context(model, "linear", Script(entry=script_file)).digest,
        build_context(model, "linear", python="3.9").digest,
    }
    assert len(different) == 4


def test_an_image_is_named_after_its_model_and_its_content(model_file: Path) -> None:
    context = build_context(Model.read(model_file), "My_Model")
    assert image_name(context, "My_Model") == f"windtunnel/my-model:{image_tag(context)}"
    assert image_tag(context) == context.digest[:32]


@pytest.mark.parametrize("python", ["3", "2.7", "3.12.1", "latest"])
def test_a_python_version_that_no_base_image_has_is_refused(model_file: Path, python: str) -> None:
    with pytest.raises(InvalidSpec, match="Python version"):
        build_context(Model.read(model_file), "linear", python=python)


def test_the_wheel_is_whole_deterministic_and_pins_what_is_installed(tmp_path: Path) -> None:
    content = build_wheel()
    assert content == build_wheel()
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        names = wheel.namelist()
        info = f"windtunnel_scoring-{__version__}.dist-info"
        record = list(csv.reader(wheel.read(f"{info}/RECORD").decode().splitlines()))
        assert {row[0] for row in record} == set(names)
        for name, digest, size in record[:-1]:
            data = wheel.read(name)
            assert size == str(len(data))
            expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert digest == f"sha256={expected}"
        needed = [
            Requirement(line.partition(": ")[2])
            for line in wheel.read(f"{info}/METADATA").decode().splitlines()
            if line.startswith("Requires-Dist")
        ]
    assert {r.name: str(r.specifier) for r in needed} == {n: f"=={metadata.version(n)}" for n in REQUIREMENTS}
    assert "windtunnel_scoring/__init__.py" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_the_wheel_is_one_that_python_can_import_from(tmp_path: Path) -> None:
    path = tmp_path / wheel_name()
    path.write_bytes(build_wheel())
    # Isolated from the source tree: what is imported is what is in the wheel.
    code = f"import sys; sys.path.insert(0, {str(path)!r}); import windtunnel_scoring as w; print(w.__file__)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(path))


def test_the_requirements_are_the_scoring_extra_and_numpy() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    extra = {Requirement(text).name for text in project["optional-dependencies"]["scoring"]}
    assert extra | {"numpy"} == set(REQUIREMENTS)


def test_the_pins_are_the_closure_of_what_is_installed() -> None:
    pinned = pins(this_python())
    assert set(REQUIREMENTS) <= set(pinned)
    assert pinned["numpy"] == metadata.version("numpy")
    assert "h11" in pinned  # of uvicorn
    for name, version in pinned.items():
        assert metadata.version(name) == version


def test_a_requirement_that_is_not_installed_is_named() -> None:
    with pytest.raises(MissingExtra, match="no-such-distribution") as missing:
        pins(this_python(), ("no-such-distribution",))
    assert "pip install 'windtunnel[scoring]'" in (missing.value.way_out or "")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def init(:\n", r"cannot be parsed at line 1: .*Please check it and try local deployment to verify\."),
        ("def run(x):\n    pass\n", r"does not have a init\(\) function defined\."),
        ("def init():\n    pass\n", r"does not have a run\(\) function defined\."),
        ("class A:\n    def init(self): pass\n    def run(self, x): pass\n", "does not have a init"),
        ("\0", "cannot be parsed"),
    ],
)
def test_a_script_that_cannot_work_is_refused(tmp_path: Path, source: str, message: str) -> None:
    path = tmp_path / "score.py"
    path.write_text(source, "utf-8")
    with pytest.raises(InvalidSpec, match=message):
        check_script(path)


@pytest.mark.parametrize(
    "source",
    [
        "from elsewhere import *\n",
        "from a import init, run\n",
        "init = run = print\n",
        "import os\nif os.sep:\n    def init(): pass\n    def run(x): pass\n",
        "try:\n    from a import init, run\nexcept ImportError:\n    pass\n",
        "def init(): pass\nasync def run(x): pass\n",
    ],
)
def test_init_and_run_may_come_in_any_way(tmp_path: Path, source: str) -> None:
    path = tmp_path / "score.py"
    path.write_text(source, "utf-8")
    assert check_script(path) == source.encode()


def test_a_script_must_be_there_and_be_python(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="Currently only Python drivers are supported"):
        check_script(tmp_path / "score.R")
    with pytest.raises(InvalidSpec, match="unable to find the entry script"):
        check_script(tmp_path / "score.py")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("-r other.txt", "line 1.*not in the image"),
        ("\n-e .", "line 2.*not in the image"),
        ("pandas @ file:///tmp/pandas", "on this machine"),
        ("not a requirement", "is not a requirement"),
        ("numpy<1", "excludes numpy .*which the scoring server needs"),
    ],
)
def test_requirements_that_cannot_work_are_refused(tmp_path: Path, lines: str, message: str) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(lines, "utf-8")
    with pytest.raises(InvalidSpec, match=message):
        check_requirements(path, pins(this_python()))


def test_requirements_that_can_work_are_taken_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(
        "# mine\npandas>=2 # for tables\n\n--extra-index-url https://example.org\nscipy==1.0 \\\n  --hash=x\n"
    )
    lines = check_requirements(path, {"numpy": "2.0"})
    assert lines[:2] == ("pandas>=2", "--extra-index-url https://example.org")
    assert lines[2].startswith("scipy==1.0")
