"""``importImage``: from one emulated registry to another, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_emulators.registry.manifests import OCI_IMAGE, OCI_INDEX

if TYPE_CHECKING:
    from tests.registry.conftest import Cloud, Oci


async def registries(cloud: Cloud, oci: Oci) -> str:
    """Two registries, the first with an image and an index of it; returns the image's digest."""
    await cloud.create("source1", adminUserEnabled=True)
    await cloud.create("target2", adminUserEnabled=True)
    async with await cloud.signed_in("source1") as client:
        digest = await oci.push(client, "hello", "v1", b"layer")
        index = {"schemaVersion": 2, "manifests": [oci.descriptor(oci.image(b"{}", b"layer"), OCI_IMAGE)]}
        content = json.dumps(index).encode()
        answer = await client.put("/v2/hello/manifests/all", content=content, headers={"Content-Type": OCI_INDEX})
        assert answer.status_code == 201
    return digest


async def test_an_image_is_imported_with_all_that_it_needs(cloud: Cloud, oci: Oci) -> None:
    digest = await registries(cloud, oci)
    by_id = {"source": {"resourceId": cloud.registry_id("source1"), "sourceImage": "hello:all"}}
    assert (await cloud.call("POST", "registries/target2/importImage", by_id)).status_code == 200
    by_uri = {
        "source": {"registryUri": "source1.azurecr.io", "sourceImage": f"hello@{digest}"},
        "targetTags": ["copy/hello:v2"],
        "untaggedTargetRepositories": ["bare"],
    }
    assert (await cloud.call("POST", "registries/target2/importImage", by_uri)).status_code == 200
    async with await cloud.signed_in("target2") as client:
        assert (await client.get("/v2/_catalog")).json()["repositories"] == ["bare", "copy/hello", "hello"]
        for path in ("hello/manifests/all", "copy/hello/manifests/v2", f"bare/manifests/{digest}"):
            assert (await client.get(f"/v2/{path}")).status_code == 200
        assert (await client.get(f"/v2/copy/hello/blobs/{oci.sha256(b'layer')}")).content == b"layer"


async def test_a_tag_is_overwritten_only_by_force(cloud: Cloud, oci: Oci) -> None:
    digest = await registries(cloud, oci)
    async with await cloud.signed_in("target2") as client:
        other = await oci.push(client, "hello", "v1", b"other")
        assert other != digest
    body: dict[str, Any] = {"source": {"resourceId": cloud.registry_id("source1"), "sourceImage": "hello:v1"}}
    refused = await cloud.call("POST", "registries/target2/importImage", body)
    assert oci.refusal(refused) == (409, "TagAlreadyExists")
    assert (await cloud.call("POST", "registries/target2/importImage", {**body, "mode": "Force"})).status_code == 200
    assert cloud.content.resolve(cloud.registry_id("target2").lower(), "hello", "v1") == digest


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"resourceId": "/subscriptions/x", "sourceImage": "hello:v1"}, (404, "ResourceNotFound")),
        ({"registryUri": "docker.io", "sourceImage": "library/hello-world:latest"}, (501, "NotImplemented")),
        ({"sourceImage": "docker.io/library/hello-world:latest"}, (501, "NotImplemented")),
        ({"registryUri": "source1.azurecr.io", "sourceImage": "hello:v9"}, (404, "ImageNotFound")),
        ({"registryUri": "source1.azurecr.io", "sourceImage": "Hello:v9"}, (404, "ImageNotFound")),
        (
            {"registryUri": "source1.azurecr.io", "sourceImage": "hello:v1", "credentials": {"password": "wrong"}},
            (401, "InvalidCredentials"),
        ),
        ({}, (400, "InvalidRequestContent")),
    ],
)
async def test_what_cannot_be_imported(
    cloud: Cloud, oci: Oci, source: dict[str, Any], expected: tuple[int, str]
) -> None:
    await registries(cloud, oci)
    answer = await cloud.call("POST", "registries/target2/importImage", {"source": source})
    assert oci.refusal(answer) == expected
    assert cloud.content.usage(cloud.registry_id("target2").lower()) == 0


async def test_a_target_that_is_no_name_is_refused_and_nothing_is_copied(cloud: Cloud, oci: Oci) -> None:
    await registries(cloud, oci)
    body = {
        "source": {"resourceId": cloud.registry_id("source1"), "sourceImage": "hello:v1"},
        "targetTags": ["good:v1", "Bad Name:v1"],
    }
    answer = await cloud.call("POST", "registries/target2/importImage", body)
    assert oci.refusal(answer) == (400, "NAME_INVALID")
    assert cloud.content.usage(cloud.registry_id("target2").lower()) == 0
