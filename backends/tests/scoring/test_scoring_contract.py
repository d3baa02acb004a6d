"""Routes, statuses, bodies and headers of azureml-semantics 6.2 to 6.4, as seen on azureml-inference-server-http."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from windtunnel_scoring.app import AppOptions
from windtunnel_scoring.cors import Cors
from windtunnel_scoring.errors import SettingError

if TYPE_CHECKING:
    from tests.scoring.conftest import Apps, Client

NOT_FOUND = (
    "The requested URL was not found on the server."
    " If you entered the URL manually please check your spelling and try again."
)
NOT_ALLOWED = "The method is not allowed for the requested URL."
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
JSON = {"content-type": "application/json"}

SCRIPT = """
import json

def init():
    pass

def run(data, request_headers):
    if data == "boom":
        raise ValueError("kaputt <b>")
    if data == "exit":
        raise SystemExit(0)
    given = {"object": object(), "set": {1}, "none": None, "nan": float("nan"), "text": "h\\u00e9",
             "headers": request_headers}
    return given[data] if data in given else {"got": data}
"""


@pytest.fixture
def client(apps: Apps) -> Client:
    return apps.of_script(SCRIPT)


async def test_health(client: Client) -> None:
    reply = await client.request("GET", "/")
    assert (reply.status, reply.body) == (200, b"Healthy")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert GUID.fullmatch(reply.headers["x-request-id"])
    assert reply.headers["x-ms-request-id"] == reply.headers["x-request-id"]
    assert "x-ms-run-function-failed" not in reply.headers
    assert client.records == [], "probes are not logged"


async def test_head_of_health_has_the_length_and_no_body(client: Client) -> None:
    reply = await client.request("HEAD", "/")
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", "7")


@pytest.mark.parametrize("path", ["/nothing", "/score/", "/scores", "/swagger", "/v2/models/x:predict"])
async def test_unknown_paths(client: Client, path: str) -> None:
    reply = await client.request("GET", path)
    assert (reply.status, reply.message) == (404, NOT_FOUND)
    assert reply.headers["x-ms-run-function-failed"] == "False"
    assert "x-request-id" not in reply.headers


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/"), ("DELETE", "/"), ("POST", "/swagger.json"), ("PUT", "/score"), ("DELETE", "/score")],
)
async def test_methods_that_a_path_has_not(client: Client, method: str, path: str) -> None:
    reply = await client.request(method, path, b"x")
    assert (reply.status, reply.message) == (405, NOT_ALLOWED)
    assert "x-request-id" not in reply.headers


async def test_head_of_score_is_refused_with_ids(client: Client) -> None:
    reply = await client.request("HEAD", "/score")
    assert (reply.status, reply.headers["content-length"]) == (405, "33")
    assert "x-request-id" in reply.headers


@pytest.mark.parametrize("path", ["/", "/swagger.json"])
async def test_options_of_what_is_read(client: Client, path: str) -> None:
    reply = await client.request("OPTIONS", path)
    assert (reply.status, reply.body, reply.headers["allow"]) == (200, b"", "GET, HEAD, OPTIONS")


async def test_options_of_score_is_empty_and_does_not_reach_the_script(client: Client) -> None:
    reply = await client.request("OPTIONS", "/score")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["x-ms-run-function-failed"] == "False"
    assert "x-ms-run-fn-exec-ms" not in reply.headers


async def test_a_doubled_slash_is_one(client: Client) -> None:
    assert (await client.request("POST", "//score", b"x")).json() == {"got": "x"}


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "image/png", ""])
async def test_the_content_type_is_not_checked(client: Client, content_type: str) -> None:
    headers = {"content-type": content_type} if content_type else {}
    reply = await client.request("POST", "/score", b'{"data": [1]}', headers)
    assert (reply.status, reply.json()) == (200, {"got": '{"data": [1]}'})
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-ms-run-function-failed"] == "False"
    assert re.fullmatch(r"\d+\.\d{3}", reply.headers["x-ms-run-fn-exec-ms"])


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded; charset=utf-8", "multipart/form-data"],
)
async def test_a_form_arrives_empty(client: Client, content_type: str) -> None:
    reply = await client.request("POST", "/score", b"a=1", {"content-type": content_type})
    assert reply.json() == {"got": ""}


async def test_an_empty_body_is_empty_text(client: Client) -> None:
    assert (await client.request("POST", "/score", b"", JSON)).json() == {"got": ""}


async def test_a_body_that_is_no_utf_8(client: Client) -> None:
    reply = await client.request("POST", "/score", b"\xff\xfe")
    assert reply.status == 400
    assert reply.message.startswith("Input cannot be decoded as UTF-8: 'utf-8' codec can't decode byte 0xff")


@pytest.mark.parametrize(
    ("query", "got"),
    [
        ("", "{}"),
        ("a=1&b=[1,2]&c=x&d=null", '{"a": 1, "b": [1, 2], "c": "x", "d": null}'),
        ("c=x&c=3&e", '{"c": ["x", 3], "e": ""}'),
        ("f=%F0%9F%98%80+x", '{"f": "\\ud83d\\ude00 x"}'),
        ("deep=" + "[" * 5000, '{"deep": "' + "[" * 5000 + '"}'),
    ],
)
async def test_get_reads_values_out_of_the_query(client: Client, query: str, got: str) -> None:
    assert (await client.request("GET", f"/score?{query}")).json() == {"got": got}


@pytest.mark.parametrize(
    ("body", "answer"), [(b"none", b"{}"), (b"nan", b"NaN"), (b"text", b'"h\\u00e9"'), (b"x", b'{"got": "x"}')]
)
async def test_what_run_returns_is_written_as_json(client: Client, body: bytes, answer: bytes) -> None:
    reply = await client.request("POST", "/score", body)
    assert (reply.status, reply.body) == (200, answer)


async def test_run_gets_the_headers(client: Client) -> None:
    reply = await client.request("POST", "/score", b"headers", {"x-my-header": "1", "content-type": "text/plain"})
    assert reply.json() == {"X-My-Header": "1", "Content-Type": "text/plain", "Content-Length": "7"}


@pytest.mark.parametrize("body", [b"boom", b"exit"])
async def test_what_run_raises_is_logged_and_not_answered(
    client: Client, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    reply = await client.request("POST", "/score", body)
    assert reply.status == 500
    assert reply.message == "An unexpected error occurred in scoring script. Check the logs for more info."
    assert reply.headers["x-ms-run-function-failed"] == "True"
    assert "x-ms-run-fn-exec-ms" not in reply.headers
    assert "score.py" in caplog.text, "the log says where"


async def test_legacy_errors_answer_as_in_2018(apps: Apps) -> None:
    client = apps.of_script(SCRIPT, options=AppOptions(legacy_errors=True))
    reply = await client.request("POST", "/score", b"boom")
    assert (reply.status, reply.body) == (502, b"kaputt <b>")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["x-ms-run-function-failed"] == "True"


@pytest.mark.parametrize("body", [b"object", b"set"])
async def test_a_result_that_is_no_json(client: Client, body: bytes) -> None:
    reply = await client.request("POST", "/score", body)
    assert reply.status == 500
    assert reply.message == "An unexpected internal error occurred. Check the logs for more info."
    assert reply.headers["x-ms-run-function-failed"] == "False"


LONG = "a" * 101


@pytest.mark.parametrize("path", ["/", "/score", "/swagger.json"])
async def test_a_request_id_that_is_too_long(client: Client, path: str) -> None:
    reply = await client.request("GET", path, headers={"x-request-id": LONG, "x-ms-client-request-id": "c"})
    assert (reply.status, reply.message) == (431, "x-request-id must not exceed 100 characters")
    assert not {"x-request-id", "x-ms-request-id", "x-ms-client-request-id"} & set(reply.headers)


@pytest.mark.parametrize("name", ["x-ms-request-id", "x-ms-client-request-id"])
async def test_a_client_id_that_is_too_long(client: Client, name: str) -> None:
    reply = await client.request("POST", "/score", b"x", {name: LONG})
    assert reply.status == 431
    assert reply.message == "x-ms-request-id and x-ms-client-request-id must not exceed 100 characters"
    assert GUID.fullmatch(reply.headers["x-request-id"])
    assert "x-ms-request-id" not in reply.headers


@pytest.mark.parametrize(
    ("sent", "request_id", "legacy", "client_id"),
    [
        ({}, None, None, ""),
        ({"x-request-id": "r"}, "r", "r", ""),
        ({"x-ms-client-request-id": "c"}, None, "c", "c"),
        ({"x-ms-request-id": "l"}, None, "l", "l"),
        ({"x-request-id": "r", "x-ms-request-id": "l", "x-ms-client-request-id": "c"}, "r", "l", "c"),
        ({"x-request-id": "a" * 100}, "a" * 100, "a" * 100, ""),
        ({"x-request-id": ""}, "", "", ""),
    ],
)
async def test_ids(
    client: Client, sent: dict[str, str], request_id: str | None, legacy: str | None, client_id: str
) -> None:
    """None is a new id."""
    reply = await client.request("POST", "/score", b"x", sent)
    got = reply.headers.get("x-request-id", "")
    assert GUID.fullmatch(got) if request_id is None else got == request_id
    assert reply.headers.get("x-ms-request-id", "") == (got if legacy is None else legacy)
    assert reply.headers.get("x-ms-client-request-id", "") == client_id


async def test_trace_id_is_echoed(client: Client) -> None:
    assert (await client.request("GET", "/", headers={"TraceId": "t"})).headers["traceid"] == "t"


async def test_the_version_is_sent_unless_it_is_turned_off(apps: Apps) -> None:
    assert (await apps.of_script(SCRIPT).request("GET", "/")).headers["x-ms-server-version"].startswith("windtunnel/")
    silent = apps.of_script(SCRIPT, options=AppOptions(send_version=False))
    assert "x-ms-server-version" not in (await silent.request("GET", "/")).headers


async def test_a_line_is_recorded_without_query_and_payload(client: Client) -> None:
    await client.request(
        "GET", "/score?secret=42", headers={"x-request-id": "r\x1b[31m x", "x-ms-client-request-id": "c"}
    )
    (record,) = client.records
    assert re.fullmatch(r"GET /score 200 \d+\.\d{3}ms 27 request-id='r\\x1b\[31m x' client-request-id=c", record.line())
    assert "42" not in record.line()


async def test_a_header_cannot_be_split(client: Client) -> None:
    reply = await client.request("GET", "/", headers={"TraceId": "a\r\nSet-Cookie: b"})
    assert "\n" not in reply.headers["traceid"]


class TestCors:
    """As flask-cors answers for the documented server."""

    @pytest.fixture
    def client(self, apps: Apps) -> Client:
        cors = Cors("http://b.com, http://a.com, https://.*\\.contoso\\.com")
        return apps.of_script(SCRIPT, options=AppOptions(cors=cors))

    @pytest.mark.parametrize("origin", ["http://a.com", "http://b.com", "HTTP://A.com", "https://x.contoso.com"])
    async def test_an_allowed_origin(self, client: Client, origin: str) -> None:
        reply = await client.request("POST", "/score", b"x", {"origin": origin})
        assert reply.headers["access-control-allow-origin"] == origin
        assert reply.headers["vary"] == "Origin"
        assert "access-control-allow-methods" not in reply.headers

    @pytest.mark.parametrize("origin", ["http://evil.com", "http://a.com.evil.com", "null"])
    async def test_another_origin(self, client: Client, origin: str) -> None:
        reply = await client.request("POST", "/score", b"x", {"origin": origin})
        assert reply.status == 200
        assert not [name for name in reply.headers if name.startswith("access-control")]

    async def test_no_origin(self, client: Client) -> None:
        reply = await client.request("POST", "/score", b"x")
        assert reply.headers["access-control-allow-origin"] == "http://a.com"

    async def test_a_preflight(self, client: Client) -> None:
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "x-b, authorization"}
        reply = await client.request("OPTIONS", "/score", headers={"origin": "http://a.com", **asked})
        assert reply.headers["access-control-allow-methods"] == "GET, POST"
        assert reply.headers["access-control-allow-headers"] == "authorization, x-b"

    async def test_unknown_paths_have_none(self, client: Client) -> None:
        reply = await client.request("GET", "/zzz", headers={"origin": "http://a.com"})
        assert "access-control-allow-origin" not in reply.headers

    async def test_every_origin(self, apps: Apps) -> None:
        client = apps.of_script(SCRIPT, options=AppOptions(cors=Cors("*")))
        with_origin = await client.request("GET", "/", headers={"origin": "http://z.com"})
        assert with_origin.headers["access-control-allow-origin"] == "http://z.com"
        assert (await client.request("GET", "/")).headers["access-control-allow-origin"] == "*"

    def test_an_entry_that_is_no_expression(self) -> None:
        with pytest.raises(SettingError, match=r"AML_CORS_ORIGINS is 'http://\(a'"):
            Cors("http://(a")
