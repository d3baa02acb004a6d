"""Over TLS, with client certificates: raw HTTP, a client of this project and, where there is one, kubectl."""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest

from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.kubernetes.access.access import ClusterAccess
from windtunnel_emulators.kubernetes.api.server import ApiServer
from windtunnel_emulators.kubernetes.certificates import ClusterAuthority
from windtunnel_emulators.kubernetes.client.http import HttpClient
from windtunnel_emulators.kubernetes.engines.control_plane import kubeconfig
from windtunnel_emulators.server import Listeners

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.store import Store

MAPS = "/api/v1/namespaces/default/configmaps"
LIMIT_S = 20
_ASSETS = os.environ.get("KUBEBUILDER_ASSETS", "")


class Served:
    """A cluster's API at a port."""

    def __init__(self, authority: ClusterAuthority, port: int) -> None:
        self.authority = authority
        self.url = f"https://127.0.0.1:{port}"

    def http(self, role: str | None = "admin") -> httpx.AsyncClient:
        """Raw HTTP, as somebody."""
        context = self.authority.client_context(None if role is None else self.authority.client(role))
        return httpx.AsyncClient(base_url=self.url, verify=context, trust_env=False, timeout=LIMIT_S)


@pytest.fixture
async def served(store: Store, tmp_path: Path) -> AsyncIterator[Served]:
    clock = RealClock()
    authority = ClusterAuthority.create(tmp_path / "keys.json", now=clock.now())
    api = ApiServer(store=store, cluster="c", clock=clock, access=ClusterAccess(authority, clock))
    await api.start()
    listeners = Listeners(store, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    port = await listeners.open("api", api.app, context=authority.server_context(), raw_upgrades=True)
    yield Served(authority, port)
    await api.stop()
    await listeners.close_all()


async def test_a_certificate_says_who_asks(served: Served) -> None:
    async with served.http() as admin, served.http(None) as nobody:
        assert (await admin.get(MAPS)).status_code == 200
        assert (await nobody.get(MAPS)).status_code == 403
        assert (await nobody.get("/version")).status_code == 200
        answer = await nobody.get(MAPS, headers={"authorization": "Bearer wrong"})
        assert answer.json()["reason"] == "Unauthorized"


async def test_forms_of_answers(served: Served) -> None:
    async with served.http() as http:
        await http.post(MAPS, json={"metadata": {"name": "x", "labels": {"l": "v"}}, "data": {"a": "b"}})
        whole = await http.get(f"{MAPS}/x")
        assert whole.headers["content-type"] == "application/json"
        assert whole.content.startswith(b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"')
        listed = (await http.get(MAPS)).json()
        item = next(one for one in listed["items"] if one["metadata"]["name"] == "x")
        assert "kind" not in item
        yaml = await http.get(f"{MAPS}/x", headers={"accept": "application/yaml"})
        assert yaml.text.startswith("apiVersion: v1\ndata:\n  a: b\nkind: ConfigMap\n")
        as_metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        partial = (await http.get(MAPS, headers={"accept": as_metadata})).json()
        assert partial["kind"] == "PartialObjectMetadataList"
        assert all(one["kind"] == "PartialObjectMetadata" and "data" not in one for one in partial["items"])
        as_table = "application/json;as=Table;g=meta.k8s.io;v=v1, application/json"
        table = (await http.get(MAPS, headers={"accept": as_table})).json()
        assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
        wrong = await http.get(MAPS, headers={"accept": "text/plain"})
        assert (wrong.status_code, wrong.json()["reason"]) == (406, "NotAcceptable")
        indented = await http.get(f"{MAPS}/x", params={"pretty": "true"})
        assert indented.text.startswith('{\n  "kind": "ConfigMap",')
        protobuf = "application/vnd.kubernetes.protobuf"
        preferring = await http.get(f"{MAPS}/x", headers={"accept": f"{protobuf}, */*"})
        assert preferring.json() == whole.json()


async def test_bodies_in_every_form(served: Served) -> None:
    async with served.http() as http:
        yaml = await http.post(
            MAPS, content="metadata: {name: w}\ndata: {a: b}\n", headers={"content-type": "application/yaml"}
        )
        assert yaml.json()["data"] == {"a": "b"}
        # An envelope with type and object: metadata{name: "p"}, data{"a": "b"}.
        inner = b"\n\x03\n\x01p" + b"\x12\x06\n\x01a\x12\x01b"
        meta = b"\n\x02v1\x12\x09ConfigMap"
        body = b"k8s\x00" + b"\n" + bytes([len(meta)]) + meta + b"\x12" + bytes([len(inner)]) + inner
        headers = {"content-type": "application/vnd.kubernetes.protobuf"}
        protobuf = await http.post(MAPS, content=body, headers=headers)
        assert protobuf.status_code == 201, protobuf.text
        assert protobuf.json()["data"] == {"a": "b"}
        broken = await http.post(MAPS, content=body[:-4], headers=headers)
        assert (broken.status_code, broken.json()["reason"]) == (400, "BadRequest")
        text = await http.post(MAPS, content=b"x", headers={"content-type": "text/plain"})
        assert text.json()["reason"] == "UnsupportedMediaType"
        long = await http.post(MAPS, content=b" " * (3 * 1024 * 1024 + 1), headers={"content-type": "application/json"})
        assert (long.status_code, long.json()["reason"]) == (413, "RequestEntityTooLarge")


async def test_whoever_uses_a_kind_that_is_to_go_is_warned(served: Served) -> None:
    endpoints = "/api/v1/namespaces/default/endpoints"
    said = '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
    async with served.http() as http:
        made = await http.post(endpoints, json={"metadata": {"name": "e"}})
        assert made.status_code == 201, made.text
        answers = [made, *[await http.get(f"{endpoints}{rest}") for rest in ("", "/e", "/nothing")]]
        async with http.stream("GET", endpoints, params={"watch": "true"}) as watch:
            answers.append(watch)
        answers.append(await http.delete(f"{endpoints}/e"))
        assert [answer.headers.get("warning") for answer in answers] == [said] * len(answers)
        assert "warning" not in (await http.get("/apis/discovery.k8s.io/v1/endpointslices")).headers


async def test_warnings_are_headers(served: Served) -> None:
    async with served.http() as http:
        body = {"metadata": {"name": "w"}, "nothing": 1}
        answer = await http.post(MAPS, json=body)
        assert answer.headers["warning"] == '299 - "unknown field \\"nothing\\""'
        strict = await http.post(MAPS, json=body, params={"fieldValidation": "Strict"})
        assert (strict.status_code, "unknown field" in strict.json()["message"]) == (400, True)


async def test_discovery_is_not_sent_twice(served: Served) -> None:
    asked = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    async with served.http() as http:
        first = await http.get("/apis", headers={"accept": asked})
        assert first.headers["content-type"] == asked
        assert first.json()["items"][0]["metadata"]["name"] == "apiregistration.k8s.io"
        again = await http.get("/apis", headers={"accept": asked, "if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        plain = await http.get("/apis")
        assert plain.json()["kind"] == "APIGroupList"


async def test_watches_of_many_clients_see_the_same_in_order(served: Served) -> None:
    client = HttpClient(served.url, context=served.authority.client_context(served.authority.client("admin")))
    listed = await client.request("GET", MAPS)
    metadata = listed["metadata"]
    assert isinstance(metadata, dict)
    query = {"resourceVersion": str(metadata["resourceVersion"]), "timeoutSeconds": "60"}
    count = 40

    async def follow() -> list[JsonObject]:
        found: list[JsonObject] = []
        async for event in client.watch(MAPS, query=query):
            found.append({"type": event.type, "object": event.object})
            if len(found) == count:
                break
        return found

    async with asyncio.timeout(LIMIT_S):
        following = [asyncio.create_task(follow()) for _ in range(12)]
        for number in range(count):
            await client.request("POST", MAPS, body={"metadata": {"name": f"m{number}"}})
        seen = await asyncio.gather(*following)
    assert all(one == seen[0] for one in seen)
    assert [str(one["type"]) for one in seen[0]] == ["ADDED"] * count
    await client.close()


async def test_a_client_that_does_not_read_holds_nobody_up(served: Served) -> None:
    client = HttpClient(served.url, context=served.authority.client_context(served.authority.client("admin")))
    context = served.authority.client_context(served.authority.client("admin"))
    port = int(served.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, limit=1024)
    writer.write(f"GET {MAPS}?watch=1&resourceVersion=0 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await writer.drain()
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # TLS transports can
    async with asyncio.timeout(LIMIT_S):
        big = "x" * 500_000
        for number in range(30):
            body: JsonObject = {"metadata": {"name": f"b{number}"}, "data": {"a": big}}
            await client.request("POST", MAPS, body=body)
        async for event in client.watch(MAPS, query={"resourceVersion": "0"}):
            if event.object["metadata"]["name"] == "b29":  # type: ignore[index,call-overload]
                break
    writer.transport.abort()
    del reader
    await client.close()


@pytest.mark.skipif(not _ASSETS, reason="needs kubectl in the folder that KUBEBUILDER_ASSETS names")
async def test_kubectl(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(kubeconfig(served.url, served.authority.ca, served.authority.client("admin")))

    async def kubectl(*arguments: str) -> str:
        environment = {"HOME": str(tmp_path), "KUBECONFIG": str(file), "PATH": os.environ["PATH"]}
        process = await asyncio.create_subprocess_exec(
            str(Path(_ASSETS) / "kubectl"),
            *arguments,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(LIMIT_S):
            output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()

    assert await kubectl("create", "namespace", "n") == "namespace/n created\n"
    await kubectl("create", "deployment", "d", "--image=i", "-n", "n")
    await kubectl("scale", "deployment/d", "--replicas=3", "-n", "n")
    shown = msgspec.json.decode(await kubectl("get", "deployment", "d", "-n", "n", "-o", "json"))
    assert shown["spec"]["replicas"] == 3
    table = (await kubectl("get", "deployments", "-n", "n")).splitlines()
    assert table[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert table[1].split()[:2] == ["d", "0/3"]
    await kubectl("delete", "deployment", "d", "-n", "n")
    assert "configmaps" in await kubectl("api-resources")
