"""States, events and restart counts of groups whose containers end, fail, or never come to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.container_instance.conftest import Emulators, Reply

    Make = Callable[..., dict[str, Any]]


def view_of(shown: Reply, container: int = 0) -> dict[str, Any]:
    view: dict[str, Any] = shown.body["properties"]["containers"][container]["properties"]["instanceView"]
    return view


def states(shown: Reply) -> tuple[str, str]:
    properties = shown.body["properties"]
    return properties["provisioningState"], properties["instanceView"]["state"]


@pytest.mark.parametrize(
    ("policy", "code", "state", "detail"),
    [
        ("Never", 0, "Succeeded", "Completed"),
        ("Never", 2, "Failed", "Error"),
        ("OnFailure", 0, "Succeeded", "Completed"),
    ],
)
async def test_a_container_that_ends_for_good(
    emulators: Emulators, body: Make, policy: str, code: int, state: str, detail: str
) -> None:
    await emulators.created("g1", body(image=f"exit/{code}", restartPolicy=policy))
    await emulators.eventually(lambda: _state(emulators) == state)
    shown = await emulators.get("g1")
    assert states(shown) == ("Succeeded", state)
    view = view_of(shown)
    assert view["restartCount"] == 0
    assert view["currentState"] == {
        "state": "Terminated",
        "startTime": "2026-01-01T00:00:00.000Z",
        "exitCode": code,
        "finishTime": "2026-01-01T00:00:00.000Z",
        "detailStatus": detail,
    }
    assert "previousState" not in view


async def test_a_container_that_ends_is_started_again_with_growing_back_off(emulators: Emulators, body: Make) -> None:
    shown = await emulators.created("g1", body(image="exit/0", restartPolicy="Always"))
    assert states(shown)[0] == "Succeeded"
    await emulators.eventually(lambda: "CrashLoopBackOff" in _detail(emulators))
    shown = await emulators.get("g1")
    view = view_of(shown)
    assert states(shown) == ("Succeeded", "Running")
    assert view["currentState"]["state"] == "Waiting"
    assert view["currentState"]["detailStatus"] == "CrashLoopBackOff: Back-off 10s restarting failed"
    assert view["previousState"]["detailStatus"] == "Completed"
    assert view["restartCount"] == 1
    assert [(e["name"], e["count"], e["type"]) for e in view["events"]] == [
        ("Pulling", 2, "Normal"),
        ("Pulled", 2, "Normal"),
        ("Created", 2, "Normal"),
        ("Started", 2, "Normal"),
        ("BackOff", 1, "Warning"),
    ]
    await emulators.clock.advance(0.2)
    await emulators.eventually(lambda: _restarts(emulators) == 2)


async def test_containers_of_a_group_end_apart(emulators: Emulators, body: Make) -> None:
    two = body(image="exit/1", restartPolicy="Never")
    two["properties"]["containers"].append(
        {"name": "b", "properties": {"image": "run", "resources": {"requests": {"cpu": 1, "memoryInGB": 1}}}}
    )
    shown = await emulators.created("g1", two)
    await emulators.eventually(lambda: len(emulators.runtime.running) == 1)
    shown = await emulators.get("g1")
    assert states(shown) == ("Succeeded", "Running")
    emulators.runtime.running[0].end(0)
    await emulators.eventually(lambda: _state(emulators) == "Failed")


async def test_init_containers_run_first_and_in_order(emulators: Emulators, body: Make) -> None:
    asked = body(
        initContainers=[
            {"name": "one", "properties": {"image": "exit/0", "command": ["first"]}},
            {"name": "two", "properties": {"image": "exit/0", "command": ["second"]}},
        ]
    )
    shown = await emulators.created("g1", asked)
    assert [c.spec.command for c in emulators.runtime.containers] == [("first",), ("second",), ()]
    inits = shown.body["properties"]["initContainers"]
    assert [i["properties"]["instanceView"]["currentState"]["exitCode"] for i in inits] == [0, 0]
    assert inits[0]["properties"]["environmentVariables"] == []


async def test_an_init_container_that_fails_for_good_fails_its_group(emulators: Emulators, body: Make) -> None:
    asked = body(restartPolicy="Never", initContainers=[{"name": "one", "properties": {"image": "exit/7"}}])
    shown = await emulators.created("g1", asked)
    assert states(shown) == ("Succeeded", "Failed")
    assert len(emulators.runtime.containers) == 1


async def test_an_image_that_cannot_be_had_fails_the_creation(emulators: Emulators, body: Make) -> None:
    reply = await emulators.put("g1", body(image="absent/x"))
    link = reply.headers["azure-asyncoperation"].removeprefix("https://localhost:4580")
    await emulators.eventually(lambda: bool(emulators.runtime.pulls))
    await emulators.clock.advance(60)
    await emulators.settled()
    poll = await emulators.request("GET", link)
    assert (poll.status, poll.body["status"]) == (200, "Failed")
    assert poll.body["error"]["code"] == "InaccessibleImage"
    assert "image absent/x is nowhere" in poll.body["error"]["message"]
    shown = await emulators.get("g1")
    assert states(shown) == ("Failed", "Failed")
    counted = {event["name"]: event["count"] for event in view_of(shown)["events"]}
    assert counted == {"Pulling": 3, "Failed": 3, "BackOff": 2}


async def test_a_container_that_cannot_be_started_says_why(emulators: Emulators, body: Make) -> None:
    shown = await emulators.created("g1", body(image="refuse", restartPolicy="Never"))
    assert states(shown) == ("Succeeded", "Failed")
    current = view_of(shown)["currentState"]
    assert (current["exitCode"], current["detailStatus"]) == (128, "StartError: it cannot be started")


async def test_a_share_that_cannot_be_mounted_fails_the_creation(emulators: Emulators, body: Make) -> None:
    share = {"name": "share", "azureFile": {"shareName": "s", "storageAccountName": "account"}}
    reply = await emulators.put("g1", body(volumes=[share]))
    link = reply.headers["azure-asyncoperation"].removeprefix("https://localhost:4580")
    await emulators.settled()
    poll = await emulators.request("GET", link)
    assert (poll.body["status"], poll.body["error"]["code"]) == ("Failed", "FailedMount")
    assert [event["name"] for event in poll.body["properties"]["events"]] == ["FailedMount"]
    shown = await emulators.get("g1")
    assert states(shown) == ("Failed", "Pending")
    (event,) = shown.body["properties"]["instanceView"]["events"]
    assert (event["name"], event["type"]) == ("FailedMount", "Warning")
    assert "Azure Files is not emulated" in event["message"]
    assert emulators.runtime.containers == []


async def test_a_group_that_does_not_start_in_time_has_failed(emulators: Emulators, body: Make) -> None:
    reply = await emulators.put("g1", body(image="hang"))
    link = reply.headers["azure-asyncoperation"].removeprefix("https://localhost:4580")
    await emulators.eventually(lambda: bool(emulators.runtime.pulls))
    shown = await emulators.get("g1")
    assert states(shown) == ("Creating", "Pending")
    assert [event["name"] for event in view_of(shown)["events"]] == ["Pulling"]
    await emulators.clock.advance(1800)
    await emulators.settled()
    poll = await emulators.request("GET", link)
    assert poll.body["error"]["code"] == "ContainerGroupProvisioningTimeout"
    assert "container 'main' is Waiting" in poll.body["error"]["message"]
    assert (await emulators.get("g1")).body["properties"]["provisioningState"] == "Failed"
    await emulators.crash()
    assert emulators.runtime.pulls == []
    assert (await emulators.get("g1")).body["properties"]["provisioningState"] == "Failed"


async def test_a_liveness_probe_restarts_its_container(emulators: Emulators, body: Make) -> None:
    asked = body()
    asked["properties"]["containers"][0]["properties"]["livenessProbe"] = {
        "exec": {"command": ["nonsense"]},
        "periodSeconds": 10,
        "failureThreshold": 2,
    }
    await emulators.created("g1", asked)
    first = emulators.runtime.running[0]
    for _ in range(4):
        await emulators.clock.advance(10)
    await emulators.eventually(lambda: not first.running)
    await emulators.clock.advance(10)
    await emulators.eventually(lambda: _restarts(emulators) >= 1)
    names = [event["name"] for event in view_of(await emulators.get("g1"))["events"]]
    assert "Unhealthy" in names
    assert "Killing" in names


def _status(emulators: Emulators) -> Any:
    resource = emulators.kernel.resources.get(emulators.path("g1"))
    assert resource is not None
    return emulators.service.status(resource)


def _state(emulators: Emulators) -> str:
    return str(_status(emulators).state)


def _detail(emulators: Emulators) -> str:
    return str(_status(emulators).containers[0].state.detail)


def _restarts(emulators: Emulators) -> int:
    return int(_status(emulators).containers[0].restarts)
