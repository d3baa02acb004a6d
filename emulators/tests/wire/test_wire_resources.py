"""Microsoft.Resources by the unmodified azure-mgmt-resource, over TLS."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.resource.resources import ResourceManagementClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.wire.conftest import Launch, Launched

REGISTRY = "2023-07-01"


@pytest.fixture(scope="module")
def launched(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    with launch(tmp_path_factory.mktemp("resources")) as found:
        yield found


@pytest.fixture
def client(launched: Launched) -> Iterator[Any]:
    with launched.client(ResourceManagementClient) as found:
        yield cast("Any", found)


def code_of(refused: HttpResponseError) -> str | None:
    return None if refused.error is None else refused.error.code


def registry(name: str) -> dict[str, str]:
    return {
        "resource_provider_namespace": "Microsoft.ContainerRegistry",
        "parent_resource_path": "",
        "resource_type": "registries",
        "resource_name": name,
        "api_version": REGISTRY,
    }


def test_groups_are_created_listed_changed_and_deleted(client: Any) -> None:
    made = client.resource_groups.create_or_update("Group-1", {"location": "westus2", "tags": {"env": "test"}})
    assert (made.name, made.location, made.properties.provisioning_state) == ("Group-1", "westus2", "Succeeded")
    assert client.resource_groups.check_existence("GROUP-1")
    assert "Group-1" in [group.name for group in client.resource_groups.list()]
    filtered = client.resource_groups.list(filter="tagName eq 'env' and tagValue eq 'test'")
    assert [group.name for group in filtered] == ["Group-1"]
    assert client.resource_groups.update("group-1", {"tags": {"a": "b"}}).tags == {"a": "b"}
    started = time.monotonic()
    client.resource_groups.begin_delete("group-1").result()
    assert time.monotonic() - started < 10  # thirty seconds a poll if the client were told nothing
    assert not client.resource_groups.check_existence("group-1")
    with pytest.raises(ResourceNotFoundError) as missing:
        client.resource_groups.get("group-1")
    assert code_of(missing.value) == "ResourceGroupNotFound"


def test_any_resource_is_created_found_and_deleted_by_the_generic_client(client: Any) -> None:
    client.resource_groups.create_or_update("generic", {"location": "westus2"})
    body = {"location": "westus2", "sku": {"name": "Standard"}, "tags": {"a": "b"}, "properties": {}}
    made = client.resources.begin_create_or_update(
        "generic", parameters=body, polling_interval=0.1, **registry("genericregistry1")
    ).result()
    assert client.resources.check_existence("generic", **registry("GenericRegistry1"))
    assert client.resources.get_by_id(made.id, api_version=REGISTRY).name == "genericregistry1"
    listed = list(client.resources.list(filter="resourceType eq 'Microsoft.ContainerRegistry/registries'"))
    assert [(one.name, one.tags) for one in listed] == [("genericregistry1", {"a": "b"})]
    expanded = next(iter(client.resources.list_by_resource_group("generic", expand="createdTime,provisioningState")))
    assert expanded.provisioning_state == "Succeeded"
    assert expanded.created_time is not None
    tags = client.tags.begin_update_at_scope(
        made.id, {"operation": "Merge", "properties": {"tags": {"c": "d"}}}, polling_interval=0.1
    ).result()
    assert tags.properties.tags == {"a": "b", "c": "d"}
    client.resources.begin_delete_by_id(made.id, api_version=REGISTRY, polling_interval=0.1).result()
    assert not client.resources.check_existence("generic", **registry("genericregistry1"))


def test_pages_are_followed(client: Any) -> None:
    names = [f"page-{number}" for number in range(5)]
    for name in names:
        client.resource_groups.create_or_update(name, {"location": "westus2", "tags": {"of": "pages"}})
    pages = client.resource_groups.list(filter="tagName eq 'of'", top=2).by_page()
    assert [[group.name for group in page] for page in pages] == [names[:2], names[2:4], names[4:]]


def test_providers_say_what_they_have(client: Any) -> None:
    provider = client.providers.get("microsoft.containerinstance")
    assert (provider.namespace, provider.registration_state) == ("Microsoft.ContainerInstance", "Registered")
    groups = next(one for one in provider.resource_types if one.resource_type == "containerGroups")
    assert "2023-05-01" in groups.api_versions
    assert "West US 2" in groups.locations
    assert {one.namespace for one in client.providers.list()} >= {"Microsoft.Resources", "Microsoft.ContainerRegistry"}


def test_what_is_not_emulated_says_so(client: Any) -> None:
    client.resource_groups.create_or_update("export", {"location": "westus2"})
    with pytest.raises(HttpResponseError) as refused:
        client.resource_groups.begin_export_template("export", {"resources": ["*"]}, retry_total=0)
    assert refused.value.status_code == 501
    assert code_of(refused.value) == "NotImplemented"


def test_wrong_input_is_refused_with_azures_codes(client: Any) -> None:
    for name, body, code in (
        ("bad name", {"location": "westus2"}, "InvalidResourceGroup"),
        ("g", {"location": "atlantis"}, "LocationNotAvailableForResourceType"),
        ("g", {"location": "westus2", "tags": {"a<b": "c"}}, "InvalidTagNameCharacters"),
    ):
        with pytest.raises(HttpResponseError) as refused:
            client.resource_groups.create_or_update(name, body)
        assert (refused.value.status_code, code_of(refused.value)) == (400, code)


def test_a_hundred_megabytes_are_refused_and_the_emulators_stay_small(launched: Launched) -> None:
    token = launched.credential.get_token(f"{launched.base}/.default").token
    url = f"{launched.base}/subscriptions/{launched.environment['AZURE_SUBSCRIPTION_ID']}/resourceGroups/big"

    def megabytes() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1_000_000

    before = _resident_kb(launched.process.pid)
    for content in (b" " * 100_000_000, megabytes()):
        with launched.http(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
            answer = http.put(url, params={"api-version": "2022-09-01"}, content=content)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "RequestEntityTooLarge")
    assert _resident_kb(launched.process.pid) - before < 20_000


def _resident_kb(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
