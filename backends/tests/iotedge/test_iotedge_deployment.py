"""A service is put into a device's deployment and taken out of it, and nothing of others is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.adapters.iotedge_deployment import INFO, EdgeDeployment, EdgeService, Info
from windtunnel.adapters.registries import Admin
from windtunnel.edge_options import EdgeOptions
from windtunnel.errors import AlreadyExists, InvalidSpec

if TYPE_CHECKING:
    from windtunnel.jsontypes import JsonObject

SERVER = "wt.azurecr.io"


def service(name: str = "ml", **changes: object) -> EdgeService:
    options = EdgeOptions(source="tempSensor/temperatureOutput")
    values: dict[str, object] = {
        "name": name,
        "image": f"{SERVER}/windtunnel/digits:1",
        "server": SERVER,
        "admin": Admin(username="wt", password="secret"),
        "environment": {"LEVEL": "3"},
        "routes": options.routes_of(name),
        "modules": {},
        "create_options": None,
        "info": Info(model="digits", model_digest="abc", owner="me", created="2026-11-25T10:00:00+00:00"),
        **changes,
    }
    return EdgeService(**values)  # type: ignore[arg-type]


def others() -> EdgeDeployment:
    """A deployment with a module, a route, credentials and settings of somebody else's."""
    agent: JsonObject = {
        "schemaVersion": "1.0",
        "runtime": {
            "type": "docker",
            "settings": {
                "minDockerVersion": "v1.25",
                "registryCredentials": {"theirs": {"address": "their.io", "username": "u", "password": "p"}},
            },
        },
        "systemModules": {"edgeAgent": {"settings": {"image": "agent"}}, "edgeHub": {"settings": {"image": "hub"}}},
        "modules": {"filter": {"type": "docker", "settings": {"image": "their.io/filter:1"}, "env": {}}},
        "$version": 7,
        "$metadata": {},
    }
    hub: JsonObject = {
        "schemaVersion": "1.0",
        "routes": {"up": "FROM /messages/* INTO $upstream", "new": {"route": "FROM /x INTO $upstream", "priority": 1}},
        "storeAndForwardConfiguration": {"timeToLiveSecs": 10},
        "$version": 3,
    }
    return EdgeDeployment.read({"properties": {"desired": agent}}, {"properties": {"desired": hub}})


def test_what_others_have_stays_and_comes_back() -> None:
    before = others()
    after = before.with_service(service())
    assert set(after.modules) == {"filter", "ml"}
    assert after.modules["filter"] == before.modules["filter"]
    assert {name: after.routes[name] for name in before.routes} == before.routes
    assert after.hub["storeAndForwardConfiguration"] == {"timeToLiveSecs": 10}
    assert after.agent["systemModules"] == before.agent["systemModules"]
    assert after.without_service("ml") == before


def test_the_routes_are_those_of_the_documentation() -> None:
    found = others().with_service(service("machinelearningmodule")).routes
    assert found["tempSensorTomachinelearningmodule"] == (
        "FROM /messages/modules/tempSensor/outputs/temperatureOutput"
        ' INTO BrokeredEndpoint("/modules/machinelearningmodule/inputs/amlInput")'
    )
    assert found["machinelearningmoduleToIoTHub"] == (
        "FROM /messages/modules/machinelearningmodule/outputs/amlOutput INTO $upstream"
    )


def test_a_device_that_has_nothing_gets_a_whole_deployment() -> None:
    after = EdgeDeployment.read({"properties": {"desired": {"$version": 1}}}, {}).with_service(service())
    content = cast("dict[str, dict[str, JsonObject]]", after.content())
    agent, hub = content["$edgeAgent"]["properties.desired"], content["$edgeHub"]["properties.desired"]
    assert set(agent) == {"schemaVersion", "runtime", "systemModules", "modules"}
    assert set(cast("JsonObject", agent["systemModules"])) == {"edgeAgent", "edgeHub"}
    assert hub["storeAndForwardConfiguration"] == {"timeToLiveSecs": 7200}
    assert not any(name.startswith("$") for part in (agent, hub) for name in part)


def test_the_registrys_credentials_come_and_go_with_the_last_service_that_needs_them() -> None:
    one = others().with_service(service("one"))
    two = one.with_service(service("two"))

    def servers(deployment: EdgeDeployment) -> list[str]:
        runtime = cast("dict[str, dict[str, dict[str, dict[str, str]]]]", deployment.agent["runtime"])
        return [entry["address"] for entry in runtime["settings"]["registryCredentials"].values()]

    assert servers(two) == servers(one) == ["their.io", SERVER]
    assert servers(two.without_service("one")) == ["their.io", SERVER]
    assert servers(two.without_service("one").without_service("two")) == ["their.io"]


def test_what_came_with_a_service_goes_with_it_when_it_is_replaced() -> None:
    sensor = {"tempSensor": "mcr.microsoft.com/azureiotedge-simulated-temperature-sensor:1.0"}
    first = others().with_service(service(modules=sensor, routes={"a": "FROM /a INTO $upstream"}))
    assert set(first.modules) == {"filter", "ml", "tempSensor"}
    second = first.with_service(service(routes={"b": "FROM /b INTO $upstream"}))
    assert set(second.modules) == {"filter", "ml"}
    assert set(second.routes) == {"up", "new", "b"}


def test_what_is_not_ours_is_not_overwritten() -> None:
    with pytest.raises(AlreadyExists, match="has a module 'filter' already"):
        others().with_service(service("filter"))
    with pytest.raises(AlreadyExists, match="has a module 'filter' already"):
        others().with_service(service(modules={"filter": "x"}))
    with pytest.raises(AlreadyExists, match="has a route 'up' already"):
        others().with_service(service(routes={"up": "FROM /mine INTO $upstream"}))


def test_a_route_that_is_there_already_is_used_and_left() -> None:
    same = {"up": "FROM /messages/* INTO $upstream"}
    after = others().with_service(service(routes=same)).without_service("ml")
    assert after == others()


def test_removing_what_is_no_service_changes_nothing() -> None:
    before = others()
    assert before.without_service("filter") is before
    assert before.without_service("nobody") is before
    broken = {"properties": {"desired": {"modules": {"x": {"env": {INFO: {"value": "{"}}}}}}}
    assert EdgeDeployment.read(cast("JsonObject", broken), {}).info("x") is None


def test_create_options_are_split_as_a_twin_holds_them() -> None:
    options = json.dumps({"Env": ["x" * 1500]})
    module = cast("dict[str, dict[str, str]]", others().with_service(service(create_options=options)).modules["ml"])
    pieces = {name: value for name, value in module["settings"].items() if name != "image"}
    assert list(pieces) == ["createOptions", "createOptions01", "createOptions02"]
    assert all(len(piece) <= 512 for piece in pieces.values())
    assert "".join(pieces.values()) == options


def test_more_tags_than_a_twin_holds_are_refused() -> None:
    info = Info(tags={f"tag{n}": "v" * 250 for n in range(20)})
    with pytest.raises(InvalidSpec, match="tags of the service are too long"):
        others().with_service(service(info=info))


@given(
    st.builds(
        Info,
        model=st.text(max_size=20),
        owner=st.text(max_size=20),
        tags=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=4),
        routes=st.lists(st.text(max_size=9), max_size=3).map(tuple),
        modules=st.lists(st.text(max_size=9), max_size=3).map(tuple),
    )
)
def test_what_is_noted_is_read_again(info: Info) -> None:
    assert Info.of({"env": {INFO: {"value": info.text()}}}) == info


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"source": "tempSensor"}, "not of the form MODULE/OUTPUT"),
        ({"routes": {"a.b": "FROM /x INTO $upstream"}}, "route name 'a.b' is invalid"),
        ({"routes": {"a": " "}}, "routes must be provided"),
        ({"modules": {"x": ""}}, "custom_module x missing image_location"),
        ({"modules": {"x y": "z"}}, "module name 'x y' is invalid"),
        ({"create_options": "{"}, "create_options is no JSON"),
        ({"create_options": "[]"}, "must be a JSON object"),
        ({"hub": "a"}, "IoT hub name 'a' is invalid"),
        ({"device": "a b"}, "device id 'a b' is invalid"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidSpec, match=sentence):
        EdgeOptions(**options)  # type: ignore[arg-type]
