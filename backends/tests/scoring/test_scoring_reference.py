"""The same requests to this server and to azureml-inference-server-http itself: the answers must not differ.

The real server is not a dependency. ``WINDTUNNEL_AZMLINFSRV`` names the Python of an environment that has it::

    python -m venv azml && azml/bin/pip install azureml-inference-server-http uvicorn httptools numpy
    WINDTUNNEL_AZMLINFSRV=azml/bin/python pytest backends/tests/scoring/test_scoring_reference.py

What may differ: the wording of swagger.json, the server's version, and what is different each time.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHON = os.environ.get("WINDTUNNEL_AZMLINFSRV", "")
ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0
pytestmark = pytest.mark.skipif(
    not PYTHON, reason="WINDTUNNEL_AZMLINFSRV does not name a Python with azureml-inference-server-http"
)

Case: TypeAlias = "tuple[str, str, bytes, dict[str, str]]"
Answer: TypeAlias = "tuple[int, dict[str, str], bytes]"
LONG = "a" * 101
JSON = {"Content-Type": "application/json"}

PLAIN = """
def init():
    pass

def run(data, request_headers):
    if data == "boom":
        raise ValueError("x")
    return {"object": object(), "set": {1}, "none": None, "nan": float("nan"), "text": "h\\u00e9",
            "headers": sorted(request_headers)}.get(data, {"got": data})
"""
SCHEMA = """
import numpy as np
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType

def init():
    pass

@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0, 3.0]])))
@input_schema("method", StandardPythonParameterType("predict"))
@output_schema(NumpyParameterType(np.array([1.0])))
def run(data, method="predict"):
    return {"shape": list(data.shape), "method": method}
"""
RAW = """
from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

def init():
    pass

@rawhttp
def run(request):
    if request.method != "POST":
        return AMLResponse(request.method + " " + request.full_path + str(dict(request.args)), 200)
    data = request.get_data(False)
    if data == b"tea":
        return AMLResponse("short", 418, {"X-A": "a, b", "Content-Type": "text/x-tea"})
    if data == b"none":
        return AMLResponse(None, 201)
    if data == b"json":
        return AMLResponse({"a": 1}, 503, json_str=True)
    return AMLResponse(data, 200)
"""


def common() -> list[Case]:
    cases: list[Case] = [
        (method, path, b"", {})
        for method in ("GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE")
        for path in ("/", "/score", "/swagger.json?version=9", "/nothing", "/score/", "//score")
    ]
    for name in ("x-request-id", "x-ms-request-id", "x-ms-client-request-id"):
        cases += [("GET", path, b"", {name: value}) for path in ("/", "/score") for value in (LONG, "mine", "")]
    cases.append(
        ("GET", "/", b"", {"x-request-id": "a", "x-ms-request-id": "b", "x-ms-client-request-id": "c", "TraceId": "t"})
    )
    cases += [("GET", f"/swagger.json?version={version}", b"", {}) for version in ("", "2.1", "x")]
    cases += [("GET", f"/score?{query}", b"", {}) for query in ("a=1&b=[1,2]&c=x&c=3&d=null&e", "data=[[1,2,3]]")]
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-b, x-a"}
    cases += [
        ("OPTIONS", "/score", b"", {"Origin": origin, **preflight}) for origin in ("http://a.com", "http://z.com")
    ]
    cases += [("GET", path, b"", {"Origin": "http://B.com"}) for path in ("/", "/zzz")]
    return cases


PLAIN_CASES: list[Case] = [
    *(
        ("POST", "/score", body, {"Content-Type": "text/plain"})
        for body in (b"x", b"boom", b"object", b"set", b"none", b"nan", b"text", b"headers", b"\xff", b'{"data": 1}')
    ),
    *(
        ("POST", "/score", b"a=1", {"Content-Type": kind})
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "image/png")
    ),
]
SCHEMA_CASES: list[Case] = [
    *(
        ("POST", "/score", body, JSON)
        for body in (
            b'{"data": [[1, 2, 3]]}',
            b'{"data": [[1, 2, 3]], "method": 3}',
            b'{"data": [[1, 2]]}',
            b'{"data": [[1, 2, 3]], "more": 1}',
            b'{"data":',
            b"",
            b"[]",
            b"{}",
        )
    ),
    ("POST", "/score", b"{}", {"Content-Type": "text/plain"}),
    ("POST", "/score", b"{}", {"Content-Type": "application/vnd.x+json; charset=utf-8"}),
]
RAW_CASES: list[Case] = [("POST", "/score", body, {}) for body in (b"tea", b"none", b"json", b"\0\1", b"x" * 100_000)]


@pytest.fixture
def ports(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """The real server's port and ours, both with the script of the test."""
    (tmp_path / "score.py").write_text(request.param)
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AML_APP_ROOT": str(tmp_path)}
    variables |= {"AML_CORS_ORIGINS": "http://b.com, http://a.com", "SERVICE_PATH_PREFIX": "/pre"}
    real, ours = free_port(), free_port()
    own = {"PYTHONPATH": str(ROOT), "WINDTUNNEL_ADDRESS": "127.0.0.1", "WINDTUNNEL_PORT": str(ours)}
    command = ["-m", "azureml_inference_server_http", "--entry_script", "score.py", "--port", str(real)]
    started = [
        subprocess.Popen([PYTHON, *command], env=variables, cwd=tmp_path, start_new_session=True),
        subprocess.Popen(
            [PYTHON, "-m", "windtunnel_scoring"],
            env={**variables, **own, "AZUREML_ENTRY_SCRIPT": "score.py"},
            cwd=tmp_path,
            start_new_session=True,
        ),
    ]
    try:
        for process, port in zip(started, (real, ours), strict=True):
            wait_for(process, port)
        yield real, ours
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
            process.wait(DEADLINE_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    ends, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while time.monotonic() < ends:
        assert process.poll() is None, f"ended with {process.returncode}"
        try:
            ask(port, ("GET", "/", b"", {}))
        except OSError:
            pause.wait(0.05)
        else:
            return
    pytest.fail("not ready in time")


def ask(port: int, case: Case) -> Answer:
    """The answer, without what differs each time."""
    method, target, body, headers = case
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.putrequest(method, target)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body or method in ("POST", "PUT"):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    kept: dict[str, str] = {}
    for name, value in answer.getheaders():
        key = name.lower()
        if key in ("date", "server", "connection"):
            continue
        value = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "GUID", value)
        value = re.sub(r"(azmlinfsrv|windtunnel)/[\d.]+", "VERSION", value)
        if key == "x-ms-run-fn-exec-ms":
            value = "TIME"
        if key == "allow":
            value = ", ".join(sorted(value.split(", ")))
        kept[key] = f"{kept[key]} | {value}" if key in kept else value
    return answer.status, kept, content


def compare(ports: tuple[int, int], cases: list[Case]) -> None:
    different: list[tuple[Case, Answer, Answer]] = []
    for case in cases:
        real, ours = (ask(port, case) for port in ports)
        if real != ours:
            different.append((case, real, ours))
    assert different == []


@pytest.mark.parametrize("ports", [PLAIN], indirect=True)
def test_a_plain_script(ports: tuple[int, int]) -> None:
    compare(ports, [*common(), *PLAIN_CASES])


@pytest.mark.parametrize("ports", [SCHEMA], indirect=True)
def test_a_script_with_schemas(ports: tuple[int, int]) -> None:
    compare(ports, [*common(), *SCHEMA_CASES])


@pytest.mark.parametrize("ports", [RAW], indirect=True)
def test_a_script_with_raw_requests(ports: tuple[int, int]) -> None:
    compare(ports, [*common(), *RAW_CASES])


@pytest.mark.parametrize("ports", [SCHEMA], indirect=True)
@pytest.mark.parametrize("version", ["2", "3", "3.1"])
def test_descriptions_have_the_same_parts(ports: tuple[int, int], version: str) -> None:
    """Names and schemas, not the wording."""

    def parts(value: object, path: str = "") -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for key, inner in cast("dict[str, object]", value).items():
                if key not in ("description", "examples", "example", "parameters", "content", "schema", "security"):
                    yield from parts(inner, f"{path}/{key}")
        else:
            yield path, str(value)

    documents = [json.loads(ask(port, ("GET", f"/swagger.json?version={version}", b"", {}))[2]) for port in ports]
    real, ours = (dict(parts(document)) for document in documents)
    assert ours == real
