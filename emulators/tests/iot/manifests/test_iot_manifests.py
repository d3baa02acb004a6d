"""Deployment manifests: as the agent and the local hub read them, and as the service takes them."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.iot.manifests.content import is_layered, merged, read_portions
from windtunnel_emulators.iot.manifests.deployment import LAST, DesiredStatus, PullPolicy, RestartPolicy
from windtunnel_emulators.iot.manifests.errors import (
    ContentProblem,
    EmptyDeployment,
    FormatProblem,
    HubFormatProblem,
    ManifestProblem,
    VersionProblem,
)
from windtunnel_emulators.iot.manifests.reading import parse_agent, parse_hub
from windtunnel_emulators.iot.manifests.validation import check_base, check_layer

if TYPE_CHECKING:
    from collections.abc import Callable

AGENT: dict[str, Any] = {
    "schemaVersion": "1.1",
    "runtime": {
        "type": "docker",
        "settings": {
            "minDockerVersion": "v1.25",
            "registryCredentials": {"r": {"username": "me", "password": "hush", "address": "localhost:5000"}},
        },
    },
    "systemModules": {
        "edgeAgent": {"type": "docker", "settings": {"image": "mcr.microsoft.com/azureiotedge-agent:1.5"}},
        "edgeHub": {
            "type": "docker",
            "status": "running",
            "restartPolicy": "always",
            "startupOrder": 1,
            "settings": {"image": "mcr.microsoft.com/azureiotedge-hub:1.5", "createOptions": "{}"},
        },
    },
    "modules": {
        "m1": {
            "version": "1.0",
            "type": "docker",
            "status": "running",
            "restartPolicy": "on-failure",
            "imagePullPolicy": "never",
            "startupOrder": 5,
            "env": {"A": {"value": "a"}, "N": {"value": 3}, "B": {"value": True}},
            "settings": {"image": "localhost:5000/score", "createOptions": '{"HostConfig":', "createOptions01": "{}}"},
        }
    },
}
HUB: dict[str, Any] = {
    "schemaVersion": "1.2",
    "routes": {"r1": "FROM /* INTO $upstream", "r2": {"route": "FROM /* INTO $upstream", "priority": 3}},
    "storeAndForwardConfiguration": {"timeToLiveSecs": 60, "storeLimits": {"maxSizeBytes": 1000}},
}
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=8,
)


def changed(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy with another value at a path, ``...`` for none."""
    found = copy.deepcopy(document)
    *above, last = path.split("/")
    inner = found
    for name in above:
        inner = inner[name]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return found


def paths(document: dict[str, Any], above: str = "") -> list[str]:
    """Every place of a document."""
    found: list[str] = []
    for name, one in document.items():
        found.append(f"{above}{name}")
        if isinstance(one, dict):
            found += paths(cast("dict[str, Any]", one), f"{above}{name}/")
    return found


def test_a_deployment_is_read_whole() -> None:
    read = parse_agent({**AGENT, "$version": 7, "$metadata": {}})
    assert (read.version, read.schema_version) == (7, "1.1")
    assert read.agent is not None
    assert read.hub is not None
    assert [read.agent.identity, read.hub.identity] == ["$edgeAgent", "$edgeHub"]
    assert (read.hub.restart_policy, read.hub.startup_order) == (RestartPolicy.ALWAYS, 1)
    (module,) = read.modules.values()
    assert module.image == "localhost:5000/score:latest"
    assert module.create_options == {"HostConfig": {}}
    assert dict(module.env) == {"A": "a", "N": "3", "B": "true"}
    assert (module.status, module.restart_policy) == (DesiredStatus.RUNNING, RestartPolicy.ON_FAILURE)
    assert (module.pull_policy, module.startup_order) == (PullPolicy.NEVER, 5)
    assert module.written == AGENT["modules"]["m1"]


def test_neither_name_nor_password_of_a_registry_is_shown() -> None:
    read = parse_agent(AGENT)
    (registry,) = read.runtime.credentials
    assert (registry.address, registry.username, registry.password) == ("localhost:5000", "me", "hush")
    assert "hush" not in repr(read)
    assert "me'" not in repr(registry)


def test_the_agent_fills_in_what_the_schema_requires() -> None:
    bare = changed(AGENT, "modules/m1", {"type": "docker", "status": "Stopped", "settings": {"image": "a/b"}})
    module = parse_agent(bare).modules["m1"]
    assert module.status is DesiredStatus.STOPPED
    assert module.restart_policy is RestartPolicy.ON_UNHEALTHY
    assert (module.startup_order, module.pull_policy) == (LAST, PullPolicy.ON_CREATE)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ({}, {}),
        ({"createOptions": ""}, {}),
        ({"createOptions": {"a": 1}}, {"a": 1}),
        ({"createOptions": '{"a":', "createOptions02": "2}", "createOptions01": "1"}, {"a": 12}),
        ({"createOptions": '{"a":1}', "createOptions02": "never read"}, {"a": 1}),
    ],
)
def test_create_options_are_joined_from_their_chunks(chunks: dict[str, Any], expected: object) -> None:
    read = parse_agent(changed(AGENT, "modules/m1/settings", {"image": "a/b", **chunks}))
    assert read.modules["m1"].create_options == expected


@pytest.mark.parametrize(
    ("desired", "kind", "code", "description"),
    [
        ({}, EmptyDeployment, 417, "This device has an empty configuration"),
        ({"$version": 3, "$metadata": {}}, EmptyDeployment, 417, "This device has an empty configuration"),
        (changed(AGENT, "schemaVersion", "2.0"), VersionProblem, 412, "schema version 2.0 is not compatible with"),
        (changed(AGENT, "schemaVersion", "1.2"), VersionProblem, 412, "the expected version 1.1.0"),
        (changed(AGENT, "schemaVersion", "0.9"), VersionProblem, 412, "schema version 0.9"),
        (changed(AGENT, "schemaVersion", "new"), VersionProblem, 412, "schema version new"),
        (changed(AGENT, "schemaVersion", ...), FormatProblem, 400, "Agent configuration format is invalid."),
        (changed(AGENT, "runtime", ...), FormatProblem, 400, "Agent configuration format is invalid."),
    ],
)
def test_what_cannot_be_read_has_the_agents_code(
    desired: dict[str, Any], kind: type[ManifestProblem], code: int, description: str
) -> None:
    with pytest.raises(kind) as caught:
        parse_agent(desired)
    assert caught.value.code == code
    assert description in caught.value.description


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("runtime/type", "podman", "runtime.type"),
        ("systemModules", ..., "systemModules"),
        ("modules/m1/status", ..., "modules.m1.status is missing"),
        ("modules/m1/status", "resting", "modules.m1.status is 'resting'"),
        ("modules/m1/type", ..., "modules.m1"),
        ("modules/m1/type", "process", "modules.m1.type"),
        ("modules/m1/settings", ..., "modules.m1"),
        ("modules/m1/settings", {}, "modules.m1.settings.image is missing"),
        ("modules/m1/settings/image", "A B", "modules.m1.settings.image"),
        ("modules/m1/settings/image", "a/Case", "must be lower case"),
        ("modules/m1/settings/createOptions", "[1]", "createOptions is no JSON object"),
        ("modules/m1/startupOrder", -1, "startupOrder is -1"),
        ("modules/m1/startupOrder", "1", "modules.m1"),
        ("modules/m1/restartPolicy", "sometimes", "restartPolicy is 'sometimes'"),
        ("modules/m1/env/A", "a", "modules.m1"),
        ("modules/a b", {}, "a module's name"),
        ("modules/..", {}, "a module's name"),
    ],
)
def test_a_format_problem_tells_its_place(path: str, value: object, told: str) -> None:
    with pytest.raises(FormatProblem, match=r"^") as caught:
        parse_agent(changed(AGENT, path, value))
    assert told in str(caught.value)


def test_the_hubs_part_is_read() -> None:
    read = parse_hub({**HUB, "$version": 4})
    assert (read.version, read.ttl, read.most_bytes) == (4, 60.0, 1000)
    assert dict(read.routes) == HUB["routes"]
    assert parse_hub({"schemaVersion": "1.0", "routes": {}}).ttl == 7200.0
    assert parse_hub(changed(HUB, "storeAndForwardConfiguration/timeToLiveSecs", -1)).ttl is None
    broken: list[Any] = [{}, changed(HUB, "routes/r1", 5), changed(HUB, "routes/r2/route", ...), {"schemaVersion": "2"}]
    for bad in broken:
        with pytest.raises(HubFormatProblem) as caught:
            parse_hub(bad)
        assert caught.value.description.startswith("Error while parsing desired properties - ")


@given(_json, st.sampled_from(paths(AGENT)))
def test_the_agent_raises_nothing_but_manifest_problems(value: Any, path: str) -> None:
    for read, desired in ((parse_agent, changed(AGENT, path, value)), (parse_agent, {"schemaVersion": value})):
        with suppress(ManifestProblem):
            read(desired)


@given(_json, st.sampled_from(paths(HUB)))
def test_the_hub_raises_nothing_but_manifest_problems(value: Any, path: str) -> None:
    with suppress(HubFormatProblem):
        parse_hub(changed(HUB, path, value))


def base(agent: object = AGENT, hub: object = HUB) -> dict[str, Any]:
    return {
        "$edgeAgent": {"properties.desired": agent},
        "$edgeHub": {"properties.desired": hub},
        "m1": {"properties.desired": {"a": {"b": 1}}},
    }


def test_a_good_manifest_is_taken() -> None:
    portions = read_portions(base())
    check_base(portions)
    assert not is_layered(portions)
    assert merged([portions])["m1"] == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("path", "value", "place", "what"),
    [
        ("schemaVersion", ..., "", "'schemaVersion' is a required property"),
        ("schemaVersion", 1, ".schemaVersion", "version"),
        ("systemModules/edgeHub", ..., ".systemModules", "'edgeHub' is a required property"),
        ("systemModules/edgeHub/status", ..., ".systemModules.edgeHub", "'status' is a required property"),
        ("modules", ..., "", "'modules' is a required property"),
        ("modules", [], ".modules", "is not an object"),
        ("modules/m1/restartPolicy", ..., ".modules.m1", "'restartPolicy' is a required property"),
        ("modules/m1/restartPolicy", "Always", ".modules.m1.restartPolicy", "always"),
        ("modules/m1/restartPolicy", {"a": 1}, ".modules.m1.restartPolicy", "always"),
        ("modules/m1/status", "paused", ".modules.m1.status", "running, stopped"),
        ("modules/m1/imagePullPolicy", "always", ".modules.m1.imagePullPolicy", "on-create"),
        ("modules/m1/startupOrder", 2**32, ".modules.m1.startupOrder", "4294967295"),
        ("modules/m1/startupOrder", True, ".modules.m1.startupOrder", "whole number"),
        ("modules/m1/settings/image", "", ".modules.m1.settings.image", "image"),
        ("modules/m1/settings/image", "a/Case", ".modules.m1.settings.image", "lower case"),
        ("modules/m1/settings/createOptions", {}, ".modules.m1.settings.createOptions", "text"),
        ("modules/m1/env/A+B", {"value": 1}, ".modules.m1.env.A+B", "variable"),
        ("modules/m1/env/A", {"value": None}, ".modules.m1.env.A.value", "text"),
        ("modules/m1/env/A", {}, ".modules.m1.env.A", "'value' is a required property"),
        ("modules/a b", {}, ".modules.a b", "name"),
        ("runtime/type", "kata", ".runtime.type", "docker"),
        ("runtime/settings/registryCredentials/r/password", ..., ".runtime.settings.registryCredentials.r", "password"),
    ],
)
def test_the_service_tells_the_content_path(path: str, value: object, place: str, what: str) -> None:
    with pytest.raises(ContentProblem, match=r"^") as caught:
        check_base(read_portions(base(agent=changed(AGENT, path, value))))
    assert caught.value.path == f"$edgeAgent.properties.desired{place}"
    assert what in caught.value.what


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("routes", ..., ""),
        ("schemaVersion", ..., ""),
        ("routes/a b", "FROM /* INTO $upstream", ".routes.a b"),
        ("routes/r1", 4, ".routes.r1"),
        ("routes/r2/priority", 10, ".routes.r2.priority"),
        ("routes/r2/route", ..., ".routes.r2"),
        ("routes/r2/timeToLiveSecs", -1, ".routes.r2.timeToLiveSecs"),
        ("storeAndForwardConfiguration/timeToLiveSecs", "1", ".storeAndForwardConfiguration.timeToLiveSecs"),
    ],
)
def test_the_hubs_part_is_checked_too(path: str, value: object, place: str) -> None:
    with pytest.raises(ContentProblem, match=r"^") as caught:
        check_base(read_portions(base(hub=changed(HUB, path, value))))
    assert caught.value.path == f"$edgeHub.properties.desired{place}"


@pytest.mark.parametrize("missing", ["$edgeAgent", "$edgeHub"])
def test_a_base_has_both_system_modules(missing: str) -> None:
    content = base()
    del content[missing]
    with pytest.raises(ContentProblem, match="is required"):
        check_base(read_portions(content))


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"m": 1},
        {"m": {"properties.desired": 1}},
        {"m": {"properties.reported": {}}},
        {"m": {"properties.desired.": 1}},
        {"m": {"properties.desired.a..b": 1}},
    ],
)
def test_content_that_is_none_is_refused(content: Any) -> None:
    with pytest.raises(ContentProblem):
        read_portions(content)


def test_layers_are_put_over_each_other() -> None:
    layer: dict[str, Any] = {
        "$edgeAgent": {"properties.desired.modules.m2": AGENT["modules"]["m1"]},
        "$edgeHub": {"properties.desired.routes.r1": "FROM /x INTO $upstream"},
        "m1": {"properties.desired.a.c": 2, "properties.desired.a.b": None},
    }
    top: dict[str, Any] = {
        "$edgeAgent": {},
        "m1": {"properties.desired": {"only": True}, "properties.desired.then.this": 1},
    }
    for one in (layer, top):
        portions = read_portions(one)
        assert is_layered(portions)
        check_layer(portions)
    found: Any = merged([read_portions(base()), read_portions(layer)])
    assert list(found["$edgeAgent"]["modules"]) == ["m1", "m2"]
    assert found["$edgeHub"]["routes"] == {**HUB["routes"], "r1": "FROM /x INTO $upstream"}
    assert found["m1"] == {"a": {"c": 2}}
    assert merged([read_portions(base()), read_portions(layer), read_portions(top)])["m1"] == {
        "only": True,
        "then": {"this": 1},
    }


@pytest.mark.parametrize(
    "content",
    [
        {"m": {"properties.desired.a": 1}},
        {"$edgeAgent": {"properties.desired.systemModules.edgeHub.env": {}}},
        {"$edgeAgent": {"properties.desired.schemaVersion": "1.1"}},
        {"$edgeAgent": {"properties.desired.modules.m2": {"type": "docker"}}},
        {"$edgeAgent": {"properties.desired.modules": {"m2": 1}}},
        {"$edgeAgent": {"properties.desired": AGENT}, "m": {"properties.desired.a": 1}},
        {"$edgeAgent": {}, "$edgeHub": {"properties.desired.routes.r": 5}},
        {"$edgeAgent": {}, "$edgeHub": {"properties.desired.storeAndForwardConfiguration": {}}},
        {"$edgeAgent": {}, "$other": {}},
    ],
)
def test_a_layer_sets_modules_and_routes_only(content: Any) -> None:
    with pytest.raises(ContentProblem):
        check_layer(read_portions(content))


@given(_json, st.sampled_from(paths(base())), st.sampled_from([check_base, check_layer]))
def test_the_service_raises_nothing_but_content_problems(value: Any, path: str, check: Callable[[Any], None]) -> None:
    before = msgspec.json.encode(base())
    content = changed(base(), path, value)
    with suppress(ContentProblem):
        check(read_portions(content))
    assert msgspec.json.encode(base()) == before
