"""Storage accounts through ARM, and their blobs through the unmodified azure-storage-blob."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.storage import StorageManagementClient
from azure.storage.blob import BlobServiceClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.providers.storage.blobs.content import BlobContent
from windtunnel_emulators.store import Store

GROUP, ACCOUNT = "flights", "windtunneldata"
BODY = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}


@pytest.fixture(scope="module")
def emulators(launch: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Emulators as a process of their own, with an account."""
    with launch(tmp_path_factory.mktemp("storage")) as running:
        running.arm("PUT", f"/resourceGroups/{GROUP}", {"location": "westeurope"}, version="2022-09-01")
        yield running


@pytest.fixture(scope="module")
def arm(emulators: Any) -> Any:
    return emulators.client(StorageManagementClient)


@pytest.fixture(scope="module")
def service(arm: Any) -> Iterator[Any]:
    arm.storage_accounts.begin_create(GROUP, ACCOUNT, BODY).result()
    account = arm.storage_accounts.get_properties(GROUP, ACCOUNT)
    key = arm.storage_accounts.list_keys(GROUP, ACCOUNT).keys_property[0].value
    with BlobServiceClient(account.primary_endpoints.blob, credential=key) as client:
        yield client


def test_lines_are_appended_to_a_blob_and_read(service: Any) -> None:
    container = service.create_container("modeldata")
    blob = container.get_blob_client("a/b c/data.csv")
    blob.create_append_blob()
    for n in range(3):
        blob.append_block(f"{n}\n".encode())
    assert blob.download_blob().readall() == b"0\n1\n2\n"
    assert blob.download_blob(offset=2, length=2).readall() == b"1\n"
    properties = blob.get_blob_properties()
    assert (properties.blob_type, properties.size, properties.append_blob_committed_block_count) == ("AppendBlob", 6, 3)
    assert [found.name for found in container.list_blobs(name_starts_with="a/")] == ["a/b c/data.csv"]
    with pytest.raises(HttpResponseError) as moved:
        blob.append_block(b"x", appendpos_condition=3)
    assert cast("Any", moved.value).error_code == "AppendPositionConditionNotMet"


def test_a_large_blob_goes_up_in_blocks(service: Any) -> None:
    container = service.create_container("large")
    data = bytes(range(256)) * 4096
    options: Any = {"max_block_size": 100_000, "max_single_put_size": 1}
    with BlobServiceClient(service.url, credential=service.credential, **options) as small:
        small.get_blob_client("large", "b").upload_blob(data, metadata={"wing": "left"})
    blob = container.get_blob_client("b")
    assert blob.download_blob().readall() == data
    assert blob.get_blob_properties().metadata == {"wing": "left"}
    with pytest.raises(ResourceExistsError):
        blob.upload_blob(b"again")
    blob.upload_blob(b"again", overwrite=True)
    assert blob.download_blob().readall() == b"again"
    blob.delete_blob()
    with pytest.raises(ResourceNotFoundError):
        blob.get_blob_properties()


def test_lists_are_paged_and_have_folders(service: Any) -> None:
    container = service.create_container("paged")
    for n in range(7):
        container.upload_blob(f"{n % 2}/{n}", b"x")
    pages = [[b.name for b in page] for page in container.list_blobs(results_per_page=3).by_page()]
    assert len(pages[0]) == 3
    assert [name for page in pages for name in page] == sorted(f"{n % 2}/{n}" for n in range(7))
    assert sorted(b.name for b in container.walk_blobs()) == ["0/", "1/"]
    service.delete_container("paged")
    with pytest.raises(ResourceNotFoundError):
        list(container.list_blobs())


def test_wrong_keys_are_refused_and_regenerated_ones_hold(service: Any, arm: Any) -> None:
    with BlobServiceClient(service.url, credential="d3Jvbmc=") as stranger, pytest.raises(HttpResponseError) as refused:
        cast("Any", stranger).create_container("nobody")
    assert refused.value.status_code == 403
    with BlobServiceClient(service.url) as anonymous, pytest.raises(HttpResponseError) as unknown:
        cast("Any", anonymous).create_container("nobody")
    assert unknown.value.status_code == 401
    before = {k.key_name: k.value for k in arm.storage_accounts.list_keys(GROUP, ACCOUNT).keys_property}
    after = arm.storage_accounts.regenerate_key(GROUP, ACCOUNT, {"keyName": "key2"})
    found = {k.key_name: k.value for k in after.keys_property}
    assert found["key1"] == before["key1"]
    assert found["key2"] != before["key2"]
    with BlobServiceClient(service.url, credential=found["key2"]) as client:
        assert client.get_container_client("modeldata").exists() in (True, False)


def test_what_is_not_there_says_so(service: Any, arm: Any) -> None:
    with pytest.raises(HttpResponseError) as refused:
        service.get_service_properties()
    assert refused.value.status_code == 501
    with pytest.raises(HttpResponseError) as invalid:
        arm.storage_accounts.begin_create(GROUP, "UPPER", BODY).result()
    assert invalid.value.error is not None
    assert invalid.value.error.code == "AccountNameInvalid"
    assert not arm.storage_accounts.check_name_availability({"name": ACCOUNT}).name_available


def test_bytes_of_a_write_that_nobody_was_told_of_are_not_there(tmp_path: Path) -> None:
    from windtunnel_emulators.providers.storage.blobs.content import Blob, write

    async def story() -> bytes:
        content = BlobContent(Store(None), tmp_path, RealClock())
        file = content.new_file()
        empty = Blob(name="b", kind="AppendBlob", size=0, appends=0, file=file, etag="", created="", modified="",
                     content_type="text/csv")  # fmt: skip
        saved = content.save("a", "c", empty)
        write(content.path(file), 0, b"lost in a crash")
        assert saved.size == 0
        write(content.path(file), saved.size, b"kept")
        return content.path(file).read_bytes()

    assert asyncio.run(story()) == b"kept"
