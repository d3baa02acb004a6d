"""Blobs over HTTP: in one request, in chunks, by mounting; whole and in part; refusals with their codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.registry.access import Grants, Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from tests.registry.conftest import Cloud, Oci

OTHER = "sha256:" + "0" * 64


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    await cloud.create(adminUserEnabled=True)
    async with await cloud.signed_in() as signed_in:
        yield signed_in


async def test_a_blob_is_pushed_in_one_request(client: httpx.AsyncClient, oci: Oci) -> None:
    digest = await oci.push_blob(client, "team/hello", b"layer")
    answer = await client.get(f"/v2/team/hello/blobs/{digest}")
    assert (answer.status_code, answer.content) == (200, b"layer")
    assert answer.headers["Docker-Content-Digest"] == digest
    assert answer.headers["Accept-Ranges"] == "bytes"
    head = await client.head(f"/v2/team/hello/blobs/{digest}")
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "5", b"")
    again = await client.get(f"/v2/team/hello/blobs/{digest}", headers={"If-None-Match": f'"{digest}"'})
    assert again.status_code == 304


async def test_a_blob_is_pushed_in_chunks_that_say_their_place(client: httpx.AsyncClient, oci: Oci) -> None:
    whole = b"0123456789"
    start = await client.post("/v2/hello/blobs/uploads/")
    assert start.status_code == 202
    assert start.headers["Range"] == "0-0"
    location = start.headers["Location"]
    first = await client.patch(location, content=whole[:4], headers={"Content-Range": "0-3"})
    assert (first.status_code, first.headers["Range"]) == (202, "0-3")
    late = await client.patch(location, content=whole[6:], headers={"Content-Range": "6-9"})
    assert oci.problem(late) == (416, "RANGE_INVALID")
    assert late.headers["Range"] == "0-3"
    where = await client.get(location)
    assert (where.status_code, where.headers["Range"]) == (204, "0-3")
    digest = oci.sha256(whole)
    last = await client.put(location, content=whole[4:], headers={"Content-Range": "4-9"}, params={"digest": digest})
    assert last.status_code == 201
    assert last.headers["Location"] == f"/v2/hello/blobs/{digest}"
    assert (await client.get(last.headers["Location"])).content == whole
    assert oci.problem(await client.get(location)) == (404, "BLOB_UPLOAD_UNKNOWN")


async def test_a_blob_is_streamed_without_a_length(client: httpx.AsyncClient, oci: Oci) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    location = (await client.post("/v2/hello/blobs/uploads/")).headers["Location"]
    assert (await client.patch(location, content=parts())).status_code == 202
    done = await client.put(location, params={"digest": oci.sha256(b"one two")})
    assert done.status_code == 201


async def test_an_upload_goes_on_after_a_restart(cloud: Cloud, oci: Oci) -> None:
    await cloud.create(adminUserEnabled=True)
    async with await cloud.signed_in() as client:
        location = (await client.post("/v2/hello/blobs/uploads/")).headers["Location"]
        assert (await client.patch(location, content=b"before ")).status_code == 202
    await cloud.restart()
    async with await cloud.signed_in() as client:
        assert (await client.get(location)).headers["Range"] == "0-6"
        await client.patch(location, content=b"after")
        done = await client.put(location, params={"digest": oci.sha256(b"before after")})
        assert done.status_code == 201


async def test_an_upload_is_given_up(client: httpx.AsyncClient, oci: Oci) -> None:
    location = (await client.post("/v2/hello/blobs/uploads/")).headers["Location"]
    assert (await client.delete(location)).status_code == 204
    assert oci.problem(await client.patch(location, content=b"x")) == (404, "BLOB_UPLOAD_UNKNOWN")


async def test_a_part_of_a_blob(client: httpx.AsyncClient, oci: Oci) -> None:
    digest = await oci.push_blob(client, "hello", b"0123456789")
    path = f"/v2/hello/blobs/{digest}"
    part = await client.get(path, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert (await client.get(path, headers={"Range": "bytes=-3"})).content == b"789"
    beyond = await client.get(path, headers={"Range": "bytes=10-"})
    assert oci.problem(beyond) == (416, "RANGE_INVALID")
    assert beyond.headers["Content-Range"] == "bytes */10"


@pytest.mark.parametrize("query", [{"from": "source"}, {}])
async def test_a_blob_is_mounted(client: httpx.AsyncClient, oci: Oci, query: dict[str, str]) -> None:
    digest = await oci.push_blob(client, "source", b"layer")
    answer = await client.post("/v2/target/blobs/uploads/", params={"mount": digest, **query})
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/v2/target/blobs/{digest}")
    assert (await client.get(f"/v2/target/blobs/{digest}")).content == b"layer"


async def test_a_mount_of_what_is_not_there_begins_an_upload(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v2/target/blobs/uploads/", params={"mount": OTHER, "from": "source"})
    assert answer.status_code == 202
    assert "/blobs/uploads/" in answer.headers["Location"]


async def test_a_mount_tells_nothing_of_repositories_that_may_not_be_read(cloud: Cloud, oci: Oci) -> None:
    await cloud.create(adminUserEnabled=True)
    async with await cloud.signed_in() as client:
        digest = await oci.push_blob(client, "secret", b"layer")
    registry = cloud.service.registries.get(cloud.registry_id().lower())
    assert registry is not None
    may_push = Scope(type="repository", name="own", actions=frozenset({"pull", "push"}))
    token = cloud.service.access.issue_access(registry, Grants(user="guest", scopes=(may_push,)), [may_push])
    async with cloud.registry(Authorization=f"Bearer {token}") as client:
        for query in ({"from": "secret"}, {}):
            answer = await client.post("/v2/own/blobs/uploads/", params={"mount": digest, **query})
            assert answer.status_code == 202
        assert oci.problem(await client.get(f"/v2/secret/blobs/{digest}")) == (401, "UNAUTHORIZED")


async def test_deleting_a_blob(client: httpx.AsyncClient, oci: Oci) -> None:
    digest = await oci.push_blob(client, "hello", b"layer")
    assert (await client.delete(f"/v2/hello/blobs/{digest}")).status_code == 202
    assert oci.problem(await client.get(f"/v2/hello/blobs/{digest}")) == (404, "BLOB_UNKNOWN")
    assert oci.problem(await client.delete(f"/v2/hello/blobs/{digest}")) == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", f"/v2/hello/blobs/{OTHER}", (404, "BLOB_UNKNOWN")),
        ("GET", "/v2/hello/blobs/sha256:zz", (400, "DIGEST_INVALID")),
        ("GET", "/v2/hello/blobs/md5:00", (400, "DIGEST_INVALID")),
        ("GET", "/v2/Hello/blobs/" + OTHER, (400, "NAME_INVALID")),
        ("GET", "/v2/%2e%2e/blobs/" + OTHER, (400, "NAME_INVALID")),
        ("POST", "/v2/a//b/blobs/uploads/", (400, "NAME_INVALID")),
        ("POST", f"/v2/{'x' * 256}/blobs/uploads/", (400, "NAME_INVALID")),
        ("POST", "/v2/hello/blobs/uploads/?digest=nonsense", (400, "DIGEST_INVALID")),
        ("POST", f"/v2/hello/blobs/uploads/?digest={OTHER}", (400, "DIGEST_INVALID")),
        ("POST", "/v2/hello/blobs/uploads/?digest-algorithm=md5", (400, "DIGEST_INVALID")),
        ("PATCH", "/v2/hello/blobs/uploads/00000000-0000-0000-0000-000000000000", (404, "BLOB_UPLOAD_UNKNOWN")),
        ("PUT", "/v2/hello/blobs/uploads/nonsense?digest=" + OTHER, (404, "BLOB_UPLOAD_UNKNOWN")),
        ("PUT", f"/v2/hello/blobs/{OTHER}", (405, "UNSUPPORTED")),
        ("GET", "/v2/hello", (404, "NAME_UNKNOWN")),
    ],
)
async def test_what_is_wrong_is_refused_in_the_specifications_words(
    client: httpx.AsyncClient, oci: Oci, method: str, path: str, expected: tuple[int, str]
) -> None:
    assert oci.problem(await client.request(method, path, content=b"x")) == expected


async def test_a_wrong_digest_leaves_nothing(cloud: Cloud, client: httpx.AsyncClient) -> None:
    answer = await client.post("/v2/hello/blobs/uploads/", params={"digest": OTHER}, content=b"other")
    assert answer.status_code == 400
    assert list((cloud.content.folder / "uploads").iterdir()) == []
    assert list(cloud.content.blobs.files.all()) == []


async def test_a_full_disk_is_said(cloud: Cloud, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cloud.content.blobs.files, "keep_file", full)
    answer = await client.post(
        "/v2/hello/blobs/uploads/",
        params={"digest": "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"},
        content=b"x",
    )
    assert answer.status_code == 507
    assert "no space left" in answer.json()["errors"][0]["message"]
