"""A user's score.py: how it is loaded, what run() is called with, and what it may answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_scoring.errors import ScriptError
from windtunnel_scoring.script import imports, loader
from windtunnel_scoring.script.forms import Values, parse_multipart
from windtunnel_scoring.script.models import Model
from windtunnel_scoring.settings import ServerSettings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scoring.conftest import Apps
    from windtunnel_scoring.jsontypes import JsonObject

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Machines that run other things too may take their time."""

INIT = "def init():\n    pass\n"


async def test_a_script_of_2018(apps: Apps) -> None:
    client = apps.of_script(
        "import json\ndef init():\n    global factor\n    factor = 2\n"
        "def run(raw_data):\n    data = json.loads(raw_data)['data']\n"
        "    return json.dumps([x * factor for x in data])\n"
    )
    reply = await client.score({"data": [1, 2]})
    assert reply.json() == "[2, 4]", "text that a script returns is written as JSON once more"


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("", "does not have a run() function defined."),
        ("run = 3", "does not have a run() function defined."),
        ("def run(): pass", "run() needs to accept an argument for input data."),
        ("def run(request_headers): pass", 'run() needs to accept an argument other than "request_headers".'),
        ("def run(*args): pass", "run() cannot accept positional-only arguments, *args, or **kwargs."),
        ("def run(a, **more): pass", "run() cannot accept positional-only arguments, *args, or **kwargs."),
        ("def run(a, /): pass", "run() cannot accept positional-only arguments, *args, or **kwargs."),
    ],
)
def test_a_run_that_cannot_be_called(apps: Apps, run: str, said: str) -> None:
    with pytest.raises(ScriptError) as caught:
        apps.script(INIT + run)
    assert said in str(caught.value)


def test_a_script_without_init(apps: Apps) -> None:
    with pytest.raises(ScriptError, match=r"User script at .*score.py does not have a init\(\) function defined."):
        apps.script("def run(data): pass")


@pytest.mark.parametrize(
    "statement", ["raise ValueError('x')", "raise SystemExit(0)", "import no_such_module", "def :"]
)
def test_an_init_or_import_that_fails(apps: Apps, statement: str) -> None:
    with pytest.raises(ScriptError, match="the script could not be imported") as caught:
        apps.script(statement)
    assert caught.value.__cause__ is not None
    if statement != "def :":
        with pytest.raises(ScriptError, match="User's init function failed"):
            apps.script(f"def init():\n    {statement}\ndef run(data): pass")


def test_a_script_that_is_not_there_names_what_is(tmp_path: Path) -> None:
    (tmp_path / "other.py").touch()
    with pytest.raises(ScriptError, match=r"there is no script .*score.py: .* which holds: other.py"):
        loader.load(ServerSettings(app_root=tmp_path, entry_script="score.py"))
    (tmp_path / "score.txt").touch()
    with pytest.raises(ScriptError, match=r"is no Python file"):
        loader.load(ServerSettings(app_root=tmp_path, entry_script="score.txt"))


async def test_the_source_directory_can_be_imported_from(apps: Apps, tmp_path: Path) -> None:
    (tmp_path / "app" / "src").mkdir(parents=True)
    (tmp_path / "app" / "src" / "scoring_helper_of_this_test.py").write_text("WORD = 'there'\n")
    (tmp_path / "app" / "src" / "score.py").write_text(
        "from scoring_helper_of_this_test import WORD\ndef init(): pass\ndef run(data): return WORD\n"
    )
    settings = ServerSettings(app_root=tmp_path / "app", source_directory="src", entry_script="src/score.py")
    script = loader.load(settings)
    sys.modules.pop("scoring_helper_of_this_test")
    assert script.run(data="") == "there"


def test_main_is_the_script_when_none_is_named(apps: Apps, tmp_path: Path) -> None:
    del apps  # restores what loading changes
    assert not loader.present(ServerSettings(app_root=tmp_path))
    (tmp_path / "main.py").write_text("def init(): pass\ndef run(data): return 'main'\n")
    settings = ServerSettings(app_root=tmp_path)
    assert loader.present(settings)
    assert loader.load(settings).run(data="") == "main"


async def test_a_driver_script_hands_over_to_the_real_one(apps: Apps) -> None:
    client = apps.of_script(
        "import types\ndriver_module = types.ModuleType('score')\n"
        "driver_module.run = lambda data: 'the score script'\n"
        "def init(): pass\ndef run(anything): return 'the driver'\n"
    )
    assert (await client.request("POST", "/score", b"x")).json() == "the score script"


RAW = """
from {package} import {rawhttp}
from {responses} import AMLResponse

def init():
    pass

@rawhttp
def run(request):
    if request.method == "POST" and request.mimetype == "multipart/form-data":
        upload = request.files["image"]
        return [upload.filename, len(upload.read()), request.form["note"], len(request.data)]
    if request.method == "POST" and request.is_json:
        return {{"json": request.get_json(), "args": request.args.getlist("a"), "id": request.headers["X-REQUEST-ID"]}}
    if request.method == "POST":
        answers = {{
            b"tea": lambda: AMLResponse("short", 418, {{"X-A": "a, b", "Content-Type": "text/x-tea"}}),
            b"none": lambda: AMLResponse(None, 201),
            b"json": lambda: AMLResponse({{"a": 1}}, 503, json_str=True),
            b"bytes": lambda: AMLResponse(b"\\0\\1", 200),
            b"failed": lambda: AMLResponse("x", 200, run_function_failed=True),
            b"missing": lambda: request.blueprint,
        }}
        return answers[request.get_data(False)]()
    return AMLResponse(request.method + " " + request.full_path, 200)
"""
PACKAGES = {
    "azureml_inference_server_http.api.aml_request": "azureml_inference_server_http.api.aml_response",
    "azureml.contrib.services.aml_request": "azureml.contrib.services.aml_response",
}


def raw_script(package: str = "azureml.contrib.services.aml_request") -> str:
    return RAW.format(package=package, responses=PACKAGES[package], rawhttp="rawhttp, AMLRequest")


@pytest.mark.parametrize("package", PACKAGES)
async def test_raw_requests_by_either_documented_name(apps: Apps, package: str) -> None:
    client = apps.of_script(raw_script(package))
    assert (await client.request("GET", "/score?a=1")).body == b"GET /score?a=1"
    assert (await client.request("OPTIONS", "/score")).body == b"OPTIONS /score?"
    reply = await client.request("POST", "/score", b"tea")
    assert (reply.status, reply.body, reply.headers["content-type"]) == (418, b"short", "text/x-tea")
    assert reply.headers["x-ms-run-function-failed"] == "False"


@pytest.mark.parametrize(
    ("sent", "status", "body", "content_type", "failed"),
    [
        (b"none", 201, b"{}", "application/json", "False"),
        (b"json", 503, b'{"a": 1}', "application/json", "True"),
        (b"bytes", 200, b"\0\1", "text/html; charset=utf-8", "False"),
        (b"failed", 200, b"x", "text/html; charset=utf-8", "True"),
    ],
)
async def test_responses_of_its_own(
    apps: Apps, sent: bytes, status: int, body: bytes, content_type: str, failed: str
) -> None:
    reply = await apps.of_script(raw_script()).request("POST", "/score", sent)
    assert (reply.status, reply.body, reply.headers["content-type"]) == (status, body, content_type)
    assert reply.headers["x-ms-run-function-failed"] == failed
    assert "x-ms-run-fn-exec-ms" in reply.headers


async def test_a_raw_request_has_files_json_and_arguments(apps: Apps) -> None:
    client = apps.of_script(raw_script())
    form = {"content-type": "multipart/form-data; boundary=XX"}
    reply = await client.request("POST", "/score", multipart(b"XX", {"note": b"hi"}, {"image": b"\xff\r\n\0"}), form)
    assert reply.json() == ["image.bin", 4, "hi", 0]
    reply = await client.request(
        "POST", "/score?a=1&a=2", b"[1]", {"content-type": "application/json", "x-request-id": "r"}
    )
    assert reply.json() == {"json": [1], "args": ["1", "2"], "id": "r"}


async def test_what_a_raw_request_has_not_says_so(apps: Apps, caplog: pytest.LogCaptureFixture) -> None:
    reply = await apps.of_script(raw_script()).request("POST", "/score", b"missing")
    assert reply.status == 500
    assert "this request has no 'blueprint'" in caplog.text
    assert "add azureml-inference-server-http to the requirements" in caplog.text


def test_installed_packages_are_never_shadowed(apps: Apps, tmp_path: Path) -> None:
    del apps  # restores what loading changes
    package = tmp_path / "azureml" / "contrib" / "services"
    package.mkdir(parents=True)
    (package / "aml_request.py").write_text("rawhttp = 'the real one'\n")
    sys.path.insert(0, str(tmp_path))
    imports.offer()
    try:
        from azureml.contrib.services.aml_request import rawhttp  # type: ignore[import-not-found]  # written above

        assert rawhttp == "the real one"
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "azureml"]:
            del sys.modules[name]


def test_nothing_is_offered_to_those_who_did_not_load_a_script() -> None:
    with pytest.raises(ModuleNotFoundError):
        __import__("azureml.contrib.services.aml_request")


def multipart(boundary: bytes, fields: dict[str, bytes], files: dict[str, bytes]) -> bytes:
    parts: list[bytes] = []
    for name, content in fields.items():
        parts.append(b'Content-Disposition: form-data; name="%b"\r\n\r\n%b' % (name.encode(), content))
    for name, content in files.items():
        head = b'Content-Disposition: form-data; name="%b"; filename="%b.bin"\r\nContent-Type: image/png'
        parts.append(head % (name.encode(), name.encode()) + b"\r\n\r\n" + content)
    delimiter = b"--" + boundary
    return b"".join(delimiter + b"\r\n" + part + b"\r\n" for part in parts) + delimiter + b"--\r\n"


@UNHURRIED
@given(st.dictionaries(st.sampled_from("abc"), st.binary()), st.dictionaries(st.sampled_from("xyz"), st.binary()))
def test_forms_arrive_byte_for_byte(fields: dict[str, bytes], files: dict[str, bytes]) -> None:
    boundary = b"----boundary-that-no-content-has-5b1f"
    body = multipart(boundary, fields, files)
    form, uploads = parse_multipart(f'multipart/form-data; boundary="{boundary.decode()}"', body)
    assert form.to_dict() == {name: content.decode("utf-8", "replace") for name, content in fields.items()}
    assert {name: upload.getvalue() for name, upload in uploads.items()} == files
    assert all(upload.mimetype == "image/png" for _, upload in uploads.items())


@UNHURRIED
@given(st.text(), st.binary())
def test_what_is_no_form_has_no_fields(content_type: str, body: bytes) -> None:
    form, uploads = parse_multipart("multipart/form-data" + content_type, body)
    assert len(form) + len(uploads) >= 0


def test_values_that_repeat() -> None:
    values: Values[str] = Values([("a", "1"), ("B", "2"), ("a", "3")])
    assert (values["a"], values.getlist("a"), values.keys(), len(values)) == ("1", ["1", "3"], ["a", "B"], 2)
    assert ("b" in values, values.get("b"), values.get("b", "x"), list(values)) == (False, None, "x", ["a", "B"])
    values.ignore_case()
    assert values["b"] == "2"
    with pytest.raises(KeyError):
        values["c"]


class TestModelPath:
    """``Model.get_model_path`` of scripts of 2018."""

    @pytest.fixture
    def several(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        for name, version in (("digits", 2), ("digits", 10), ("words", 1)):
            folder = tmp_path / "azureml-models" / name / str(version)
            folder.mkdir(parents=True)
            (folder / f"{name}.onnx").touch()
        monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path / "azureml-models"))
        return tmp_path / "azureml-models"

    def test_the_highest_version_or_the_one_asked_for(self, several: Path) -> None:
        assert Model.get_model_path("digits") == str(several / "digits" / "10" / "digits.onnx")
        assert Model.get_model_path("digits", version=2) == str(several / "digits" / "2" / "digits.onnx")

    def test_a_folder_with_several_files_is_the_model(self, several: Path) -> None:
        (several / "words" / "1" / "vocabulary.txt").touch()
        assert Model.get_model_path("words") == str(several / "words" / "1")

    def test_one_model(self, several: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZUREML_MODEL_DIR", str(several / "digits" / "2"))
        assert Model.get_model_path("digits") == str(several / "digits" / "2" / "digits.onnx")
        with pytest.raises(FileNotFoundError, match=r"no model 'words' in .*; there is: digits.onnx"):
            Model.get_model_path("words")

    def test_what_is_not_there(self, several: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(FileNotFoundError, match=r"no model 'digits:3' in .*; there is: digits, words"):
            Model.get_model_path("digits", 3)
        monkeypatch.delenv("AZUREML_MODEL_DIR")
        with pytest.raises(FileNotFoundError, match="AZUREML_MODEL_DIR is not set"):
            Model.get_model_path("digits")

    async def test_a_script_imports_it_by_its_documented_name(self, apps: Apps, several: Path) -> None:
        client = apps.of_script(
            "from azureml.core.model import Model\n"
            "def init():\n    global path\n    path = Model.get_model_path(model_name='digits')\n"
            "def run(data): return path\n"
        )
        reply = await client.request("POST", "/score", b"x")
        assert reply.json() == str(several / "digits" / "10" / "digits.onnx")


async def test_schemas_of_inference_schema(apps: Apps) -> None:
    pytest.importorskip(
        "inference_schema", reason="inference-schema is not installed: it is a dependency of scripts, not ours"
    )
    client = apps.of_script(
        "import numpy as np\n"
        "from inference_schema.schema_decorators import input_schema, output_schema\n"
        "from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType\n"
        "def init(): pass\n"
        "@input_schema('data', NumpyParameterType(np.array([[1.0, 2.0, 3.0]])))\n"
        "@output_schema(NumpyParameterType(np.array([1.0])))\n"
        "def run(data): return data.sum(axis=1).tolist()\n"
    )
    json_type = {"content-type": "application/json"}
    assert (await client.score({"data": [[1, 2, 3]]})).json() == [6]
    expected = {
        (b"x", ""): (415, "Expects Content-Type to be application/json"),
        (b"", "application/json"): (400, "POST body is empty. Expecting a JSON dictionary."),
        (b"[]", "application/json"): (400, "POST body should be a JSON dictionary."),
        (b"{}", "application/json"): (400, "A value is not provided for the 'data' parameter."),
    }
    for (body, kind), answer in expected.items():
        reply = await client.request("POST", "/score", body, {"content-type": kind} if kind else {})
        assert (reply.status, reply.message) == answer
    wrong = await client.request("POST", "/score", b'{"data": [[1]]}', json_type)
    assert wrong.status == 500
    document = cast("JsonObject", (await client.request("GET", "/swagger.json")).json())
    service_input = cast("dict[str, JsonObject]", document["definitions"])["ServiceInput"]
    assert service_input["example"] == {"data": [[1.0, 2.0, 3.0]]}
