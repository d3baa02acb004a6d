"""Microsoft's own client of registries and of blob storage, at the registries' ports and the tasks' signed links."""

# The SDKs do not say what their keyword arguments are.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import hashlib
import io
import os
import signal
import tarfile
import time
from typing import TYPE_CHECKING, Any

import pytest
from azure.containerregistry import ArtifactTagOrder, ContainerRegistryClient
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobClient

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.wire.conftest import Launch, Launched

AUDIENCE = "https://containerregistry.azure.net"
REGISTRY = "/providers/Microsoft.ContainerRegistry/registries/wiredata1"
TASKS = "2025-03-01-preview"
_DEADLINE_S = 30.0


def arm(launched: Launched, method: str, path: str, body: object = None, version: str = "2023-07-01") -> Any:
    return launched.arm(method, f"/resourceGroups/data{path}", body, version=version)


def registry_of(launched: Launched) -> str:
    """The login server of the tests' registry, made when it is not there."""
    arm(launched, "PUT", "", {"location": "westus"}, "2022-09-01")
    wanted = {"location": "westus", "sku": {"name": "Premium"}, "properties": {"adminUserEnabled": True}}
    return str(arm(launched, "PUT", REGISTRY, wanted)["properties"]["loginServer"])


def client_of(launched: Launched) -> ContainerRegistryClient:
    return ContainerRegistryClient(
        f"https://{registry_of(launched)}",
        launched.credential,
        audience=AUDIENCE,
        connection_verify=launched.bundle,
    )


@pytest.fixture(scope="module")
def emulated(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Generator[Launched]:
    with launch(tmp_path_factory.mktemp("emulators")) as launched:
        yield launched


def packed(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def build(launched: Launched, tag: str, *, block: int = 64 * 1024 * 1024) -> str:
    """Upload a context by azure-storage-blob, in blocks of a size, and schedule its build; returns the run."""
    bundle = launched.bundle
    source = arm(launched, "POST", f"{REGISTRY}/listBuildSourceUploadUrl", None, TASKS)
    dockerfile = b'FROM python:3.11-slim\nCOPY filler /filler\nCMD ["python", "--version"]\n'
    blob = BlobClient.from_blob_url(
        source["uploadUrl"], connection_verify=bundle, max_single_put_size=block, max_block_size=block
    )
    blob.upload_blob(packed({"Dockerfile": dockerfile, "filler": os.urandom(20_000)}), overwrite=True)
    request = {
        "type": "DockerBuildRequest",
        "imageNames": [f"hello:{tag}"],
        "sourceLocation": source["relativePath"],
        "platform": {"os": "Linux"},
        "dockerFilePath": "Dockerfile",
    }
    return str(arm(launched, "POST", f"{REGISTRY}/scheduleRun", request, TASKS)["name"])


def ended(launched: Launched, run: str) -> dict[str, Any]:
    end = time.monotonic() + _DEADLINE_S
    while True:
        properties: dict[str, Any] = arm(launched, "GET", f"{REGISTRY}/runs/{run}", None, TASKS)["properties"]
        if properties["status"] not in ("Queued", "Running"):
            return properties
        assert time.monotonic() < end, "the run does not end"
        time.sleep(0.05)


def test_the_log_of_a_run_is_read_as_a_blob(emulated: Launched) -> None:
    registry_of(emulated)
    run = build(emulated, "log", block=4096)
    assert ended(emulated, run)["status"] == "Succeeded"
    link = arm(emulated, "POST", f"{REGISTRY}/runs/{run}/listLogSasUrl", None, TASKS)["logLink"]
    bundle = emulated.bundle
    properties = BlobClient.from_blob_url(link, connection_verify=bundle).get_blob_properties()
    assert properties.metadata == {"complete": "successful"}
    in_pieces = BlobClient.from_blob_url(
        link, connection_verify=bundle, max_single_get_size=100, max_chunk_get_size=100
    )
    log = in_pieces.download_blob().readall()
    assert len(log) == properties.size
    assert b"Step 2/3 : COPY filler /filler\r\n" in log


def test_the_registry_client_lists_describes_and_locks(emulated: Launched) -> None:
    client = client_of(emulated)
    image = ended(emulated, build(emulated, "v1"))["outputImages"][0]
    assert "hello" in list(client.list_repository_names())
    tag = client.get_tag_properties("hello", "v1")
    assert tag.digest == image["digest"]
    manifest = client.get_manifest_properties("hello", "v1")
    assert manifest.architecture is not None
    assert manifest.tags is not None
    assert "v1" in manifest.tags
    newest = [
        tag.name for tag in client.list_tag_properties("hello", order_by=ArtifactTagOrder.LAST_UPDATED_ON_DESCENDING)
    ]
    assert newest[0] == "v1"
    assert client.update_tag_properties("hello", "v1", can_write=False, can_delete=False).can_write is False
    with pytest.raises(HttpResponseError) as refused:
        client.delete_tag("hello", "v1")
    assert refused.value.status_code == 405
    client.update_tag_properties("hello", "v1", can_write=True, can_delete=True)
    client.delete_tag("hello", "v1")
    with pytest.raises(ResourceNotFoundError):
        client.get_tag_properties("hello", "v1")


def test_the_registry_client_moves_blobs_and_manifests(emulated: Launched) -> None:
    client = client_of(emulated)
    data = os.urandom(5_000_000)
    digest, size = client.upload_blob("moved", io.BytesIO(data))
    assert size == len(data)
    assert b"".join(client.download_blob("moved", digest)) == data
    config, config_size = client.upload_blob("moved", io.BytesIO(b"{}"))
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size}],
    }
    stored = client.set_manifest("moved", manifest, tag="latest")
    found = client.get_manifest("moved", "latest")
    assert (found.digest, found.media_type, found.manifest) == (stored, kind, manifest)
    client.delete_repository("moved")
    assert "moved" not in list(client.list_repository_names())


def test_nothing_acknowledged_is_lost_by_a_kill(launch: Launch, tmp_path: Path) -> None:
    with launch(tmp_path) as first:
        server = registry_of(first)
        client = client_of(first)
        digest, _ = client.upload_blob("kept", io.BytesIO(b"acknowledged"))
        passwords = arm(first, "POST", f"{REGISTRY}/listCredentials")
        auth = (str(passwords["username"]), str(passwords["passwords"][0]["value"]))
        with first.http(auth=auth) as http:
            location = http.post(f"https://{server}/v2/kept/blobs/uploads/").headers["Location"]
            assert http.patch(f"https://{server}{location}", content=b"half of it ").status_code == 202
        runs = [build(first, f"v{number}") for number in range(3)]
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    with launch(tmp_path) as second:
        assert registry_of(second) == server
        for number, run in enumerate(runs):
            properties = ended(second, run)
            assert properties["status"] == "Succeeded"
            assert properties["outputImages"][0]["tag"] == f"v{number}"
        client = client_of(second)
        assert b"".join(client.download_blob("kept", digest)) == b"acknowledged"
        assert {tag.name for tag in client.list_tag_properties("hello")} == {"v0", "v1", "v2"}
        with second.http(auth=auth) as http:
            assert http.get(f"https://{server}{location}").headers["Range"] == "0-10"
            assert http.patch(f"https://{server}{location}", content=b"and the rest").status_code == 202
            whole = f"sha256:{hashlib.sha256(b'half of it and the rest').hexdigest()}"
            assert http.put(f"https://{server}{location}", params={"digest": whole}).status_code == 201
