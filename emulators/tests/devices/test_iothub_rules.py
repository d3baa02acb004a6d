"""What ARM lets a hub be, and what becomes of a hub when emulators start again."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_emulators.iot.hub.addresses import MQTT_PORT
from windtunnel_emulators.server import bound

if TYPE_CHECKING:
    from tests.devices.conftest import Emulators

BODY: dict[str, Any] = {"location": "westus2", "sku": {"name": "S1", "capacity": 1}}


async def refused(emulators: Emulators, name: str, body: object) -> tuple[int, str]:
    answer = await emulators.request("PUT", emulators.hub(name), body)
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize("name", ["ab", "-abc", "abc-", "a_bc", "x" * 51])
async def test_names_that_no_hub_may_have(emulators: Emulators, name: str) -> None:
    assert await refused(emulators, name, BODY) == (400, "InvalidHubName")
    path = "/providers/Microsoft.Devices/checkNameAvailability"
    answer = (await emulators.request("POST", path, {"name": name})).json()
    assert (answer["nameAvailable"], answer["reason"]) == (False, "Invalid")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"location": "westus2"}, "InvalidSku"),
        ({**BODY, "sku": {"name": "X1"}}, "InvalidSku"),
        ({**BODY, "sku": {"name": "S1", "capacity": 201}}, "InvalidSkuCapacity"),
        ({**BODY, "sku": {"name": "S3", "capacity": 11}}, "InvalidSkuCapacity"),
        ({**BODY, "sku": {"name": "F1", "capacity": 2}}, "InvalidSkuCapacity"),
        ({**BODY, "sku": {"name": "S1", "capacity": True}}, "InvalidSkuCapacity"),
        ({**BODY, "properties": {"eventHubEndpoints": {"events": {"partitionCount": 33}}}}, "InvalidProperty"),
        ({**BODY, "properties": {"eventHubEndpoints": {"events": {"retentionTimeInDays": 8}}}}, "InvalidProperty"),
        ({**BODY, "properties": {"cloudToDevice": {"defaultTtlAsIso8601": "PT49H"}}}, "InvalidDuration"),
        ({**BODY, "properties": {"cloudToDevice": {"defaultTtlAsIso8601": "soon"}}}, "InvalidDuration"),
        ({**BODY, "properties": {"cloudToDevice": {"maxDeliveryCount": 101}}}, "InvalidProperty"),
        ({**BODY, "properties": {"routing": {"routes": [{"name": "r", "source": "Rain"}]}}}, "InvalidProperty"),
        (
            {
                **BODY,
                "properties": {
                    "routing": {"routes": [{"name": "r", "source": "DeviceMessages", "endpointNames": ["gone"]}]}
                },
            },
            "InvalidProperty",
        ),
        (
            {**BODY, "properties": {"authorizationPolicies": [{"keyName": "a", "rights": "Everything"}]}},
            "InvalidAuthorizationPolicy",
        ),
    ],
)
async def test_bodies_that_no_hub_may_have(emulators: Emulators, body: object, code: str) -> None:
    assert await refused(emulators, "hub-a", body) == (400, code)


async def test_a_name_is_one_hubs_and_a_subscription_has_one_free_hub(emulators: Emulators) -> None:
    await emulators.made("hub-a")
    address = "/resourcegroups/other?api-version=2022-09-01"
    assert (await emulators.request("PUT", address, {"location": "westus2"})).status_code == 201
    elsewhere = emulators.hub("HUB-A").replace("resourceGroups/rg", "resourceGroups/other")
    assert (await emulators.request("PUT", elsewhere, BODY)).json()["error"]["code"] == "IotHubNameNotAvailable"
    free = {**BODY, "sku": {"name": "F1", "capacity": 1}}
    assert (await emulators.request("PUT", emulators.hub("free-one"), free)).status_code == 201
    assert await refused(emulators, "free-two", free) == (409, "FreeHubLimitReached")
    await emulators.settled()
    for name, most in (("hub-a", 100), ("free-one", 10)):
        resource = emulators.world.resources.get(emulators.hub(name))
        assert resource is not None
        running = emulators.service.running(resource.id)
        assert running is not None
        assert running.hub.definition.most_configurations() == most


async def test_what_a_body_leaves_out_stays_and_partitions_cannot_change(emulators: Emulators) -> None:
    before = await emulators.made("hub-a", eventHubEndpoints={"events": {"retentionTimeInDays": 2}})
    assert before["properties"]["eventHubEndpoints"]["events"]["partitionIds"] == ["0", "1", "2", "3"]
    keys = (await emulators.request("POST", emulators.hub("hub-a", "/listkeys"))).json()["value"]
    change = {**BODY, "sku": {"name": "S2", "capacity": 3}, "properties": {"cloudToDevice": {"maxDeliveryCount": 3}}}
    assert (await emulators.request("PUT", emulators.hub("hub-a"), change)).status_code == 201
    await emulators.settled()
    after = (await emulators.request("GET", emulators.hub("hub-a"))).json()
    assert after["sku"] == {"name": "S2", "tier": "Standard", "capacity": 3}
    assert after["properties"]["cloudToDevice"]["maxDeliveryCount"] == 3
    assert after["properties"]["cloudToDevice"]["defaultTtlAsIso8601"] == "PT1H"
    assert after["properties"]["eventHubEndpoints"] == before["properties"]["eventHubEndpoints"]
    assert after["properties"]["hostName"] == before["properties"]["hostName"]
    assert (await emulators.request("POST", emulators.hub("hub-a", "/listkeys"))).json()["value"] == keys
    count = {**BODY, "properties": {"eventHubEndpoints": {"events": {"partitionCount": 2}}}}
    assert await refused(emulators, "hub-a", count) == (400, "InvalidProperty")
    basic = {**BODY, "sku": {"name": "B1", "capacity": 1}}
    assert await refused(emulators, "hub-a", basic) == (400, "InvalidSku")
    assert await refused(emulators, "hub-a", {**BODY, "etag": "AAAAAAAAAAA="}) == (412, "PreconditionFailed")


async def test_policies_of_a_body_hold_at_once(emulators: Emulators) -> None:
    policy = {"keyName": "mine", "rights": "registryread, ServiceConnect"}
    await emulators.made("hub-a", authorizationPolicies=[policy])
    (found,) = (await emulators.request("POST", emulators.hub("hub-a", "/listkeys"))).json()["value"]
    assert (found["keyName"], found["rights"]) == ("mine", "RegistryRead, ServiceConnect")
    one = await emulators.request("POST", emulators.hub("hub-a", "/IotHubKeys/MINE/listkeys"))
    assert one.json() == found
    absent = await emulators.request("POST", emulators.hub("hub-a", "/IotHubKeys/owner/listkeys"))
    assert absent.status_code == 404
    shown = (await emulators.request("GET", emulators.hub("hub-a"))).text
    assert found["primaryKey"] not in shown


async def test_consumer_groups_are_twenty_at_most(emulators: Emulators) -> None:
    await emulators.made("hub-a")
    groups = emulators.hub("hub-a", "/eventHubEndpoints/events/ConsumerGroups")
    for number in range(19):
        assert (await emulators.request("PUT", f"{groups}/g{number}", {})).status_code == 200
    assert (await emulators.request("PUT", f"{groups}/last", {})).json()["error"]["code"] == "ConsumerGroupLimitReached"
    assert len((await emulators.request("GET", groups)).json()["value"]) == 20
    assert (await emulators.request("DELETE", f"{groups}/$Default")).status_code == 400
    assert (await emulators.request("PUT", f"{groups}/a b", {})).status_code == 400
    assert (await emulators.request("DELETE", f"{groups}/g0")).status_code == 200
    assert (await emulators.request("GET", f"{groups}/g0")).status_code == 404
    other = emulators.hub("hub-a", "/eventHubEndpoints/other/ConsumerGroups")
    assert (await emulators.request("GET", other)).status_code == 404


async def test_routes_are_tried_as_far_as_they_are_understood(emulators: Emulators) -> None:
    routes: list[dict[str, Any]] = [
        {"name": "all", "source": "DeviceMessages", "endpointNames": ["events"], "isEnabled": True},
        {"name": "off", "source": "DeviceMessages", "endpointNames": ["events"], "isEnabled": False},
        {"name": "twins", "source": "TwinChangeEvents", "endpointNames": ["events"], "condition": "true"},
    ]
    await emulators.made("hub-a", routing={"routes": routes})
    every = await emulators.request("POST", emulators.hub("hub-a", "/routing/routes/$testall"), {"message": {}})
    assert [one["properties"]["name"] for one in every.json()["routes"]] == ["all"]
    new = emulators.hub("hub-a", "/routing/routes/$testnew")
    for condition, status in (("true", 200), ("false", 200), ("level > 3", 501)):
        body = {"message": {}, "route": {**routes[0], "condition": condition}}
        answer = await emulators.request("POST", new, body)
        assert answer.status_code == status
        if status == 200:
            assert answer.json()["result"] == condition


async def test_a_certificate_is_verified_by_a_proof_of_its_key(emulators: Emulators) -> None:
    await emulators.made("hub-a")
    lab, stranger = emulators.certificate("lab"), emulators.certificate("lab")
    place = emulators.hub("hub-a", "/certificates/lab")
    made = await emulators.request("PUT", place, {"properties": {"certificate": lab.text}})
    assert (made.status_code, made.json()["properties"]["isVerified"]) == (201, False)
    early = await emulators.request("POST", f"{place}/verify", {"certificate": lab.text})
    assert early.status_code == 400
    code = (await emulators.request("POST", f"{place}/generateVerificationCode")).json()["properties"][
        "verificationCode"
    ]
    for proof in (
        emulators.certificate("another code", lab),
        emulators.certificate(code, stranger),
        emulators.certificate(code),
    ):
        assert (await emulators.request("POST", f"{place}/verify", {"certificate": proof.text})).status_code == 400
    good = {"certificate": emulators.certificate(code, lab).text}
    assert (await emulators.request("POST", f"{place}/verify", good, if_match="AAAAAAAAAAA=")).status_code == 412
    verified = (await emulators.request("POST", f"{place}/verify", good)).json()
    assert verified["properties"]["isVerified"] is True
    other = await emulators.request("PUT", place, {"properties": {"certificate": stranger.text}})
    assert (other.status_code, other.json()["properties"]["isVerified"]) == (200, False)
    assert (await emulators.request("DELETE", place)).status_code == 200


async def test_hubs_have_addresses_of_their_own_and_keep_them(emulators: Emulators) -> None:
    made = {name: await emulators.made(name) for name in ("hub-a", "hub-b")}
    addresses = {name: hub["properties"]["windtunnel"]["address"] for name, hub in made.items()}
    assert len(set(addresses.values())) == 2
    await emulators.stop()
    await emulators.start()
    for name, hub in made.items():
        again = (await emulators.request("GET", emulators.hub(name))).json()
        assert again["properties"] == hub["properties"]


async def test_an_address_that_is_taken_meanwhile_is_given_up(emulators: Emulators) -> None:
    before = (await emulators.made("hub-a"))["properties"]["windtunnel"]["address"]
    await emulators.stop()
    with bound(MQTT_PORT, before):
        await emulators.start()
        after = (await emulators.request("GET", emulators.hub("hub-a"))).json()["properties"]
    assert after["windtunnel"]["address"] != before
    assert after["hostName"].startswith(after["windtunnel"]["address"])


async def test_without_port_443_the_service_has_a_port_in_its_name(
    emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("windtunnel_emulators.iot.hub.listening.HTTPS_PORT", MQTT_PORT)  # which is taken there
    properties = (await emulators.made("hub-a"))["properties"]
    assert properties["windtunnel"]["webSockets"] is False
    assert properties["hostName"] == properties["windtunnel"]["service"]
    assert properties["hostName"].startswith(f"{properties['windtunnel']['address']}:")


async def test_a_deleted_hub_leaves_nothing(emulators: Emulators) -> None:
    await emulators.made("hub-a")
    (folder,) = (emulators.folder / "iot").iterdir()
    assert list((emulators.folder / "tls").glob(f"*{folder.name}*")) != []
    assert (await emulators.request("DELETE", emulators.hub("hub-a"))).status_code == 202
    await emulators.settled()
    assert (await emulators.request("GET", emulators.hub("hub-a"))).status_code == 404
    assert list((emulators.folder / "iot").iterdir()) == []
    assert list((emulators.folder / "tls").glob(f"*{folder.name}*")) == []
    assert emulators.store.rows("SELECT * FROM iot_addresses") == []
    assert (await emulators.request("DELETE", emulators.hub("hub-a"))).status_code == 204


def test_nothing_of_iot_is_imported_before_the_first_hub() -> None:
    code = (
        "import sys; import windtunnel_emulators.providers.devices;"
        " print([name for name in sys.modules if 'emulators.iot' in name or name == 'cryptography'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
