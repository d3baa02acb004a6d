"""Requests through a router: who is let in, where they go, and what a client sees when a replica does not answer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from windtunnel_scoring.router import objects, tokens
from windtunnel_scoring.router.definition import VersionDefinition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.router.conftest import FakeReplica, Reply, Town

    Send = Callable[..., Awaitable[Reply]]
    Eventually = Callable[[Callable[[], bool], str], Awaitable[None]]


@pytest.fixture
async def replica(town: Town) -> FakeReplica:
    """A service with one replica, behind a router."""
    await town.service()
    made = await town.replica("a")
    await town.router()
    await town.ready(1)
    return made


async def test_a_request_reaches_the_replica_and_comes_back(town: Town, replica: FakeReplica) -> None:
    reply = await town.score(b'{"data": [1]}', path="score?a=1", content_type="application/json")
    assert (reply.status, reply.body) == (200, b'{"ok": true}')
    assert reply.headers["azureml-model-deployment"] == "svc"
    assert reply.headers["x-ms-request-id"], "the replica sent none"
    first, headers, body = replica.requests[0]
    assert (first, body) == ("POST /score?a=1 HTTP/1.1", b'{"data": [1]}')
    assert "authorization" not in headers, "the key goes no further"
    assert headers["x-request-id"]
    assert headers["x-forwarded-proto"] == "http"


@pytest.mark.parametrize(
    ("authorization", "sentence"),
    [
        ("", "No authorization header is present: send 'Authorization: Bearer <key or token>'"),
        (
            "Basic first",
            "No authorization header is present: send 'Authorization: Bearer <key or token>'",
        ),
        ("Bearer wrong", "The key or token in the authorization header is not valid"),
    ],
)
async def test_without_a_valid_key_nothing_reaches_a_replica(
    town: Town, replica: FakeReplica, authorization: str, sentence: str
) -> None:
    for path in ("score", "swagger.json", "anything"):
        reply = await town.score(path=path, authorization=authorization)
        assert (reply.status, reply.text) == (401, sentence)
        assert reply.headers["www-authenticate"] == "Bearer"
    assert replica.requests == []
    assert (await town.score(authorization="Bearer second")).status == 200, "either key is right"


async def test_a_changed_key_holds_as_soon_as_it_is_seen(
    town: Town, replica: FakeReplica, eventually: Eventually
) -> None:
    await town.api.put("secrets", objects.secret("svc", objects.Secrets(primary_key="new")))
    statuses: list[int] = []
    while not statuses or statuses[-1] != 401:
        assert len(statuses) < 1000
        statuses.append((await town.score()).status)
    assert (await town.score(authorization="Bearer new")).status == 200


async def test_tokens_of_the_service_and_nothing_else(town: Town) -> None:
    await town.service(auth_enabled=False, aad_auth_enabled=True)
    await town.replica("a")
    await town.router()
    await town.ready(1)
    now = time.time()
    good = tokens.issue("signs", "svc", now)
    assert (await town.score(authorization=f"Bearer {good.access_token}")).status == 200
    bad = [
        tokens.issue("signs", "other", now),
        tokens.issue("forged", "svc", now),
        tokens.issue("signs", "svc", now - 2 * tokens.LIFETIME_S),
    ]
    for token in bad:
        assert (await town.score(authorization=f"Bearer {token.access_token}")).status == 401
    assert (await town.score(authorization="Bearer first")).status == 401, "keys are off"
    assert (await town.score(authorization="")).status == 401


async def test_an_open_service_passes_the_header_on(town: Town) -> None:
    await town.service(auth_enabled=False)
    replica = await town.replica("a")
    await town.router()
    await town.ready(1)
    assert (await town.score(authorization="Bearer mine")).status == 200
    assert replica.requests[0][1]["authorization"] == "Bearer mine"


async def test_unknown_services_and_paths(town: Town, replica: FakeReplica, send: Send) -> None:
    assert (await town.score(name="nothing", authorization="")).status == 404
    for path in ("/score", "/api/v1/service/", "/api/v2/service/svc/score", "/api/v1/services"):
        assert (await send(town.port, "GET", path)).status == 404
    assert replica.requests == []


async def test_health_asks_no_replica_and_needs_no_key(town: Town, replica: FakeReplica, send: Send) -> None:
    assert (await send(town.port, "GET", "/")).body == b"Healthy"
    for path in ("/api/v1/service/svc", "/api/v1/service/svc/"):
        assert (await send(town.port, "GET", path)).body == b"Healthy"
    assert replica.requests == []
    await town.pod("a", ready=False)
    await town.ready(0)
    reply = await send(town.port, "GET", "/api/v1/service/svc/")
    assert (reply.status, reply.text) == (503, "No ready replicas for service svc")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_get_and_post_pass(town: Town, replica: FakeReplica, method: str) -> None:
    reply = await town.score(method=method, origin="https://a.example", access_control_request_method="POST")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, POST")
    assert "access-control-allow-origin" not in reply.headers
    assert replica.requests == []


async def test_cors_answers_a_preflight_without_the_key(
    town: Town, replica: FakeReplica, eventually: Eventually
) -> None:
    await town.service(cors_origins="https://a.example")
    await eventually(lambda: town.routers[0].directory.services["svc"].cors is not None, "CORS")
    reply = await town.score(
        b"", method="OPTIONS", authorization="", origin="https://a.example", access_control_request_method="POST"
    )
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, "https://a.example")
    refused = await town.score(authorization="", origin="https://a.example")
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, "https://a.example")
    assert replica.requests == []


@pytest.mark.parametrize(("given", "seen"), [(500, 502), (400, 400), (404, 404), (415, 415), (501, 501), (503, 503)])
async def test_a_500_of_a_replica_becomes_502_and_others_pass(
    town: Town, replica: FakeReplica, given: int, seen: int
) -> None:
    replica.status, replica.body = given, b'{"message": "why"}'
    reply = await town.score()
    assert (reply.status, reply.body) == (seen, b'{"message": "why"}')


async def test_a_replica_that_closes_is_502_and_is_not_asked_twice(town: Town, replica: FakeReplica) -> None:
    replica.closes = True
    other = await town.replica("b")
    await town.ready(2)
    other.closes = True
    reply = await town.score(x_request_id="abc", x_ms_client_request_id="mine")
    assert (reply.status, reply.text) == (502, "Replica closed connection before replying")
    assert reply.headers["x-request-id"] == "abc"
    assert reply.headers["x-ms-client-request-id"] == "mine"
    assert reply.headers["x-ms-request-id"] == "mine", "the older name stands for the client's id"
    assert len(replica.requests) + len(other.requests) == 1


async def test_no_ready_replica_is_503_after_the_wait(town: Town) -> None:
    await town.service(VersionDefinition(name="svc", is_default=True, max_queue_wait_ms=30))
    await town.router()
    reply = await town.score()
    assert (reply.status, reply.text) == (503, "No ready replicas for service svc")


async def test_a_replica_that_refuses_is_passed_over(town: Town) -> None:
    await town.service()
    await town.replica("a")
    dead = await town.replica("dead")
    dead.refuse()
    await town.router()
    await town.ready(2)
    replies = [await town.score() for _ in range(6)]
    assert [reply.status for reply in replies] == [200] * 6
    assert {reply.headers["x-replica"] for reply in replies} == {"a"}


async def test_too_many_requests_is_503_after_the_wait(town: Town, eventually: Eventually) -> None:
    await town.service(VersionDefinition(name="svc", is_default=True, max_queue_wait_ms=30))
    replica = await town.replica("a")
    await town.router()
    await town.ready(1)
    replica.gate.clear()
    first = asyncio.create_task(town.score())
    await eventually(lambda: replica.working == 1, "the first request works")
    reply = await town.score()
    assert (reply.status, reply.text) == (503, "Too many requests for service svc (overloaded)")
    replica.gate.set()
    assert (await first).status == 200
    assert replica.most == 1


async def test_a_late_answer_is_504_and_its_place_stays_taken(town: Town, eventually: Eventually) -> None:
    limits = VersionDefinition(name="svc", is_default=True, scoring_timeout_ms=50, max_queue_wait_ms=20)
    await town.service(limits)
    replica = await town.replica("a")
    router = await town.router()
    await town.ready(1)
    slots = router.directory.services["svc"].versions["svc"].slots
    replica.gate.clear()
    assert (await town.score()).status == 504
    assert slots.busy == 1, "the replica still works"
    assert (await town.score()).status == 503
    replica.gate.set()
    await eventually(lambda: slots.busy == 0, "the place is free")
    assert (await town.score()).status == 200
    assert replica.connections == 1, "the connection was kept"


async def test_a_body_over_the_limit_is_413(town: Town, replica: FakeReplica) -> None:
    reply = await town.score(b"", content_length=str(101 * 1024 * 1024))
    assert reply.status == 413
    assert replica.requests == []


async def test_connections_to_replicas_are_kept(town: Town, replica: FakeReplica) -> None:
    for _ in range(5):
        await town.score()
    assert replica.connections == 1


async def test_a_large_body_is_streamed_through(town: Town, replica: FakeReplica) -> None:
    body = bytes(range(256)) * 8192
    replica.body = body
    reply = await town.score(body)
    assert replica.requests[0][2] == body
    assert reply.body == body
