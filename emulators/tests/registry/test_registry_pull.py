"""Images for the runtime: found by either name of a registry, with credentials that are really checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.registry.manifests import OCI_IMAGE, OCI_INDEX
from windtunnel_emulators.registry.pull import RegistrySource
from windtunnel_emulators.runtime.interface import Credentials, ImageError

if TYPE_CHECKING:
    from tests.registry.conftest import Cloud, Oci

CONFIG = b'{"architecture": "amd64", "os": "linux", "config": {"Cmd": ["run"]}}'


async def source_of(cloud: Cloud) -> RegistrySource:
    return RegistrySource(cloud.service.registries, cloud.content, cloud.service.access)


async def credentials_of(cloud: Cloud, server: str) -> Credentials:
    user, password = await cloud.admin()
    return Credentials(server=server, username=user, password=password)


async def test_an_image_is_fetched_by_either_name(cloud: Cloud, oci: Oci) -> None:
    server = (await cloud.create(adminUserEnabled=True))["properties"]["loginServer"]
    async with await cloud.signed_in() as client:
        digest = await oci.push(client, "team/hello", "v1", b"one", b"two", config=CONFIG)
    source = await source_of(cloud)
    for name in (server, "Registry1.azurecr.io", server.replace("localhost", "127.0.0.1")):
        assert source.owns(f"{name}/team/hello:v1")
        for reference in (f"{name}/team/hello:v1", f"{name}/team/hello@{digest}"):
            image = source.fetch(reference, [await credentials_of(cloud, f"https://{server}/")])
            assert image.digest == digest
            assert image.config["config"] == {"Cmd": ["run"]}
            assert [path.read_bytes() for path in image.layers] == [b"one", b"two"]
    for other in ("hello", "library/hello:v1", "other.azurecr.io/hello", "localhost:1/hello", "docker.io/hello"):
        assert not source.owns(other)


async def test_credentials_are_checked(cloud: Cloud, oci: Oci) -> None:
    server = (await cloud.create(adminUserEnabled=True))["properties"]["loginServer"]
    async with await cloud.signed_in() as client:
        await oci.push(client, "hello", "latest", config=CONFIG)
    source = await source_of(cloud)
    good = await credentials_of(cloud, server)
    wrong = Credentials(server=server, username="registry1", password="wrong")
    elsewhere = Credentials(server="other.azurecr.io", username=good.username, password=good.password)
    for given, why in (((), "needs credentials"), ((elsewhere,), "refused"), ((wrong,), "refused")):
        with pytest.raises(ImageError, match=why) as refused:
            source.fetch(f"{server}/hello", given)
        assert refused.value.denied
        assert good.password not in str(refused.value)
    assert source.fetch(f"{server}/hello", (elsewhere, good)).layers == ()
    await cloud.call("PATCH", "registries/registry1", {"properties": {"adminUserEnabled": False}})
    with pytest.raises(ImageError, match="admin user of registry registry1 is disabled"):
        source.fetch(f"{server}/hello", (good,))
    await cloud.call("PATCH", "registries/registry1", {"properties": {"anonymousPullEnabled": True}})
    assert source.fetch(f"{server}/hello").digest


async def test_an_image_that_is_not_there(cloud: Cloud) -> None:
    server = (await cloud.create(anonymousPullEnabled=True))["properties"]["loginServer"]
    source = await source_of(cloud)
    with pytest.raises(ImageError, match="repository 'hello' has no 'v1'") as refused:
        source.fetch(f"{server}/hello:v1")
    assert refused.value.denied
    with pytest.raises(ImageError, match="no registry"):
        source.fetch("gone.azurecr.io/hello:v1")


async def test_an_index_gives_its_image_for_linux(cloud: Cloud, oci: Oci) -> None:
    server = (await cloud.create(adminUserEnabled=True, anonymousPullEnabled=True))["properties"]["loginServer"]
    async with await cloud.signed_in() as client:
        digest = await oci.push(client, "hello", "", b"layer", config=CONFIG)
        image = oci.descriptor(oci.image(CONFIG, b"layer"), OCI_IMAGE)
        entries = [
            {**image, "platform": {"os": "linux", "architecture": architecture}} for architecture in ("amd64", "arm64")
        ]
        for tag, manifests in (("all", entries), ("windows", [{**image, "platform": {"os": "windows"}}])):
            index = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
            headers = {"Content-Type": OCI_INDEX}
            answer = await client.put(f"/v2/hello/manifests/{tag}", content=index, headers=headers)
            assert answer.status_code == 201
    source = await source_of(cloud)
    assert source.fetch(f"{server}/hello:all").digest == digest
    with pytest.raises(ImageError, match="nothing for Linux") as refused:
        source.fetch(f"{server}/hello:windows")
    assert not refused.value.denied


async def test_a_part_that_is_gone_is_named(cloud: Cloud, oci: Oci) -> None:
    server = (await cloud.create(adminUserEnabled=True, anonymousPullEnabled=True))["properties"]["loginServer"]
    async with await cloud.signed_in() as client:
        await oci.push(client, "hello", "v1", b"layer", config=CONFIG)
        await client.delete(f"/v2/hello/blobs/{oci.sha256(b'layer')}")
    with pytest.raises(ImageError, match=oci.sha256(b"layer")):
        (await source_of(cloud)).fetch(f"{server}/hello:v1")
