"""Manifests, tags and referrers over HTTP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.registry.manifests import LARGEST, OCI_IMAGE, OCI_INDEX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from tests.registry.conftest import Cloud, Oci


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    await cloud.create(adminUserEnabled=True)
    async with await cloud.signed_in() as signed_in:
        yield signed_in


async def test_an_image_is_pushed_and_pulled(client: httpx.AsyncClient, oci: Oci) -> None:
    digest = await oci.push(client, "team/hello", "v1", b"layer")
    for reference in ("v1", digest):
        answer = await client.get(f"/v2/team/hello/manifests/{reference}")
        assert answer.content == oci.image(b"{}", b"layer")
        assert answer.headers["Content-Type"] == OCI_IMAGE
        assert answer.headers["Docker-Content-Digest"] == digest
        head = await client.head(f"/v2/team/hello/manifests/{reference}")
        assert head.headers["Content-Length"] == str(len(answer.content))
        assert head.content == b""
    same = await client.get("/v2/team/hello/manifests/v1", headers={"If-None-Match": f'"{digest}"'})
    assert same.status_code == 304


async def test_tags_are_listed_a_page_at_a_time(client: httpx.AsyncClient, oci: Oci) -> None:
    for tag in ("v10", "v2", "V3", "a"):
        await oci.push(client, "hello", tag)
    assert (await client.get("/v2/hello/tags/list")).json() == {"name": "hello", "tags": ["V3", "a", "v10", "v2"]}
    seen: list[str] = []
    link = "/v2/hello/tags/list?n=3"
    pages = 0
    while link:
        answer = await client.get(link)
        seen += answer.json()["tags"]
        link = answer.links["next"]["url"] if "next" in answer.links else ""
        pages += 1
    assert (seen, pages) == (["V3", "a", "v10", "v2"], 2)
    assert (await client.get("/v2/hello/tags/list?n=0")).json()["tags"] == []
    assert oci.problem(await client.get("/v2/hello/tags/list?n=many")) == (400, "PAGINATION_NUMBER_INVALID")
    assert oci.problem(await client.get("/v2/nobody/tags/list")) == (404, "NAME_UNKNOWN")


async def test_a_push_by_digest_gives_the_tags_that_it_names(client: httpx.AsyncClient, oci: Oci) -> None:
    await oci.push_blob(client, "hello", b"{}")
    body = oci.image(b"{}")
    path = f"/v2/hello/manifests/{oci.sha256(body)}"
    answer = await client.put(path, content=body, headers={"Content-Type": OCI_IMAGE}, params={"tag": ["a", "b"]})
    assert (answer.status_code, answer.headers["OCI-Tag"]) == (201, "a, b")
    assert (await client.get("/v2/hello/tags/list")).json()["tags"] == ["a", "b"]
    many = await client.put(path, content=body, headers={"Content-Type": OCI_IMAGE}, params={"tag": ["t"] * 11})
    assert oci.problem(many) == (400, "TAG_INVALID")


async def test_referrers_are_filtered_by_type(client: httpx.AsyncClient, oci: Oci) -> None:
    digest = await oci.push(client, "hello", "v1")
    subject = oci.descriptor(oci.image(b"{}"), OCI_IMAGE)
    for kind in ("application/x.sig", "application/x.sbom"):
        await oci.push(client, "hello", "", artifactType=kind, subject=subject)
    body = oci.image(b"{}", artifactType="application/x.sig", subject=subject)
    again = await client.put(
        f"/v2/hello/manifests/{oci.sha256(body)}", content=body, headers={"Content-Type": OCI_IMAGE}
    )
    assert again.headers["OCI-Subject"] == digest
    every = await client.get(f"/v2/hello/referrers/{digest}")
    assert every.headers["Content-Type"] == OCI_INDEX
    assert len(every.json()["manifests"]) == 2
    some = await client.get(f"/v2/hello/referrers/{digest}", params={"artifactType": "application/x.sig"})
    assert some.headers["OCI-Filters-Applied"] == "artifactType"
    assert [found["artifactType"] for found in some.json()["manifests"]] == ["application/x.sig"]
    none = await client.get(f"/v2/nobody/referrers/{digest}")
    assert (none.status_code, none.json()["manifests"]) == (200, [])


async def test_deleting_a_tag_and_a_manifest(client: httpx.AsyncClient, oci: Oci) -> None:
    digest = await oci.push(client, "hello", "v1")
    await oci.push(client, "hello", "v2")
    assert (await client.delete("/v2/hello/manifests/v1")).status_code == 202
    assert oci.problem(await client.get("/v2/hello/manifests/v1")) == (404, "MANIFEST_UNKNOWN")
    assert (await client.get(f"/v2/hello/manifests/{digest}")).status_code == 200
    assert (await client.delete(f"/v2/hello/manifests/{digest}")).status_code == 202
    assert oci.problem(await client.get("/v2/hello/manifests/v2")) == (404, "MANIFEST_UNKNOWN")
    assert (await client.get("/v2/_catalog")).json() == {"repositories": []}


@pytest.mark.parametrize(
    ("reference", "body", "expected"),
    [
        ("v1", b"no json", (400, "MANIFEST_INVALID")),
        ("v1", b"{}", (400, "MANIFEST_INVALID")),
        ("-v1", b"{}", (400, "TAG_INVALID")),
        ("x" * 129, b"{}", (400, "TAG_INVALID")),
        ("sha256:short", b"{}", (400, "DIGEST_INVALID")),
        ("v1", b" " * (LARGEST + 1), (413, "SIZE_INVALID")),
    ],
)
async def test_what_is_no_manifest_is_refused(
    client: httpx.AsyncClient, oci: Oci, reference: str, body: bytes, expected: tuple[int, str]
) -> None:
    path = f"/v2/hello/manifests/{reference}"
    answer = await client.put(path, content=body, headers={"Content-Type": OCI_IMAGE})
    assert oci.problem(answer) == expected
    assert (await client.get("/v2/_catalog")).json() == {"repositories": []}


async def test_an_endless_manifest_is_not_read_to_its_end(client: httpx.AsyncClient, oci: Oci) -> None:
    sent: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        for number in range(10_000):
            sent.append(number)
            yield b" " * (1 << 20)

    answer = await client.put("/v2/hello/manifests/v1", content=endless(), headers={"Content-Type": OCI_IMAGE})
    assert oci.problem(answer) == (413, "SIZE_INVALID")
    assert len(sent) < 10


async def test_a_missing_layer_is_named(client: httpx.AsyncClient, oci: Oci) -> None:
    await oci.push_blob(client, "hello", b"{}")
    body = oci.image(b"{}", b"never pushed")
    answer = await client.put("/v2/hello/manifests/v1", content=body, headers={"Content-Type": OCI_IMAGE})
    assert oci.problem(answer) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert answer.json()["errors"][0]["detail"] == {"digest": oci.sha256(b"never pushed")}


async def test_images_outlive_a_restart(cloud: Cloud, oci: Oci) -> None:
    await cloud.create(adminUserEnabled=True)
    async with await cloud.signed_in() as client:
        digest = await oci.push(client, "hello", "v1", b"layer")
    await cloud.restart()
    async with await cloud.signed_in() as client:
        answer = await client.get("/v2/hello/manifests/v1")
        assert answer.headers["Docker-Content-Digest"] == digest
        layer = json.loads(answer.content)["layers"][0]["digest"]
        assert (await client.get(f"/v2/hello/blobs/{layer}")).content == b"layer"


async def test_registries_share_nothing_but_files(cloud: Cloud, client: httpx.AsyncClient, oci: Oci) -> None:
    await cloud.create("another2", adminUserEnabled=True)
    digest = await oci.push(client, "hello", "v1")
    async with await cloud.signed_in("another2") as other:
        assert oci.problem(await other.get(f"/v2/hello/manifests/{digest}")) == (404, "MANIFEST_UNKNOWN")
        assert (await other.get("/v2/_catalog")).json() == {"repositories": []}
