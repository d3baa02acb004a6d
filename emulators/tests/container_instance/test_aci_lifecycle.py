"""A container group from creation to deletion, as the real service was recorded to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.container_instance.conftest import Emulators

    Make = Callable[..., dict[str, Any]]

SUBSCRIPTION = "22222222-2222-2222-2222-222222222222"
PUBLIC = {"type": "Public", "ports": [{"port": 80}]}


async def test_creating_is_announced_and_answers_the_whole_group(emulators: Emulators, body: Make) -> None:
    reply = await emulators.put("g1", body(ipAddress=PUBLIC))
    assert reply.status == 201
    link = reply.headers["azure-asyncoperation"]
    assert "/providers/Microsoft.ContainerInstance/locations/westus/operations/" in link
    assert link.endswith("?api-version=2018-06-01")
    assert "location" not in reply.headers
    assert reply.headers["x-ms-ratelimit-remaining-subscription-resource-requests-pt1h"] == "299"
    assert reply.headers["x-ms-ratelimit-remaining-subscription-resource-requests-pt5m"] == "99"
    properties = reply.body["properties"]
    assert properties["provisioningState"] == "Pending"
    assert properties["instanceView"] == {"events": [], "state": "Pending"}
    assert properties["sku"] == "Standard"
    assert properties["provisioningTimeoutInSeconds"] == 1800
    assert properties["isCustomProvisioningTimeout"] is False
    assert properties["isCreatedFromStandbyPool"] is False
    assert properties["initContainers"] == []
    assert properties["ipAddress"] == {"type": "Public", "ports": [{"port": 80, "protocol": "TCP"}]}
    container = properties["containers"][0]["properties"]
    assert container["environmentVariables"] == []
    assert container["configMap"] == {"keyValuePairs": {}}
    assert container["resources"] == {"requests": {"memoryInGB": 1.5, "cpu": 1.0}}
    assert "instanceView" not in container
    assert "tags" not in reply.body
    poll = await emulators.request("GET", link.removeprefix("https://localhost:4580"))
    assert (poll.status, poll.body["status"]) == (200, "Pending")
    assert poll.body["id"].endswith("/containerGroups/g1")
    await emulators.settled()
    poll = await emulators.request("GET", link.removeprefix("https://localhost:4580"))
    assert poll.body["status"] == "Succeeded"
    assert [event["name"] for event in poll.body["properties"]["events"]] == ["Pulling", "Pulled", "Created", "Started"]


async def test_old_api_versions_answer_the_address_at_once(emulators: Emulators, body: Make) -> None:
    # Recorded in 2020 with 2018-10-01; recordings of 2022 and later, with 2021-10-01, have it only once provisioned.
    path = f"{emulators.path('g1')}?api-version=2018-10-01"
    reply = await emulators.request("PUT", path, body(ipAddress=PUBLIC))
    assert reply.body["properties"]["ipAddress"]["ip"] == "127.77.0.1"
    await emulators.settled()
    shown = await emulators.get("g1")
    assert shown.body["properties"]["ipAddress"]["ip"] == emulators.runtime.running[0].spec.address == "127.77.0.1"


async def test_a_group_that_runs_says_so(emulators: Emulators, body: Make) -> None:
    shown = await emulators.created("g1", body(ipAddress=PUBLIC))
    properties = shown.body["properties"]
    assert properties["provisioningState"] == "Succeeded"
    assert properties["instanceView"]["state"] == "Running"
    assert properties["ipAddress"]["ip"] == "127.77.0.1"
    view = properties["containers"][0]["properties"]["instanceView"]
    assert view["restartCount"] == 0
    assert view["currentState"] == {"state": "Running", "startTime": "2026-01-01T00:00:00.000Z", "detailStatus": ""}
    assert view["events"][0] == {
        "count": 1,
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "name": "Pulling",
        "message": 'pulling image "run"',
        "type": "Normal",
    }


async def test_the_names_of_fields_and_words_are_read_in_any_case(emulators: Emulators) -> None:
    shown = await emulators.created(
        "g1",
        {
            "location": "West US",
            "properties": {
                "OSTYPE": "linux",
                "restartpolicy": "never",
                "ipaddress": {"Type": "public", "ports": [{"Port": 80, "protocol": "tcp"}]},
                "containers": [
                    {
                        "name": "a",
                        "properties": {
                            "image": "run",
                            "ports": [{"port": 80}],
                            "resources": {"requests": {"cpu": 1, "memoryInGb": 1}},
                        },
                    }
                ],
            },
        },
    )
    properties = shown.body["properties"]
    assert shown.body["location"] == "westus"
    assert (properties["osType"], properties["restartPolicy"]) == ("Linux", "Never")
    assert properties["ipAddress"]["ports"] == [{"port": 80, "protocol": "TCP"}]


async def test_a_list_has_no_instance_view(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body(ipAddress=PUBLIC))
    one = await emulators.request("GET", _collection("/resourceGroups/rg"))
    all_ = await emulators.request("GET", _collection())
    assert one.body == all_.body
    properties = one.body["value"][0]["properties"]
    assert "instanceView" not in properties
    assert "instanceView" not in properties["containers"][0]["properties"]
    assert properties["ipAddress"]["ip"] == "127.77.0.1"
    assert properties["provisioningState"] == "Succeeded"


async def test_secrets_are_never_answered(emulators: Emulators, body: Make) -> None:
    secret = body(
        volumes=[
            {"name": "files", "secret": {"a": "dG9wc2VjcmV0"}},
            {"name": "share", "azureFile": {"shareName": "s", "storageAccountName": "a", "storageAccountKey": "tops"}},
        ],
        imageRegistryCredentials=[{"server": "r.example.com", "username": "u", "password": "topsecret"}],
        diagnostics={"logAnalytics": {"workspaceId": "w", "workspaceKey": "topsecret", "logType": "ContainerInsights"}},
        extensions=[
            {
                "name": "e",
                "properties": {"extensionType": "t", "version": "1", "protectedSettings": {"x": "topsecret"}},
            }
        ],
    )
    secret["properties"]["containers"][0]["properties"]["environmentVariables"] = [
        {"name": "OPEN", "value": "1"},
        {"name": "SECRET", "secureValue": "topsecret"},
    ]
    reply = await emulators.put("g1", secret)
    assert reply.status == 201
    await emulators.settled()
    listed = await emulators.request("GET", _collection())
    shown = await emulators.get("g1")
    for answer in (reply.body, shown.body, listed.body["value"][0]):
        assert "tops" not in str(answer)
        properties = answer["properties"]
        assert properties["volumes"][0] == {"name": "files", "secret": {}}
        assert properties["imageRegistryCredentials"] == [{"server": "r.example.com", "username": "u"}]
        assert properties["diagnostics"] == {
            "logAnalytics": {"workspaceId": "w", "logType": "ContainerInsights"},
        }
        variables = properties["containers"][0]["properties"]["environmentVariables"]
        assert variables == [{"name": "OPEN", "value": "1"}, {"name": "SECRET"}]


async def test_a_container_is_given_what_its_group_says(emulators: Emulators, body: Make) -> None:
    asked = body(
        volumes=[{"name": "files", "secret": {"a.txt": "aGVsbG8="}}, {"name": "space", "emptyDir": {}}],
        imageRegistryCredentials=[{"server": "r.example.com", "username": "u", "password": "p"}],
    )
    container = asked["properties"]["containers"][0]["properties"]
    container["command"] = ["serve", "--now"]
    container["environmentVariables"] = [{"name": "A", "value": ""}, {"name": "B", "secureValue": "s"}]
    container["volumeMounts"] = [
        {"name": "files", "mountPath": "/etc/files/"},
        {"name": "space", "mountPath": "tmp/space", "readOnly": False},
    ]
    container["resources"]["limits"] = {"cpu": 1}
    await emulators.created("g1", asked)
    (running,) = emulators.runtime.running
    spec = running.spec
    assert spec.command == ("serve", "--now")
    assert dict(spec.environment) == {"A": "", "B": "s"}
    assert (spec.cpu, spec.memory_bytes, spec.ports) == (1.0, 3 * 2**29, (80,))
    assert [(m.target, m.read_only) for m in spec.mounts] == [("/etc/files", True), ("/tmp/space", False)]
    assert (spec.mounts[0].source / "a.txt").read_text() == "hello"
    assert list(spec.mounts[1].source.iterdir()) == []
    assert [(c.server, c.username, c.password) for c in emulators.runtime.pulls[0][1]] == [("r.example.com", "u", "p")]


async def test_deleting_answers_the_group_as_it_was_and_frees_everything(emulators: Emulators, body: Make) -> None:
    shown = await emulators.created("g1", body(ipAddress=PUBLIC))
    reply = await emulators.delete("g1")
    assert (reply.status, reply.body) == (200, shown.body)
    assert "azure-asyncoperation" not in reply.headers
    gone = await emulators.get("g1")
    assert (gone.status, gone.code) == (404, "ResourceNotFound")
    assert gone.message == (
        "The Resource 'Microsoft.ContainerInstance/containerGroups/g1' under resource group 'rg' was not found."
        " For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )
    await emulators.settled()
    assert emulators.runtime.running == []
    assert list((emulators.folder / "container_instance").iterdir()) == []
    again = await emulators.delete("g1")
    assert (again.status, again.body) == (204, None)


async def test_a_group_created_again_under_its_name_is_another_one(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body(ipAddress=PUBLIC))
    first = emulators.runtime.running[0]
    await emulators.delete("g1")
    await emulators.put("g1", body(ipAddress=PUBLIC))
    await emulators.settled()
    (second,) = emulators.runtime.running
    assert not first.running
    assert second.spec.directory != first.spec.directory
    assert (await emulators.get("g1")).body["properties"]["instanceView"]["state"] == "Running"


async def test_patch_replaces_tags_and_nothing_else(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", {**body(), "tags": {"a": "1"}})
    reply = await emulators.request("PATCH", emulators.path("g1"), {"tags": {"b": "2"}})
    assert (reply.status, reply.body["tags"]) == (200, {"b": "2"})
    assert reply.body["properties"]["provisioningState"] == "Succeeded"
    assert reply.body["properties"]["instanceView"]["state"] == "Running"
    assert len(emulators.runtime.containers) == 1
    refused = await emulators.request("PATCH", emulators.path("g1"), {"tags": {}, "properties": {"osType": "Windows"}})
    assert (refused.status, refused.code) == (400, "InvalidContainerGroupPatch")
    assert (await emulators.get("g1")).body["tags"] == {"b": "2"}


async def test_identities_have_the_ids_of_the_directory(emulators: Emulators, body: Make) -> None:
    user = "/subscriptions/s/resourcegroups/r/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
    both: dict[str, Any] = {
        **body(),
        "identity": {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {user: {}}},
        "zones": ["1"],
    }
    reply = await emulators.put("g1", both)
    identity = reply.body["identity"]
    assert reply.body["zones"] == ["1"]
    assert set(identity) == {"userAssignedIdentities", "principalId", "tenantId", "type"}
    assert set(identity["userAssignedIdentities"][user]) == {"principalId", "clientId"}
    await emulators.settled()
    assert (await emulators.put("g1", both)).body["identity"] == identity


async def test_a_label_gives_a_name_at_once(emulators: Emulators, body: Make) -> None:
    plain = await emulators.put("g1", body(ipAddress={**PUBLIC, "dnsNameLabel": "label-1"}))
    assert plain.body["properties"]["ipAddress"]["fqdn"] == "label-1.westus.azurecontainer.io"
    scoped = {**PUBLIC, "dnsNameLabel": "label-1", "autoGeneratedDomainNameLabelScope": "ResourceGroupReuse"}
    hashed = await emulators.put("g2", body(ipAddress=scoped))
    label, mark, rest = hashed.body["properties"]["ipAddress"]["fqdn"].split(".", 2)
    assert (label, rest, len(mark)) == ("label-1", "westus.azurecontainer.io", 16)
    taken = await emulators.put("g3", body(ipAddress={**PUBLIC, "dnsNameLabel": "label-1"}))
    assert (taken.status, taken.code) == (409, "DnsNameLabelNotAvailable")
    assert (
        taken.message
        == "The DNS name label 'label-1' in container group 'g3' not available. Try using a different label."
    )
    assert (await emulators.get("g3")).status == 404
    await emulators.settled()
    await emulators.delete("g1")
    assert (await emulators.put("g3", body(ipAddress={**PUBLIC, "dnsNameLabel": "label-1"}))).status == 201


def _collection(group: str = "") -> str:
    return f"/subscriptions/{SUBSCRIPTION}{group}/providers/Microsoft.ContainerInstance/containerGroups"
