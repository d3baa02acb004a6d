"""The control API: who may use it, what it does, and its page that needs no network."""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.arm.journal import StoredOperation
from windtunnel_emulators.clock import ManualClock, Pace
from windtunnel_emulators.control.app import Controls, app
from windtunnel_emulators.faults import Faults
from windtunnel_emulators.logtail import LogTail
from windtunnel_emulators.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.access.conftest import Client, Reply
    from windtunnel_emulators.identity.directory import Directory
    from windtunnel_emulators.identity.tokens import Tokens

BASE = "https://localhost:4580"
BASIC = "Basic " + base64.b64encode(b"aaaaaaaa-2222-3333-4444-555555555555:s3cret~value").decode()


class RuntimeStub:
    """The two things that the control API asks of a runtime."""

    name = "process"

    def limits(self) -> Mapping[str, str]:
        return {"memory": "enforced by RLIMIT_AS", "cpu": "not enforced: no cgroup may be made"}


class Host:
    """What a host would do, noted."""

    def __init__(self) -> None:
        self.resets = 0
        self.asked: list[int] = []
        self.stored = [
            StoredOperation(
                id=f"operation-{number}",
                target="/g/c",
                target_id="/G/C",
                type="T",
                verb="create",
                location="eastus",
                api_version="2023-05-01",
                status="Failed" if number else "InProgress",
                started=datetime(2026, 1, 1, tzinfo=UTC),
                error={"code": "InaccessibleImage", "message": "The image is not accessible."} if number else None,
            )
            for number in range(2)
        ]

    async def reset(self) -> None:
        self.resets += 1

    def operations(self, limit: int) -> Sequence[StoredOperation]:
        self.asked.append(limit)
        return self.stored[:limit]


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def log() -> LogTail:
    return LogTail(kept=3)


@pytest.fixture
def control(
    client_of: Callable[..., Client],
    directory: Directory,
    tokens: Tokens,
    clock: ManualClock,
    host: Host,
    faults: Faults,
    log: LogTail,
) -> Client:
    absent = {field.name: None for field in dataclasses.fields(World)}
    given: dict[str, Any] = {
        **absent,
        "clock": clock,
        "pace": Pace.parse("10"),
        "runtime": RuntimeStub(),
        "tokens": tokens,
    }
    return client_of(
        app(
            Controls(
                world=World(**given),
                directory=directory,
                faults=faults,
                log=log,
                health=lambda: {"status": "ok", "version": "1.2.3", "pid": 7},
                started=0.0,
                operations=host.operations,
                reset=host.reset,
                sign_out=lambda: 4,
            )
        )
    )


async def get(control: Client, path: str) -> Reply:
    return await control.get(f"/_windtunnel{path}", authorization=BASIC)


async def send(control: Client, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
    given = {"authorization": BASIC, "content-type": "application/json"} | headers
    return await control.request(method, f"/_windtunnel{path}", headers=given, body=body)


CALLS = [
    ("GET", "/clock"),
    ("GET", "/edge"),
    ("GET", "/runtime"),
    ("GET", "/operations"),
    ("GET", "/logs"),
    ("GET", "/faults"),
    ("POST", "/faults"),
    ("DELETE", "/faults"),
    ("DELETE", "/sessions"),
    ("POST", "/reset"),
]
CLOSED = [
    *CALLS,
    ("DELETE", "/faults/1"),
    ("POST", "/health"),
    ("GET", "/nothing"),
    ("GET", "/docs/x"),
    ("GET", "//health/../faults"),
]


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


@pytest.mark.parametrize(
    "authorization",
    [
        "(none)",
        "Basic",
        "Basic !",
        basic("aaaaaaaa-2222-3333-4444-555555555555", "x"),
        basic("other", "s3cret~value"),
        "Bearer x",
        "Bearer",
    ],
)
async def test_nothing_is_told_or_done_without_the_applications_credentials(
    control: Client, host: Host, authorization: str
) -> None:
    for method, path in CLOSED:
        reply = await send(control, method, path, b'{"confirm": true}', authorization=authorization)
        assert (reply.status, reply.json["error"]["code"]) == (401, "Unauthorized")
        assert reply.headers["www-authenticate"].startswith("Bearer ")
        assert "AZURE_CLIENT_SECRET" in reply.json["error"]["message"]
    assert host.resets == 0


async def test_a_bearer_token_of_the_application_will_do_and_no_other(
    control: Client, tokens: Tokens, directory: Directory
) -> None:
    async def clock_for(token: str) -> int:
        return (await control.get("/_windtunnel/clock", authorization=f"Bearer {token}")).status

    assert await clock_for(tokens.issue(directory.application, f"{BASE}/")) == 200
    assert await clock_for(tokens.issue(directory.application, "https://graph.microsoft.com")) == 401
    assert await clock_for(tokens.issue(directory.managed_identity, f"{BASE}/")) == 403
    assert await clock_for(tokens.issue(directory.person, f"{BASE}/")) == 403


@pytest.mark.parametrize("path", ["/health", "/docs", "/openapi.json", "", "/"])
async def test_health_and_the_page_are_open(control: Client, path: str) -> None:
    reply = await control.get(f"/_windtunnel{path}")
    assert reply.status in (200, 307)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "rebound.example:4580"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"host": "rebound.example:4580", "origin": "https://rebound.example:4580"},
    ],
)
async def test_pages_of_the_web_are_refused_even_with_credentials(
    control: Client, host: Host, headers: dict[str, str]
) -> None:
    for method, path in (("GET", "/health"), ("GET", "/clock"), ("POST", "/reset")):
        reply = await send(control, method, path, b'{"confirm": true}', **headers)
        assert (reply.status, reply.json["error"]["code"]) == (403, "ForeignSite")
    assert host.resets == 0


async def test_our_own_page_is_not_refused(control: Client) -> None:
    own = {"origin": BASE, "sec-fetch-site": "same-origin"}
    assert (await send(control, "GET", "/clock", b"", **own)).status == 200


async def test_state(control: Client, clock: ManualClock) -> None:
    await clock.advance(12.5)
    assert (await get(control, "/health")).json == {"status": "ok", "version": "1.2.3", "pid": 7}
    assert (await get(control, "/clock")).json == {
        "now": "2026-01-01T00:00:12.500000Z",
        "uptimeSeconds": 12.5,
        "pace": {"name": "10", "factor": 10.0},
    }
    runtime = (await get(control, "/runtime")).json
    assert runtime["name"] == "process"
    assert runtime["limits"]["cpu"].startswith("not enforced")


async def test_operations(control: Client, host: Host) -> None:
    value = (await get(control, "/operations?limit=5")).json["value"]
    assert host.asked == [5]
    assert [(one["id"], one["target"], one["status"], one["errorCode"]) for one in value] == [
        ("operation-0", "/G/C", "InProgress", None),
        ("operation-1", "/G/C", "Failed", "InaccessibleImage"),
    ]
    for limit in ("0", "1001", "many"):
        reply = await get(control, f"/operations?limit={limit}")
        assert (reply.status, reply.json["error"]["code"]) == (400, "InvalidRequestContent")
        assert "limit" in reply.json["error"]["message"]


async def test_the_logs_tail_is_bounded_and_formatted_when_asked(control: Client, log: LogTail) -> None:
    log.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    for number in range(5):
        log.emit(logging.LogRecord("x", logging.INFO, "", 0, "line %d", (number,), None))
    assert (await get(control, "/logs")).json == {"lines": ["INFO line 2", "INFO line 3", "INFO line 4"]}
    assert (await get(control, "/logs?lines=1")).json == {"lines": ["INFO line 4"]}


async def test_fault_rules_come_and_go(control: Client, faults: Faults) -> None:
    reply = await send(control, "POST", "/faults", b'{"path": "/groups", "status": 503, "times": 1, "delayMs": 5}')
    assert reply.status == 201
    rule = reply.json
    assert (rule["id"], rule["used"], rule["status"], rule["delayMs"]) == ("1", 0, 503, 5)
    struck = faults.match("GET", "/GROUPS/g")
    assert struck is not None
    assert (struck.status, struck.delay_ms) == (503, 5)
    assert [one["used"] for one in (await get(control, "/faults")).json["value"]] == [1]
    assert (await send(control, "DELETE", "/faults/1")).json == {"count": 1}
    missing = await send(control, "DELETE", "/faults/1")
    assert (missing.status, missing.json["error"]["message"]) == (404, "There is no fault rule '1'.")
    await send(control, "POST", "/faults", b'{"abort": true}')
    assert (await send(control, "DELETE", "/faults")).json == {"count": 1}
    assert faults.match("GET", "/") is None


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        (b'{"status": 503', "InvalidRequestContent", "JSON"),
        (b"", "InvalidRequestContent", "the body"),
        (b"[]", "InvalidRequestContent", "the body"),
        (b'{"status": "x"}', "InvalidRequestContent", "status"),
        (b'{"stauts": 503}', "InvalidRequestContent", "stauts"),
        (b'{"status": 200}', "InvalidFault", "status 200"),
        (b'{"status": 500, "path": "("}', "InvalidFault", "path '('"),
        (b"{}", "InvalidFault", "nothing is to go wrong"),
        (b'{"status": 1e400}', "InvalidRequestContent", "status"),
        (b"\xff", "InvalidRequestContent", ""),
    ],
)
async def test_orders_that_will_not_do_are_refused_by_name(
    control: Client, faults: Faults, body: bytes, code: str, named: str
) -> None:
    reply = await send(control, "POST", "/faults", body)
    assert (reply.status, reply.json["error"]["code"]) == (400, code)
    assert named in reply.json["error"]["message"]
    assert faults.rules() == []


async def test_a_large_body_is_refused(control: Client) -> None:
    reply = await send(control, "POST", "/faults", b" " * 70_000)
    assert (reply.status, reply.json["error"]["code"]) == (413, "RequestEntityTooLarge")


async def test_a_reset_must_be_meant(control: Client, host: Host, faults: Faults) -> None:
    await send(control, "POST", "/faults", b'{"abort": true}')
    for body in (b"", b"{}", b'{"confirm": false}', b'{"confirm": "yes"}'):
        reply = await send(control, "POST", "/reset", body)
        assert (reply.status, "confirm" in reply.json["error"]["message"] or not body) == (400, True)
    assert host.resets == 0
    assert len(faults.rules()) == 1
    assert (await send(control, "POST", "/reset", b'{"confirm": true}')).json == {"reset": True}
    assert host.resets == 1
    assert faults.rules() == []


async def test_signing_everybody_out(control: Client) -> None:
    assert (await send(control, "DELETE", "/sessions")).json == {"count": 4}


async def test_unknown_calls_are_refused_in_the_same_shape(control: Client) -> None:
    nothing, wrong = await get(control, "/nothing"), await send(control, "PUT", "/faults")
    assert (nothing.status, nothing.json["error"]["code"]) == (404, "NotFound")
    assert (wrong.status, wrong.json["error"]["code"]) == (405, "MethodNotAllowed")
    assert "/_windtunnel/docs" in nothing.json["error"]["message"]


async def test_the_document_says_what_is_answered(control: Client) -> None:
    document = (await control.get("/_windtunnel/openapi.json")).json
    assert document["info"]["title"] == "Windtunnel emulators: control API"
    calls = {
        (verb.upper(), path.removeprefix("/_windtunnel")) for path, verbs in document["paths"].items() for verb in verbs
    }
    assert calls == {*CALLS, ("DELETE", "/faults/{id}"), ("GET", "/health")}
    for path, verbs in document["paths"].items():
        for operation in verbs.values():
            assert "422" not in operation["responses"]
            assert bool(operation.get("security")) == (path != "/_windtunnel/health")
            assert operation["description"]


async def test_the_page_shows_every_call_and_loads_nothing(control: Client) -> None:
    page = await control.get("/_windtunnel/docs")
    document = (await control.get("/_windtunnel/openapi.json")).json
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    for loads in ("http://", "https://", "src=", "@import", "url("):
        assert loads not in page.text
    for path in document["paths"]:
        assert f'data-path="{path}"' in page.text
    assert (await control.request("HEAD", "/_windtunnel/docs", headers={})).status == 200
    root = await control.get("/_windtunnel")
    assert (root.status, root.headers["location"]) == (307, "/_windtunnel/docs")


NAMES = ("path", "method", "status", "delayMs", "abort", "times", "probability", "seed", "confirm", "x")
FIELD = st.sampled_from(NAMES)
VALUE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(body=st.binary() | st.dictionaries(FIELD, VALUE), path=st.sampled_from(["/faults", "/reset"]))
async def test_no_body_breaks_it(control: Client, body: bytes | dict[str, Any], path: str) -> None:
    reply = await send(control, "POST", path, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert reply.status in (200, 201, 400)
    if reply.status == 400:
        assert reply.json["error"]["code"] in ("InvalidRequestContent", "InvalidFault")
