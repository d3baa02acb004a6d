"""The client over HTTP, against a server of raw bytes; against real ones it is used by every other test."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.kubernetes.client.http import HttpClient
from windtunnel_emulators.kubernetes.client.interface import StatusError, Unreachable
from windtunnel_emulators.kubernetes.client.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from windtunnel_emulators.jsontypes import JsonObject


class Server:
    """Answers each request with the next of its answers, in the given pieces."""

    def __init__(self) -> None:
        self.answers: list[Sequence[bytes]] = []
        self.heads: list[str] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while self.answers:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head.decode())
                for piece in self.answers.pop(0):
                    writer.write(piece)
                    await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    def say(self, status: int, body: bytes, kind: str = "application/json") -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.answers.append([head.encode() + body])


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    yield made
    await made.stop()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[HttpClient]:
    made = HttpClient(await server.start(), token="secret-token", timeout_s=5)
    yield made
    await made.close()


async def test_it_shows_its_token_and_reads_json(server: Server, client: HttpClient) -> None:
    server.say(200, b'{"kind":"PodList"}')
    assert await client.request("GET", "/api/v1/pods", query={"limit": "5"}) == {"kind": "PodList"}
    assert server.heads[0].startswith("GET /api/v1/pods?limit=5 HTTP/1.1")
    assert "authorization: bearer secret-token" in server.heads[0].lower()


async def test_a_refusal_is_the_servers_own_status(server: Server, client: HttpClient) -> None:
    server.say(409, b'{"kind":"Status","reason":"Conflict","message":"stale","code":409}')
    with pytest.raises(StatusError, match="stale") as refused:
        await client.request("PUT", "/x", body={})
    assert (refused.value.code, refused.value.reason) == (409, "Conflict")


async def test_a_refusal_that_is_no_status_becomes_one(server: Server, client: HttpClient) -> None:
    server.say(404, b"404 page not found", "text/plain")
    with pytest.raises(StatusError, match="404 page not found") as refused:
        await client.request("GET", "/x")
    assert refused.value.reason == "NotFound"


async def test_an_answer_that_is_no_json_is_as_none(server: Server, client: HttpClient) -> None:
    server.say(200, b"<html>")
    with pytest.raises(Unreachable, match="answered no JSON"):
        await client.request("GET", "/x")


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    client = HttpClient("http://127.0.0.1:9", timeout_s=2)
    with pytest.raises(Unreachable, match=r"GET http://127\.0\.0\.1:9/x"):
        await client.request("GET", "/x")
    await client.close()


async def test_events_are_read_whole_however_they_are_cut(server: Server, client: HttpClient) -> None:
    lines = b'{"type":"ADDED","object":{"n":1}}\n{"type":"MODIFIED","object":{"n":2}}\n'
    body = [lines[at : at + 7] for at in range(0, len(lines), 7)]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server.answers.append([head, *(b"%x\r\n%s\r\n" % (len(each), each) for each in body), b"0\r\n\r\n"])
    found = [(event.type, event.object["n"]) async for event in client.watch("/api/v1/pods")]
    assert found == [("ADDED", 1), ("MODIFIED", 2)]
    assert "watch=1" in server.heads[0]


async def test_an_error_in_a_watch_is_raised(server: Server, client: HttpClient) -> None:
    server.say(200, b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"old"}}\n')
    with pytest.raises(StatusError, match="old"):
        [event async for event in client.watch("/api/v1/pods")]


async def test_a_watch_that_breaks_off_is_unreachable(server: Server, client: HttpClient) -> None:
    server.answers.append([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"])
    with pytest.raises(Unreachable):
        [event async for event in client.watch("/api/v1/pods")]


class Events:
    """An API that keeps the events that are written."""

    def __init__(self) -> None:
        self.kept: dict[str, JsonObject] = {}

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "",
    ) -> Any:
        if method == "POST":
            self.kept[f"{path}/{body['metadata']['name']}"] = body
            return body
        self.kept[path] = {**self.kept[path], **body}
        return self.kept[path]


POD: JsonObject = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7"},
}


async def record(*said: tuple[str, str]) -> tuple[list[JsonObject], Recorder]:
    api, clock = Events(), ManualClock()
    recorder = Recorder(api, clock, "kubelet", host="n1")  # type: ignore[arg-type]
    await recorder.start()
    for reason, message in said:
        recorder.event(POD, "Warning", reason, message, field_path="spec.containers{c}")
    await recorder.stop(within_s=5)
    return list(api.kept.values()), recorder


async def test_an_event_says_what_happened_to_what_and_who_says_so() -> None:
    (event,), _ = await record(("BackOff", "Back-off restarting failed container"))
    assert event["involvedObject"] == {
        "kind": "Pod",
        "namespace": "n",
        "name": "p",
        "uid": "u",
        "apiVersion": "v1",
        "resourceVersion": "7",
        "fieldPath": "spec.containers{c}",
    }
    assert event["source"] == {"component": "kubelet", "host": "n1"}
    assert (event["type"], event["count"]) == ("Warning", 1)


async def test_the_same_again_is_counted() -> None:
    (event,), _ = await record(*[("BackOff", "again")] * 5)
    assert event["count"] == 5


async def test_many_that_differ_in_their_message_become_one() -> None:
    events, _ = await record(*[("Failed", f"attempt {number}") for number in range(15)])
    assert len(events) == 10
    assert (events[-1]["count"], events[-1]["message"]) == (6, "(combined from similar events): attempt 14")


async def test_a_flood_is_dropped_and_counted() -> None:
    (event,), recorder = await record(*[("BackOff", "again")] * 40)
    assert (event["count"], recorder.dropped) == (25, 15)
