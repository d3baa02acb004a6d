"""The service API of a hub, called without a socket: identities, twins, bulk requests, rights, refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.iot.mqtt.packets import Publish, SubAck

if TYPE_CHECKING:
    from iot_api import Api

HOST = "hub1.azure-devices.net"
KEY = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="


@pytest.mark.parametrize("etag", ['"{}"', "{}", 'W/"{}"', '"*"', "*"])
async def test_etags_may_be_quoted_or_not(api: Api, etag: str) -> None:
    made = await api("PUT", "/devices/d", {"deviceId": "d"})
    changed = await api("PUT", "/devices/d", {"status": "disabled"}, etag=etag.format(made["etag"]))
    assert (changed["status"], changed["etag"] == made["etag"]) == ("disabled", False)
    assert await api.refused("PUT", "/devices/d", {}, etag='"other"') == (412, "PreconditionFailed")
    assert await api.refused("DELETE", "/devices/d", etag="other") == (412, "PreconditionFailed")
    await api("DELETE", "/devices/d", etag=etag.format(changed["etag"]), status=204)
    assert await api.refused("GET", "/devices/d") == (404, "DeviceNotFound")


async def test_a_device_is_made_once_and_changed_only_if_it_is_there(api: Api) -> None:
    assert await api.refused("PUT", "/devices/d", {}, etag="*") == (404, "DeviceNotFound")
    await api("PUT", "/devices/d", {})
    assert await api.refused("PUT", "/devices/d", {}) == (409, "DeviceAlreadyExists")
    assert await api.refused("PUT", "/devices/e", {"deviceId": "d"}) == (400, "ArgumentInvalid")
    assert await api.refused("PUT", "/devices/a%2Fb", {}) == (400, "ArgumentInvalid")
    assert await api.refused("PUT", f"/devices/{'x' * 129}", {}) == (400, "ArgumentInvalid")
    assert [one["deviceId"] for one in await api("GET", "/devices?top=10")] == ["d"]


@pytest.mark.parametrize(
    "authentication",
    [None, {}, {"symmetricKey": {}}, {"symmetricKey": {"primaryKey": "", "secondaryKey": None}}, {"type": "sas"}],
)
async def test_keys_that_are_not_given_are_made(api: Api, authentication: object) -> None:
    body = {} if authentication is None else {"authentication": authentication}
    keys = (await api("PUT", "/devices/d", body))["authentication"]["symmetricKey"]
    assert len({keys["primaryKey"], keys["secondaryKey"]}) == 2
    same = await api("PUT", "/devices/d", {}, etag="*")
    assert same["authentication"]["symmetricKey"] == keys
    half = {"authentication": {"symmetricKey": {"primaryKey": KEY, "secondaryKey": None}}}
    changed = (await api("PUT", "/devices/d", half, etag="*"))["authentication"]["symmetricKey"]
    assert changed["primaryKey"] == KEY
    assert changed["secondaryKey"] not in (None, keys["secondaryKey"])
    bad = {"authentication": {"symmetricKey": {"primaryKey": "no key"}}}
    assert await api.refused("PUT", "/devices/d", bad, etag="*") == (400, "DeviceKeyInvalid")


async def test_certificates_and_kinds_of_authentication(api: Api) -> None:
    thumbprint = "aa:" * 19 + "aa"
    body = {"authentication": {"x509Thumbprint": {"primaryThumbprint": thumbprint}}}
    shown = (await api("PUT", "/devices/x", body))["authentication"]
    assert (shown["type"], shown["x509Thumbprint"]["primaryThumbprint"]) == ("selfSigned", "AA" * 20)
    assert shown["symmetricKey"] == {"primaryKey": None, "secondaryKey": None}
    bad = {"authentication": {"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": "zz"}}}
    assert await api.refused("PUT", "/devices/y", bad) == (400, "ArgumentInvalid")
    assert await api.refused("PUT", "/devices/y", {"authentication": {"type": "selfSigned"}}) == (
        400,
        "ArgumentInvalid",
    )
    assert await api.refused("PUT", "/devices/y", {"authentication": {"type": "magic"}}) == (400, "ArgumentInvalid")
    made = await api("PUT", "/devices/ca", {"authentication": {"type": "certificateAuthority"}})
    assert made["authentication"]["type"] == "certificateAuthority"


async def test_modules_belong_to_a_device(api: Api) -> None:
    assert await api.refused("PUT", "/devices/d/modules/m", {}) == (404, "DeviceNotFound")
    await api("PUT", "/devices/d", {})
    made = await api("PUT", "/devices/d/modules/m", {"moduleId": "m", "deviceId": "d", "managedBy": "IotEdge"})
    assert (made["moduleId"], made["managedBy"]) == ("m", "IotEdge")
    assert await api.refused("PUT", "/devices/d/modules/m", {}) == (409, "ModuleAlreadyExistsOnDevice")
    assert await api.refused("GET", "/devices/d/modules/x") == (404, "ModuleNotFound")
    assert await api.refused("PUT", "/devices/d/modules/%24edgeHub", {}) == (400, "ArgumentInvalid")
    for number in range(49):
        await api("PUT", f"/devices/d/modules/m{number}", {})
    assert await api.refused("PUT", "/devices/d/modules/last", {}) == (403, "TooManyModulesOnDevice")
    await api("DELETE", "/devices/d", status=204)
    await api("PUT", "/devices/d", {})
    assert await api("GET", "/devices/d/modules") == []


async def test_a_device_becomes_an_edge_device_and_has_children(api: Api) -> None:
    await api("PUT", "/devices/edge", {})
    edge = await api("PUT", "/devices/edge", {"capabilities": {"iotEdge": True}}, etag="*")
    assert edge["deviceScope"].startswith("ms-azure-iot-edge://edge-")
    assert [one["moduleId"] for one in await api("GET", "/devices/edge/modules")] == ["$edgeAgent", "$edgeHub"]
    assert await api.refused("DELETE", "/devices/edge/modules/$edgeHub") == (400, "ArgumentInvalid")
    child = await api("PUT", "/devices/child", {"deviceScope": edge["deviceScope"]})
    assert child["parentScopes"] == [edge["deviceScope"]]
    nested = {"capabilities": {"iotEdge": True}, "parentScopes": [edge["deviceScope"]]}
    lower = await api("PUT", "/devices/lower", nested)
    assert lower["parentScopes"] == [edge["deviceScope"]]
    assert lower["deviceScope"].startswith("ms-azure-iot-edge://lower-")
    assert await api.refused("PUT", "/devices/lost", {"deviceScope": "ms-azure-iot-edge://x-1"}) == (
        400,
        "ArgumentInvalid",
    )


async def test_a_twin_is_patched_and_replaced(api: Api) -> None:
    await api("PUT", "/devices/d", {})
    twin = await api("GET", "/twins/d")
    assert (twin["tags"], twin["properties"]["desired"]["$version"]) == ({}, 1)
    body = {"tags": {"a": 1, "b": {"c": 1}}, "properties": {"desired": {"x": {"y": 1}, "z": 1}}}
    changed = await api("PATCH", "/twins/d", body, etag=f'"{twin["etag"]}"')
    assert await api.refused("PATCH", "/twins/d", body, etag=f'"{twin["etag"]}"') == (412, "PreconditionFailed")
    assert changed["version"] == twin["version"] + 1
    again = await api("PATCH", "/twins/d", {"tags": {"b": None}, "properties": {"desired": {"x": None}}})
    assert again["tags"] == {"a": 1}
    assert {name for name in again["properties"]["desired"] if name[0] != "$"} == {"z"}
    again["properties"]["desired"]["new"] = 1
    again["properties"]["reported"]["ignored"] = 1
    replaced = await api("PUT", "/twins/d", again, etag="*")
    assert {name for name in replaced["properties"]["desired"] if name[0] != "$"} == {"z", "new"}
    assert replaced["properties"]["desired"]["$version"] == 4
    assert "ignored" not in replaced["properties"]["reported"]
    assert (await api("PUT", "/twins/d", {"tags": {"only": 1}}))["tags"] == {"only": 1}
    wrong: list[object] = [{"tags": {"a.b": 1}}, {"tags": "x"}, {"properties": {"desired": {"$x": 1}}}, [1], "x"]
    for bad in wrong:
        assert await api.refused("PATCH", "/twins/d", bad) == (400, "ArgumentInvalid")
    large = {"tags": {f"k{number}": "x" * 4000 for number in range(3)}}
    assert await api.refused("PATCH", "/twins/d", large) == (413, "RequestEntityTooLarge")
    assert await api.refused("GET", "/twins/nobody") == (404, "DeviceNotFound")
    assert await api.refused("GET", "/twins/d/modules/m") == (404, "ModuleNotFound")


async def test_what_replaces_desired_properties_reaches_the_device_as_a_patch(api: Api) -> None:
    peer = await api.place.connected()
    peer.subscribe("$iothub/twin/PATCH/properties/desired/#")
    await peer.until(SubAck)
    await api("PATCH", "/twins/d", {"properties": {"desired": {"a": {"b": 1, "c": 1}, "gone": 1}}})
    await peer.until(Publish)
    await api("PUT", "/twins/d", {"properties": {"desired": {"a": {"b": 2}}}})
    sent = await peer.until(Publish)
    assert msgspec.json.decode(sent.payload) == {"a": {"b": 2, "c": None}, "gone": None, "$version": 3}


async def test_bulk_requests_do_what_they_can(api: Api) -> None:
    entries = [{"id": f"d{number}", "importMode": "create", "tags": {"n": number}} for number in range(3)]
    assert await api("POST", "/devices", entries) == {"isSuccessful": True, "errors": [], "warnings": []}
    assert (await api("GET", "/twins/d2"))["tags"] == {"n": 2}
    mixed = [
        {"id": "d0", "importMode": "create"},
        {"id": "d0", "importMode": "update", "status": "disabled"},
        {"id": "d1", "importMode": "deleteIfMatchETag", "eTag": '"other"'},
        {"id": "d2", "importMode": "updateTwin", "properties": {"desired": {"x": 1}}},
        {"id": "d2", "moduleId": "m", "importMode": "createOrUpdate"},
        {"id": "d3", "importMode": "delete"},
        {"id": "d3", "importMode": "explode"},
    ]
    answer = await api("POST", "/devices", mixed, status=400)
    assert [(one["deviceId"], one["errorCode"]) for one in answer["errors"]] == [
        ("d0", "DeviceAlreadyExists"),
        ("d1", "PreconditionFailed"),
        ("d3", "DeviceNotFound"),
        ("d3", "ArgumentInvalid"),
    ]
    assert (await api("GET", "/devices/d0"))["status"] == "disabled"
    assert (await api("GET", "/twins/d2"))["properties"]["desired"]["x"] == 1
    assert [one["moduleId"] for one in await api("GET", "/devices/d2/modules")] == ["m"]
    assert await api.refused("POST", "/devices", []) == (400, "ArgumentInvalid")
    assert await api.refused("POST", "/devices", [{"id": "x"}] * 101) == (400, "ArgumentInvalid")
    assert await api("GET", "/statistics/devices") == {
        "totalDeviceCount": 3,
        "enabledDeviceCount": 2,
        "disabledDeviceCount": 1,
    }


async def test_messages_that_wait_are_purged(api: Api) -> None:
    await api("PUT", "/devices/d", {})
    api.place.hub.command("d", {}, b"x")
    assert (await api("GET", "/devices/d"))["cloudToDeviceMessageCount"] == 1
    assert (await api("DELETE", "/devices/d/commands"))["totalMessagesPurged"] == 1


async def test_timeouts_of_methods_may_be_text_as_the_azure_cli_sends_them(api: Api) -> None:
    await api("PUT", "/devices/d", {})
    body = {"methodName": "x", "payload": None, "responseTimeoutInSeconds": "30", "connectTimeoutInSeconds": "0"}
    answer = await api("POST", "/twins/d/methods", body, status=404)
    assert msgspec.json.decode(answer["Message"])["errorCode"] == 404103
    for bad in ({"responseTimeoutInSeconds": "soon"}, {"responseTimeoutInSeconds": True}, {"methodName": ""}):
        assert await api.refused("POST", "/twins/d/methods", {**body, **bad}) == (400, "ArgumentInvalid")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/devices/d/files"),
        ("GET", "/digitaltwins/d"),
    ],
)
async def test_what_is_not_emulated_says_so(api: Api, method: str, path: str) -> None:
    assert await api.refused(method, path, {}) == (501, "NotImplemented")


async def test_requests_that_are_none(api: Api) -> None:
    assert await api.refused("GET", "/nothing") == (404, "NotFound")
    assert await api.refused("PATCH", "/devices/d", {}) == (405, "MethodNotAllowed")
    answer = await api.client.get(f"https://{HOST}/devices", params={"api-version": ""})
    assert answer.status_code == 400
    for content in (b"", b"{", b"[1]", b"\xff", b"[" * 100_000):
        answer = await api.client.put("/devices/d", content=content)
        assert (answer.status_code, answer.headers["iothub-errorcode"]) == (400, "ArgumentInvalid")
    assert (await api.client.put("/devices/d", content=b" " * 3_000_000)).status_code == 413


@pytest.mark.parametrize("header", ["", "Bearer bad", "Basic eDp5", "SharedAccessSignature x", "SharedAccessSignature"])
async def test_who_shows_nothing_good_is_refused(api: Api, header: str) -> None:
    answer = await api.client.get("/devices", headers={"Authorization": header})
    assert (answer.status_code, answer.headers["iothub-errorcode"]) == (401, "IotHubUnauthorizedAccess")


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "deviceId",
                    "status",
                    "authentication",
                    "symmetricKey",
                    "capabilities",
                    "tags",
                    "properties",
                    "desired",
                    "content",
                    "modulesContent",
                    "deviceContent",
                    "$edgeAgent",
                    "properties.desired",
                    "targetCondition",
                    "metrics",
                    "queries",
                    "query",
                    "queryCondition",
                    "updateTwin",
                    "cloudToDeviceMethod",
                    "priority",
                ]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(
    st.sampled_from(
        [
            "/devices/d",
            "/devices",
            "/twins/d",
            "/twins/d/methods",
            "/devices/d/modules/m",
            "/devices/query",
            "/devices/edge/applyConfigurationContent",
            "/configurations/c",
            "/configurations/testQueries",
            "/jobs/v2/j",
        ]
    ),
    st.sampled_from(["PUT", "POST", "PATCH"]),
    st.sampled_from([{}, {"If-Match": "*"}]),
    json_values,
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
async def test_any_body_is_answered_and_never_with_500(
    api: Api, path: str, method: str, headers: dict[str, str], body: Any
) -> None:
    await api("PUT", "/devices/edge", {"capabilities": {"iotEdge": True}}, status=None)
    answer = await api.client.request(method, path, json=body, headers=headers)
    assert answer.status_code < 500


async def test_who_is_disabled_or_deleted_is_disconnected(api: Api) -> None:
    await api("PUT", "/devices/d", {"authentication": {"symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}}})
    for method, body, status in (("PUT", {"status": "disabled"}, 200), ("DELETE", None, 204)):
        await api("PUT", "/devices/d", {"status": "enabled"}, etag="*")
        peer = api.place.peer(Who("d"))
        assert (await peer.connect()).code == 0
        assert (await api("GET", "/devices/d"))["connectionState"] == "Connected"
        await api(method, "/devices/d", body, etag="*", status=status)
        assert not peer.is_open
        peer.leave()
