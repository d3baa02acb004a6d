"""Direct methods of the agent: what is asked for, and what each refusal says."""

from __future__ import annotations

import asyncio
import base64
import gzip
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from edge_agents import deployment, module
from edge_cloud import until
from windtunnel_emulators.edge.agent.methods import AgentMethods
from windtunnel_emulators.edge.agent.uploads import Uploads
from windtunnel_emulators.edge.upstream.link import Link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from edge_agents import Bench

LOG = """\
2025-12-31T23:00:00.000000Z stdout <6> early
2025-12-31T23:59:00.000000Z stderr <3> broken
2025-12-31T23:59:30.000000Z stdout plain
"""
CALL = {"schemaVersion": "1.0"}


class Caller:
    """Calls the methods of a device whose modules are ``a`` and ``b``."""

    def __init__(self, bench: Bench) -> None:
        import ssl

        self.link = Link(bench.folder / "link.json", bench.clock)
        self.uploads = Uploads(self.link, ssl.create_default_context())
        self.methods = AgentMethods(
            bench.agent,
            self.uploads,
            clock=bench.clock,
            host="hub1.azure-devices.net",
            device="edge1",
            log=bench.folder / "edge.log",
        )

    async def __call__(self, name: str, payload: object = None) -> tuple[int, Any]:
        status, answer = await self.methods.call(name, msgspec.json.encode(payload))
        return status, msgspec.json.decode(answer)


@pytest.fixture
async def call(bench: Bench) -> AsyncIterator[Caller]:
    bench.hub.desire(deployment(a=module(), b=module()))
    await bench.settle()
    for name in ("a", "b"):
        bench.machine.log(name).parent.mkdir(exist_ok=True)
        bench.machine.log(name).write_text(LOG)
    (bench.folder / "edge.log").write_text("2025-12-31T22:00:00.000Z INFO agent: begun\n")
    made = Caller(bench)
    yield made
    await made.uploads.close()


def logs(id: str = "a", *, encoding: str = "none", form: str = "text", **filter: object) -> dict[str, object]:
    return asked(filter, id, encoding, form)


def asked(filter: dict[str, object], id: str = "a", encoding: str = "none", form: str = "text") -> dict[str, object]:
    return {**CALL, "items": [{"id": id, "filter": filter}], "encoding": encoding, "contentType": form}


async def test_a_ping_is_answered_whatever_its_case(call: Caller) -> None:
    for name in ("ping", "PING", "Ping"):
        assert await call(name) == (200, None)


async def test_a_module_is_started_again(call: Caller, bench: Bench) -> None:
    former = bench.runtime.last("a")
    assert await call("restartmodule", {**CALL, "id": "a"}) == (200, None)
    assert not former.running
    assert bench.runtime.last("a").running
    await bench.settle()
    assert bench.hub.module("a")["restartCount"] == 0


@pytest.mark.parametrize(
    ("filter", "lines"),
    [
        ({}, ["<6> early", "<3> broken", "plain"]),
        ({"tail": 1}, ["plain"]),
        ({"tail": 0}, []),
        ({"since": "10m"}, ["<3> broken", "plain"]),
        ({"since": "2025-12-31T23:59:10Z"}, ["plain"]),
        ({"until": "1 hour"}, ["<6> early"]),
        ({"since": "0d 0hrs 1 minute 5secs"}, ["<3> broken", "plain"]),
        ({"loglevel": 3}, ["<3> broken"]),
        ({"loglevel": 6}, ["<6> early", "plain"]),
        ({"regex": "^pl"}, ["plain"]),
        ({"regex": "e", "tail": 1}, ["<3> broken"]),
    ],
)
async def test_logs_are_filtered(call: Caller, filter: dict[str, object], lines: list[str]) -> None:
    status, (entry,) = await call("GetModuleLogs", asked(filter))
    assert status == 200
    assert entry == {"id": "a", "payload": "".join(f"{line}\n" for line in lines), "payloadBytes": None}


async def test_logs_are_packed_and_structured(call: Caller) -> None:
    status, (entry,) = await call("GetModuleLogs", logs(encoding="gzip", form="json", tail=2))
    assert (status, entry["payload"]) == (200, None)
    first, second = msgspec.json.decode(gzip.decompress(base64.b64decode(entry["payloadBytes"])))
    assert first == {
        "iothub": "hub1.azure-devices.net",
        "device": "edge1",
        "id": "a",
        "stream": "stderr",
        "loglevel": 3,
        "text": "<3> broken",
        "timestamp": "2025-12-31T23:59:00.000000Z",
    }
    assert (second["stream"], second["loglevel"]) == ("stdout", 6)


async def test_an_id_is_an_expression_and_each_module_is_given_once(call: Caller) -> None:
    items = [{"id": "^a$", "filter": {"tail": 1}}, {"id": "."}]
    _, found = await call("GetModuleLogs", {**CALL, "items": items})
    assert [entry["id"] for entry in found] == ["a", "edgeAgent", "edgeHub", "b"]
    assert found[0]["payload"] == "plain\n"
    assert found[1]["payload"] == "INFO agent: begun\n"


async def test_logs_that_are_too_large_are_refused_with_the_way_out(call: Caller, bench: Bench) -> None:
    line = f"2025-12-31T23:00:00.000000Z stdout {'x' * 1000}\n"
    bench.machine.log("a").write_text(line * 200)
    status, answer = await call("GetModuleLogs", logs())
    assert status == 400
    assert "UploadModuleLogs" in answer["message"]
    assert (await call("GetModuleLogs", logs(encoding="gzip")))[0] == 200
    assert (await call("GetModuleLogs", logs(tail=5)))[0] == 200


REFUSED: list[tuple[str, object, int, str]] = [
    ("Reboot", None, 400, "Command 'Reboot' not found. The supported commands are - ping, RestartModule"),
    ("RestartModule", {"id": "a"}, 400, "Error parsing command payload"),
    ("RestartModule", {"schemaVersion": "2.0", "id": "a"}, 400, "schema version '2.0'"),
    ("RestartModule", {**CALL, "id": "zz"}, 400, "Module zz not found"),
    ("RestartModule", {**CALL, "id": "edgeHub"}, 500, "module edgeHub is part of the device's own process"),
    ("GetModuleLogs", {**CALL, "items": [{}]}, 400, "Error parsing command payload"),
    ("GetModuleLogs", logs("("), 400, "is no regular expression"),
    ("GetModuleLogs", logs(regex="("), 400, "is no regular expression"),
    ("GetModuleLogs", logs(since="yesterday"), 400, "since is neither a time nor a span"),
    ("GetModuleLogs", logs(tail=-1), 400, "tail is negative"),
    ("GetModuleLogs", logs(encoding="zip"), 400, "Error parsing command payload"),
    ("GetTaskStatus", {**CALL, "correlationId": "x"}, 400, "No task has the correlation id 'x'"),
    ("UploadModuleLogs", {**logs(), "sasUrl": "http://example.com/c?sig=1"}, 400, "sasUrl is no https URL"),
    ("UploadModuleLogs", {**logs(), "sasUrl": "https://example.com/"}, 400, "sasUrl is no signed URL"),
    ("UploadSupportBundle", {**CALL, "sasUrl": "nothing"}, 400, "sasUrl is no https URL"),
]


@pytest.mark.parametrize(("name", "payload", "status", "said"), REFUSED)
async def test_refusals(call: Caller, name: str, payload: object, status: int, said: str) -> None:
    found, answer = await call(name, payload)
    assert found == status
    assert said in answer["message"]


async def test_a_payload_that_is_no_json_is_refused(call: Caller) -> None:
    status, answer = await call.methods.call("RestartModule", b"\xff{")
    assert status == 400
    assert b"Error parsing command payload" in answer


class Blobs:
    """A container of a storage account: takes what is put."""

    def __init__(self) -> None:
        self.status = 201
        self.put: dict[str, bytes] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.partition(":")[2]) for line in head.splitlines() if line.lower().startswith("content-length")
        )
        assert "x-ms-blob-type: BlockBlob" in head
        self.put[head.split()[1]] = await reader.readexactly(length)
        code = "" if self.status == 201 else "x-ms-error-code: AuthenticationFailed\r\n"
        answer = f"HTTP/1.1 {self.status} Said\r\n{code}content-length: 0\r\nconnection: close\r\n\r\n"
        writer.write(answer.encode())
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def blobs() -> AsyncIterator[tuple[Blobs, str]]:
    made = Blobs()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield made, f"http://127.0.0.1:{port}/logs?sig=secret"
    server.close()
    await server.wait_closed()


async def ended(call: Caller, id: str) -> Any:
    def over() -> bool:
        status = call.uploads.status(id)
        return status is not None and status["status"] not in ("NotStarted", "Running")

    await until(over)
    status, answer = await call("GetTaskStatus", {**CALL, "correlationId": id})
    assert status == 200
    return answer


async def test_logs_are_uploaded(call: Caller, blobs: tuple[Blobs, str]) -> None:
    storage, url = blobs
    status, begun = await call("UploadModuleLogs", {**logs(tail=1), "sasUrl": url})
    assert (status, begun["status"]) == (200, "NotStarted")
    assert (await ended(call, begun["correlationId"]))["status"] == "Completed"
    assert storage.put == {
        "/logs/hub1.azure-devices.net/edge1/a-2026-01-01--00-00-00.log?sig=secret": b"plain\n",
    }


async def test_a_support_bundle_holds_all_logs(call: Caller, blobs: tuple[Blobs, str]) -> None:
    import io
    import zipfile

    storage, url = blobs
    _, begun = await call("UploadSupportBundle", {**CALL, "sasUrl": url})
    assert (await ended(call, begun["correlationId"]))["status"] == "Completed"
    (content,) = storage.put.values()
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert names == [*(f"logs/{name}_log.txt" for name in ("edgeAgent", "edgeHub", "a", "b")), "reported.json"]


async def test_an_upload_that_fails_says_why_without_the_secret(call: Caller, blobs: tuple[Blobs, str]) -> None:
    storage, url = blobs
    storage.status = 403
    _, begun = await call("UploadModuleLogs", {**logs(), "sasUrl": url})
    answer = await ended(call, begun["correlationId"])
    assert answer["status"] == "Failed"
    assert "answers 403 AuthenticationFailed" in answer["message"]
    assert "secret" not in answer["message"]


async def test_nothing_is_uploaded_over_a_link_that_is_cut(call: Caller, blobs: tuple[Blobs, str]) -> None:
    storage, url = blobs
    call.link.cut()
    _, begun = await call("UploadModuleLogs", {**logs(), "sasUrl": url})
    answer = await ended(call, begun["correlationId"])
    assert (answer["status"], answer["message"]) == ("Failed", "The device's link to the cloud is cut.")
    assert storage.put == {}
