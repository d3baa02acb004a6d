"""Azure's own registry API: lists in pages, times, sizes, attributes that lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_emulators.registry.manifests import OCI_IMAGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from tests.registry.conftest import Cloud, Oci

CONFIG = b'{"architecture": "arm64", "os": "linux"}'


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    await cloud.create(adminUserEnabled=True)
    async with await cloud.signed_in() as signed_in:
        yield signed_in


async def names(client: httpx.AsyncClient, path: str, kind: str, key: str = "name") -> tuple[list[Any], int]:
    """Everything that a list has, and the number of its pages."""
    seen: list[Any] = []
    pages = 0
    while path:
        answer = await client.get(path)
        assert answer.status_code == 200, answer.text
        seen += [entry if isinstance(entry, str) else entry[key] for entry in answer.json()[kind]]
        path = answer.links["next"]["url"] if "next" in answer.links else ""
        pages += 1
    return seen, pages


async def test_a_repository_is_described(cloud: Cloud, client: httpx.AsyncClient, oci: Oci) -> None:
    digest = await oci.push(client, "team/hello", "v1", b"layer", config=CONFIG)
    await cloud.clock.advance(60)
    await oci.push(client, "team/hello", "v2", b"layer", config=CONFIG)
    found = (await client.get("/acr/v1/team/hello")).json()
    assert found["registry"] == client.base_url.netloc.decode()
    assert (found["imageName"], found["manifestCount"], found["tagCount"]) == ("team/hello", 1, 2)
    assert (found["createdTime"], found["lastUpdateTime"]) == (
        "2026-01-01T00:00:00.0000000Z",
        "2026-01-01T00:01:00.0000000Z",
    )
    assert set(found["changeableAttributes"].values()) == {True}
    manifest = (await client.get(f"/acr/v1/team/hello/_manifests/{digest}")).json()["manifest"]
    size = len(CONFIG) + len(b"layer") + len(oci.image(CONFIG, b"layer"))
    assert (manifest["architecture"], manifest["os"], manifest["imageSize"]) == ("arm64", "linux", size)
    assert (manifest["tags"], manifest["mediaType"]) == (["v1", "v2"], OCI_IMAGE)
    tag = (await client.get("/acr/v1/team/hello/_tags/v2")).json()["tag"]
    assert (tag["name"], tag["digest"]) == ("v2", digest)


@pytest.mark.parametrize("path", ["/v2/_catalog", "/acr/v1/_catalog"])
async def test_the_catalog_comes_in_pages(client: httpx.AsyncClient, oci: Oci, path: str) -> None:
    assert await names(client, path, "repositories") == ([], 1)
    for name in ("c", "a/b", "b"):
        await oci.push(client, name, "v1")
    assert await names(client, f"{path}?n=2", "repositories") == (["a/b", "b", "c"], 2)
    assert await names(client, f"{path}?last=b", "repositories") == (["c"], 1)


@pytest.mark.parametrize(
    ("order", "expected"),
    [("", ["a", "m", "z"]), ("timeasc", ["z", "a", "m"]), ("timedesc", ["m", "a", "z"])],
)
async def test_tags_come_in_pages_and_in_the_order_asked_for(
    cloud: Cloud, client: httpx.AsyncClient, oci: Oci, order: str, expected: list[str]
) -> None:
    for tag in ("z", "a", "m"):
        await oci.push(client, "hello", tag)
        await cloud.clock.advance(1)
    query = f"n=2&orderby={order}" if order else "n=2"
    assert await names(client, f"/acr/v1/hello/_tags?{query}", "tags") == (expected, 2)


async def test_tags_of_one_manifest(client: httpx.AsyncClient, oci: Oci) -> None:
    digest = await oci.push(client, "hello", "one")
    await oci.push(client, "hello", "two", b"layer")
    assert await names(client, f"/acr/v1/hello/_tags?digest={digest}", "tags") == (["one"], 1)


async def test_manifests_come_in_pages(client: httpx.AsyncClient, oci: Oci) -> None:
    pushed = [await oci.push(client, "hello", "", str(number).encode()) for number in range(3)]
    found = await names(client, "/acr/v1/hello/_manifests?n=2", "manifests", "digest")
    assert found == (sorted(pushed), 2)


async def test_a_locked_tag_is_neither_overwritten_nor_deleted(client: httpx.AsyncClient, oci: Oci) -> None:
    digest = await oci.push(client, "hello", "v1")
    locked = {"writeEnabled": False, "deleteEnabled": False}
    answer = await client.patch("/acr/v1/hello/_tags/v1", json=locked)
    assert answer.json()["tag"]["changeableAttributes"] == locked | {"readEnabled": True, "listEnabled": True}
    await oci.push_blob(client, "hello", b"layer")
    body = oci.image(b"{}", b"layer")
    put = await client.put("/v2/hello/manifests/v1", content=body, headers={"Content-Type": OCI_IMAGE})
    assert oci.problem(put) == (405, "DENIED")
    for path in ("/v2/hello/manifests/v1", f"/v2/hello/manifests/{digest}", "/acr/v1/hello/_tags/v1", "/acr/v1/hello"):
        assert oci.problem(await client.delete(path)) == (405, "DENIED")
    await client.patch("/acr/v1/hello/_tags/v1", json={"deleteEnabled": True})
    assert (await client.delete("/v2/hello/manifests/v1")).status_code == 202


async def test_a_locked_repository_takes_nothing(client: httpx.AsyncClient, oci: Oci) -> None:
    await oci.push(client, "hello", "v1")
    await client.patch("/acr/v1/hello", json={"writeEnabled": False})
    assert oci.problem(await client.post("/v2/hello/blobs/uploads/")) == (405, "DENIED")
    body = oci.image(b"{}")
    put = await client.put("/v2/hello/manifests/v2", content=body, headers={"Content-Type": OCI_IMAGE})
    assert oci.problem(put) == (405, "DENIED")


async def test_what_may_not_be_read_or_listed(client: httpx.AsyncClient, oci: Oci) -> None:
    digest = await oci.push(client, "hello", "v1")
    await client.patch(f"/acr/v1/hello/_manifests/{digest}", json={"readEnabled": False})
    assert oci.problem(await client.get("/v2/hello/manifests/v1")) == (405, "DENIED")
    await client.patch("/acr/v1/hello/_tags/v1", json={"listEnabled": False})
    assert (await client.get("/v2/hello/tags/list")).json()["tags"] == []
    await client.patch("/acr/v1/hello", json={"listEnabled": False})
    assert (await client.get("/v2/_catalog")).json()["repositories"] == []


async def test_a_repository_is_deleted_with_all_that_is_in_it(client: httpx.AsyncClient, oci: Oci) -> None:
    digest = await oci.push(client, "hello", "v1", b"layer")
    answer = await client.delete("/acr/v1/hello")
    assert answer.status_code == 202
    assert answer.json() == {"manifestsDeleted": [digest], "tagsDeleted": ["v1"]}
    assert oci.problem(await client.get("/acr/v1/hello")) == (404, "NAME_UNKNOWN")
    assert oci.problem(await client.get(f"/v2/hello/blobs/{oci.sha256(b'layer')}")) == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "/acr/v1/nobody", None, (404, "NAME_UNKNOWN")),
        ("GET", "/acr/v1/nobody/_tags", None, (404, "NAME_UNKNOWN")),
        ("GET", "/acr/v1/hello/_tags/v9", None, (404, "TAG_UNKNOWN")),
        ("GET", "/acr/v1/hello/_manifests/sha256:" + "0" * 64, None, (404, "MANIFEST_UNKNOWN")),
        ("GET", "/acr/v1/hello/_tags?orderby=colour", None, (400, "UNSUPPORTED")),
        ("DELETE", "/acr/v1/hello/_tags/v9", None, (404, "TAG_UNKNOWN")),
        ("PATCH", "/acr/v1/hello", b"no json", (400, "UNSUPPORTED")),
        ("PATCH", "/acr/v1/hello", b"[]", (400, "UNSUPPORTED")),
        ("PATCH", "/acr/v1/hello", b'{"writeEnabled": "yes"}', (400, "UNSUPPORTED")),
        ("POST", "/acr/v1/hello", None, (405, "UNSUPPORTED")),
        ("DELETE", "/acr/v1/_catalog", None, (405, "UNSUPPORTED")),
        ("GET", "/acr/v1/Hello", None, (400, "NAME_INVALID")),
    ],
)
async def test_what_is_wrong_is_refused(
    client: httpx.AsyncClient, oci: Oci, method: str, path: str, body: bytes | None, expected: tuple[int, str]
) -> None:
    await oci.push(client, "hello", "v1")
    assert oci.problem(await client.request(method, path, content=body)) == expected
