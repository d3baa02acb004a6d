"""The blob endpoint of tasks: signed uploads of contexts, logs in ranges, refusals in Azure Storage's shape."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import httpx
import pytest

from windtunnel_emulators.providers.container_registry import blob_endpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.registry.conftest import Cloud

VERSION = "2025-03-01-preview"
BLOCK_BLOB = {"x-ms-blob-type": "BlockBlob"}


async def upload_url(cloud: Cloud) -> tuple[str, str]:
    """Relative path and URL."""
    found = (await cloud.call("POST", "registries/registry1/listBuildSourceUploadUrl", version=VERSION)).json()
    return found["relativePath"], found["uploadUrl"]


def refusal(answer: httpx.Response) -> tuple[int, str]:
    code = re.search(r"<Code>(\w+)</Code>", answer.text)
    assert answer.headers["x-ms-error-code"] == (code[1] if code else "")
    return answer.status_code, code[1] if code else ""


async def test_a_context_is_uploaded_whole(cloud: Cloud) -> None:
    await cloud.create()
    relative, url = await upload_url(cloud)
    assert url.startswith("https://localhost:4580/acrblobs/contexts/")
    assert cloud.service.contexts.find(relative) is None
    answer = await cloud.client.put(url, content=b"tar", headers=BLOCK_BLOB)
    assert answer.status_code == 201
    assert answer.headers["etag"]
    assert answer.headers["last-modified"] == "Thu, 01 Jan 2026 00:00:00 GMT"
    found = cloud.service.contexts.find(relative)
    assert found is not None
    assert found.read_bytes() == b"tar"


async def test_a_context_is_uploaded_in_blocks(cloud: Cloud) -> None:
    await cloud.create()
    relative, url = await upload_url(cloud)
    ids = [base64.b64encode(f"block-{number}".encode()).decode() for number in range(3)]
    for number, id in enumerate(ids):
        answer = await cloud.client.put(
            url, params={**parameters(url), "comp": "block", "blockid": id}, content=f"{number},".encode()
        )
        assert answer.status_code == 201
    wanted = "".join(f"<Latest>{id}</Latest>" for id in (ids[2], ids[0]))
    xml = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{wanted}</BlockList>'
    query = {**parameters(url), "comp": "blocklist"}
    assert (await cloud.client.put(url, params=query, content=xml)).status_code == 201
    found = cloud.service.contexts.find(relative)
    assert found is not None
    assert found.read_bytes() == b"2,0,"
    assert [path.name for path in found.parent.iterdir()] == [found.name]
    missing = await cloud.client.put(url, params=query, content="<BlockList><Latest>bm9uZQ==</Latest></BlockList>")
    assert refusal(missing) == (400, "InvalidBlockList")


async def test_a_context_over_the_limit_is_refused_and_not_kept(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_endpoint, "LARGEST_CONTEXT", 10)
    await cloud.create()
    relative, url = await upload_url(cloud)

    async def unsaid() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"12345"

    for content in (b"12345678901", unsaid()):
        answer = await cloud.client.put(url, content=content, headers=BLOCK_BLOB)
        assert refusal(answer) == (413, "RequestBodyTooLarge")
    assert cloud.service.contexts.find(relative) is None
    assert list((cloud.service.folder / "contexts").iterdir()) == []
    for number, status in ((0, 201), (1, 201), (2, 413)):
        query = {**parameters(url), "comp": "block", "blockid": str(number)}
        assert (await cloud.client.put(url, params=query, content=b"1234")).status_code == status


async def test_a_link_ends_after_an_hour(cloud: Cloud) -> None:
    await cloud.create()
    _, url = await upload_url(cloud)
    await cloud.clock.advance(3599)
    assert (await cloud.client.put(url, content=b"x", headers=BLOCK_BLOB)).status_code == 201
    await cloud.clock.advance(2)
    answer = await cloud.client.put(url, content=b"x", headers=BLOCK_BLOB)
    assert refusal(answer) == (403, "AuthenticationFailed")
    assert "not valid in the specified time frame" in answer.text


@pytest.mark.parametrize("change", [{"sig": "AAAA"}, {"se": "2099-01-01T00:00:00Z"}, {"sp": "rcw"}, {"sig": ""}])
async def test_a_link_that_was_changed_is_refused(cloud: Cloud, change: dict[str, str]) -> None:
    await cloud.create()
    _, url = await upload_url(cloud)
    answer = await cloud.client.put(url, params={**parameters(url), **change}, content=b"x", headers=BLOCK_BLOB)
    assert refusal(answer) == (403, "AuthenticationFailed")
    assert "Signature did not match" in answer.text


async def test_a_link_is_for_its_own_path_and_use(cloud: Cloud) -> None:
    await cloud.create()
    first, url = await upload_url(cloud)
    second, _ = await upload_url(cloud)
    elsewhere = await cloud.client.put(url.replace(first, second), content=b"x", headers=BLOCK_BLOB)
    assert refusal(elsewhere) == (403, "AuthenticationFailed")
    assert refusal(await cloud.client.get(url)) == (403, "AuthenticationFailed")
    assert (await cloud.client.delete(url)).status_code == 405


async def test_an_upload_says_what_kind_of_blob_it_is(cloud: Cloud) -> None:
    await cloud.create()
    _, url = await upload_url(cloud)
    assert refusal(await cloud.client.put(url, content=b"x")) == (400, "MissingRequiredHeader")
    page = await cloud.client.put(url, content=b"x", headers={"x-ms-blob-type": "PageBlob"})
    assert refusal(page) == (400, "InvalidHeaderValue")
    snapshot = await cloud.client.put(url, params={**parameters(url), "comp": "snapshot"}, content=b"x")
    assert refusal(snapshot) == (400, "InvalidQueryParameterValue")


async def test_contexts_are_removed_after_a_day(cloud: Cloud) -> None:
    await cloud.create()
    relative, url = await upload_url(cloud)
    await cloud.client.put(url, content=b"x", headers=BLOCK_BLOB)
    found = cloud.service.contexts.find(relative)
    assert found is not None
    cloud.service.contexts.expire(found.stat().st_mtime - 1)
    assert cloud.service.contexts.find(relative) is not None
    cloud.service.contexts.expire(found.stat().st_mtime + 1)
    assert cloud.service.contexts.find(relative) is None


async def test_a_log_is_read_in_ranges_while_it_grows(cloud: Cloud) -> None:
    await cloud.create()
    body = {
        "type": "DockerBuildRequest",
        "platform": {"os": "Linux"},
        "dockerFilePath": "Dockerfile",
        "sourceLocation": "https://github.com/example/example.git",
    }
    await cloud.call("POST", "registries/registry1/scheduleRun", body, version=VERSION)
    path = "registries/registry1/runs/cf1/listLogSasUrl"
    link = (await cloud.call("POST", path, version=VERSION)).json()["logLink"]
    empty = await cloud.client.head(link)
    assert (empty.status_code, empty.headers["content-length"]) == (200, "0")
    assert "x-ms-meta-complete" not in empty.headers
    nothing = await cloud.client.get(link, headers={"x-ms-range": "bytes=0-4095"})
    assert refusal(nothing) == (416, "InvalidRange")
    await cloud.settled()
    head = await cloud.client.head(link)
    size = int(head.headers["content-length"])
    assert head.headers["x-ms-meta-complete"] == "failed"
    assert head.headers["x-ms-blob-type"] == "AppendBlob"
    assert head.headers["etag"] != empty.headers["etag"]
    whole = await cloud.client.get(link)
    assert len(whole.content) == size
    first = await cloud.client.get(link, headers={"x-ms-range": "bytes=0-9"})
    assert (first.status_code, first.content) == (206, whole.content[:10])
    assert first.headers["content-range"] == f"bytes 0-9/{size}"
    rest = await cloud.client.get(link, headers={"Range": "bytes=10-"})
    assert rest.content == whole.content[10:]


def parameters(url: str) -> dict[str, str]:
    return dict(httpx.URL(url).params)
