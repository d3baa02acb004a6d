"""Generated requests to every provider of the real process: never a 500, never a defect in its log, and it goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.wire.conftest import Launch, Launched
    from windtunnel_emulators.jsontypes import Json

GROUP: dict[str, Any] = {
    "location": "westus2",
    "tags": {"a": "b"},
    "identity": {"type": "SystemAssigned"},
    "properties": {
        "osType": "Linux",
        "sku": "Standard",
        "restartPolicy": "Never",
        "imageRegistryCredentials": [{"server": "absent.azurecr.io", "username": "u", "password": "p"}],
        "ipAddress": {"type": "Public", "ports": [{"port": 80, "protocol": "TCP"}], "dnsNameLabel": "label-1"},
        "volumes": [{"name": "empty", "emptyDir": {}}, {"name": "secret", "secret": {"file": "YQ=="}}],
        "initContainers": [{"name": "init", "properties": {"image": "hello-world"}}],
        "containers": [
            {
                "name": "c1",
                "properties": {
                    "image": "hello-world",
                    "ports": [{"port": 80}],
                    "environmentVariables": [{"name": "A", "value": "b"}, {"name": "S", "secureValue": "s"}],
                    "resources": {"requests": {"cpu": 1, "memoryInGB": 1}, "limits": {"cpu": 1, "memoryInGB": 1}},
                    "volumeMounts": [{"name": "empty", "mountPath": "/data", "readOnly": False}],
                    "livenessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "http"}, "periodSeconds": 5},
                    "readinessProbe": {"exec": {"command": ["true"]}, "initialDelaySeconds": 1},
                },
            }
        ],
    },
}
REGISTRY: dict[str, Any] = {
    "location": "westus2",
    "sku": {"name": "Premium"},
    "identity": {"type": "SystemAssigned"},
    "properties": {"adminUserEnabled": True, "policies": {"retentionPolicy": {"days": 7, "status": "enabled"}}},
}
TASK: dict[str, Any] = {
    "location": "westus2",
    "properties": {
        "status": "Enabled",
        "platform": {"os": "Linux", "architecture": "amd64"},
        "agentConfiguration": {"cpu": 2},
        "step": {
            "type": "Docker",
            "dockerFilePath": "Dockerfile",
            "contextPath": "https://absent/",
            "imageNames": ["a:1"],
        },
        "trigger": {"baseImageTrigger": {"name": "b", "baseImageTriggerType": "Runtime", "status": "Enabled"}},
    },
}
RUN: dict[str, Any] = {
    "type": "DockerBuildRequest",
    "imageNames": ["a:1"],
    "isPushEnabled": True,
    "sourceLocation": "source/absent.tar.gz",
    "platform": {"os": "Linux", "architecture": "amd64"},
    "dockerFilePath": "Dockerfile",
    "arguments": [{"name": "A", "value": "b", "isSecret": False}],
    "agentConfiguration": {"cpu": 2},
}
ACI = "/resourceGroups/any/providers/Microsoft.ContainerInstance"
ACR = "/resourceGroups/any/providers/Microsoft.ContainerRegistry"
TASKS = "2019-06-01-preview"
REQUESTS: list[tuple[str, str, str, Any]] = [
    ("PUT", f"{ACI}/containerGroups/group-1", "2023-05-01", GROUP),
    ("PATCH", f"{ACI}/containerGroups/group-1", "2023-05-01", {"tags": {"a": "b"}}),
    ("GET", f"{ACI}/containerGroups/group-1", "2023-05-01", None),
    ("POST", f"{ACI}/containerGroups/group-1/stop", "2023-05-01", None),
    ("POST", f"{ACI}/containerGroups/group-1/start", "2023-05-01", None),
    ("POST", f"{ACI}/containerGroups/group-1/restart", "2023-05-01", None),
    ("GET", f"{ACI}/containerGroups/group-1/containers/c1/logs", "2023-05-01", None),
    (
        "POST",
        f"{ACI}/containerGroups/group-1/containers/c1/exec",
        "2023-05-01",
        {"command": "sh", "terminalSize": {"rows": 1, "cols": 2}},
    ),
    ("POST", f"{ACI}/containerGroups/group-1/containers/c1/attach", "2023-05-01", None),
    ("DELETE", f"{ACI}/containerGroups/group-1", "2023-05-01", None),
    ("GET", "/providers/Microsoft.ContainerInstance/locations/westus2/usages", "2023-05-01", None),
    ("GET", "/providers/Microsoft.ContainerInstance/locations/westus2/capabilities", "2023-05-01", None),
    ("PUT", f"{ACR}/registries/anyregistry1", "2023-07-01", REGISTRY),
    ("PATCH", f"{ACR}/registries/anyregistry1", "2023-07-01", REGISTRY),
    ("POST", f"{ACR}/registries/anyregistry1/listCredentials", "2023-07-01", None),
    ("POST", f"{ACR}/registries/anyregistry1/regenerateCredential", "2023-07-01", {"name": "password"}),
    ("GET", f"{ACR}/registries/anyregistry1/listUsages", "2023-07-01", None),
    (
        "POST",
        "/providers/Microsoft.ContainerRegistry/checkNameAvailability",
        "2023-07-01",
        {"name": "a", "type": "Microsoft.ContainerRegistry/registries"},
    ),
    (
        "PUT",
        f"{ACR}/registries/anyregistry1/replications/eastus",
        "2023-07-01",
        {"location": "eastus", "properties": {}},
    ),
    ("PUT", f"{ACR}/registries/anyregistry1/tasks/task1", TASKS, TASK),
    ("PATCH", f"{ACR}/registries/anyregistry1/tasks/task1", TASKS, TASK),
    ("POST", f"{ACR}/registries/anyregistry1/scheduleRun", TASKS, RUN),
    (
        "POST",
        f"{ACR}/registries/anyregistry1/scheduleRun",
        TASKS,
        {"type": "TaskRunRequest", "taskName": "task1", "taskId": "x"},
    ),
    ("POST", f"{ACR}/registries/anyregistry1/listBuildSourceUploadUrl", TASKS, None),
    ("GET", f"{ACR}/registries/anyregistry1/runs", TASKS, None),
    ("PATCH", f"{ACR}/registries/anyregistry1/runs/ca1", TASKS, {"isArchiveEnabled": True}),
    ("POST", f"{ACR}/registries/anyregistry1/runs/ca1/cancel", TASKS, None),
    (
        "POST",
        f"{ACR}/registries/anyregistry1/importImage",
        "2023-07-01",
        {"source": {"sourceImage": "a:1", "registryUri": "absent"}, "targetTags": ["a:1"], "mode": "NoForce"},
    ),
]

scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(["", "a" * 5000, "../../etc/passwd", "/", "\x00", "-1", "1e999", "localhost:1", "Always", "é"]),
)
anything: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)


Place: TypeAlias = "tuple[str | int, ...]"


def places(value: Json, at: Place = ()) -> Iterator[Place]:
    """The paths of everything in a body, the body itself included."""
    yield at
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from places(inner, (*at, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from places(inner, (*at, number))


def changed(value: Json, place: Place, how: str, new: Json) -> Json:
    """A copy of a body in which one thing is replaced, missing, twice there, or spelled otherwise."""
    if not place:
        return new
    first, rest = place[0], place[1:]
    if isinstance(value, dict) and isinstance(first, str):
        fields = dict(value)
        if rest or how == "replace":
            fields[first] = changed(fields[first], rest, how, new)
        else:
            moved = fields.pop(first)
            if how == "other":
                fields[str(new)] = moved
        return fields
    assert isinstance(value, list)
    assert isinstance(first, int)
    if rest or how == "replace":
        return [*value[:first], changed(value[first], rest, how, new), *value[first + 1 :]]
    return [*value, value[first]] if how == "other" else [*value[:first], *value[first + 1 :]]


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, str, bytes]:
    method, path, version, body = draw(st.sampled_from(REQUESTS))
    for _ in range(draw(st.integers(0, 2))):
        if body is not None:
            place = draw(st.sampled_from(list(places(body))))
            body = changed(body, place, draw(st.sampled_from(["replace", "remove", "other"])), draw(anything))
    if draw(st.integers(0, 9)) == 0:
        path += "/" + draw(st.sampled_from(["x", "logs", "..%2f", "%00", "%ff", "stop", "runs"]))
    query = f"api-version={version}" + draw(
        st.sampled_from([""] * 6 + ["&tail=x", "&tail=-1", "&timestamps=2", "&$filter=x", "&$top=x", "&$skipToken=x"])
    )
    return method, path, query, b"" if body is None else json.dumps(body).encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def launched(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    folder = tmp_path_factory.mktemp("anything")
    with launch(folder) as found:
        found.arm("PUT", "/resourceGroups/any", {"location": "westus2"}, version="2022-09-01")
        found.arm("PUT", f"{ACR}/registries/anyregistry1", REGISTRY, version="2023-07-01")
        yield found
    log = (folder / "log.txt").read_text("utf-8")
    assert "Traceback" not in log
    assert " ERROR " not in log


@pytest.fixture(scope="module")
def client(launched: Launched) -> Iterator[httpx.Client]:
    token = launched.credential.get_token(f"{launched.base}/.default").token
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with launched.http(headers=headers, timeout=30) as found:
        yield found


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request_=requests())
def test_no_provider_answers_with_a_500(
    launched: Launched, client: httpx.Client, request_: tuple[str, str, str, bytes]
) -> None:
    method, path, query, body = request_
    url = f"{launched.base}/subscriptions/{launched.environment['AZURE_SUBSCRIPTION_ID']}{path}?{query}"
    answer = client.request(method, url, content=body)
    event(f"{path.split('/')[-1][:20]} {answer.status_code}")
    assert answer.status_code < 500 or answer.status_code == 501, answer.text
    if answer.status_code >= 400:
        error = answer.json()["error"]
        assert error["code"]
        assert error["message"]
    assert b":null" not in answer.content
