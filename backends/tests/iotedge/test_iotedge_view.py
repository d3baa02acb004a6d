"""What the twins of a device say about a service, as its state."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import pytest

from windtunnel.adapters.iotedge_deployment import Info
from windtunnel.adapters.iotedge_view import EdgeView
from windtunnel.interface import ServiceState

if TYPE_CHECKING:
    from windtunnel.jsontypes import JsonObject

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
IMAGE = "wt.azurecr.io/m:1"


def view(
    module: dict[str, object] | None = None,
    *,
    code: int = 200,
    description: str = "",
    version: int = 2,
    connected: str = "Connected",
    module_connected: str = "Connected",
    active: str = "2026-11-25T11:00:01Z",
    further: tuple[str, ...] = (),
    others: dict[str, object] | None = None,
) -> EdgeView:
    reported: dict[str, object] = {
        "lastDesiredVersion": version,
        "lastDesiredStatus": {"code": code, "description": description},
        "modules": {**({"ml": module} if module is not None else {}), **(others or {})},
    }
    agent = {"connectionState": connected, "properties": {"desired": {"$version": 2}, "reported": reported}}
    return EdgeView(
        name="ml",
        device="d",
        hub_id="/hub",
        host="h.azure-devices.net",
        location="westeurope",
        module={"settings": {"image": IMAGE}, "env": {"A": {"value": "1"}, "WINDTUNNEL_SERVICE": {"value": "{}"}}},
        info=Info(model="m", created="2026-11-25T11:00:00+00:00", tags={"a": "b"}, modules=further),
        agent=cast("JsonObject", agent),
        twin={"connectionState": module_connected, "lastActivityTime": active},
    )


def module(status: str, **more: object) -> dict[str, object]:
    return {"runtimeStatus": status, "settings": {"image": IMAGE}, **more}


def old(seconds: int) -> str:
    return datetime.fromtimestamp(NOW.timestamp() - seconds, UTC).isoformat()


@pytest.mark.parametrize(
    ("found", "state", "words"),
    [
        (view(module("running")), ServiceState.HEALTHY, None),
        (view(module("running"), connected="Disconnected"), ServiceState.UNHEALTHY, "last reported as running"),
        (view(connected="Disconnected"), ServiceState.UNHEALTHY, "is not connected to its hub"),
        (view(module("running"), version=1), ServiceState.TRANSITIONING, "not taken the deployment in yet"),
        (view(code=412, description="no such schema"), ServiceState.FAILED, r"refuses .*\(412\): no such schema"),
        (view(code=500, description="no such image"), ServiceState.FAILED, "could not do it: no such image"),
        (view(module("running"), code=500, description="another"), ServiceState.HEALTHY, None),
        (
            view(module("running"), code=500, description="no such image", further=("eye",)),
            ServiceState.FAILED,
            "no module 'eye': the device's agent could not do it: no such image",
        ),
        (
            view(module("running"), code=500, description="no", further=("eye",), others={"eye": module("backoff")}),
            ServiceState.FAILED,
            "no module 'eye': the device's agent could not do it: no",
        ),
        (
            view(
                module("running"),
                code=500,
                further=("eye",),
                others={"eye": module("unknown", lastStartTimeUtc="0001-01-01T00:00:00Z")},
            ),
            ServiceState.FAILED,
            "no module 'eye'",
        ),
        (
            view(
                module("running"),
                code=500,
                further=("eye",),
                others={"eye": module("backoff", lastStartTimeUtc=old(9))},
            ),
            ServiceState.HEALTHY,
            None,
        ),
        (view(module("running"), further=("eye",)), ServiceState.HEALTHY, None),
        (view(), ServiceState.TRANSITIONING, None),
        (view(module("unknown")), ServiceState.TRANSITIONING, None),
        (view(module("backoff", exitCode=3)), ServiceState.FAILED, "exit code 3 .*Did your init method fail"),
        (view(module("failed", exitCode=1)), ServiceState.FAILED, r"exit code 1 \(failed\)"),
        (view(module("unhealthy", statusDescription="sick")), ServiceState.UNHEALTHY, "sick"),
        (
            view(module("running", lastStartTimeUtc=old(5)), module_connected="Disconnected"),
            ServiceState.TRANSITIONING,
            "not connected to the edge's hub",
        ),
        (
            view(module("running", lastStartTimeUtc=old(500)), module_connected="Disconnected"),
            ServiceState.UNHEALTHY,
            "not connected to the edge's hub",
        ),
        (
            view(module("running", restartCount=2), module_connected="Disconnected", active="0001-01-01T00:00:00Z"),
            ServiceState.FAILED,
            "has ended 2 times. Did your init method fail",
        ),
        (
            view(
                module("running", restartCount=2, lastStartTimeUtc=old(5)),
                module_connected="Disconnected",
                active="2026-11-25T11:30:00Z",
            ),
            ServiceState.TRANSITIONING,
            "not connected to the edge's hub",
        ),
        (view({"runtimeStatus": "running", "settings": {"image": "before"}}), ServiceState.TRANSITIONING, None),
    ],
)
def test_states(found: EdgeView, state: ServiceState, words: str | None) -> None:
    seen, error = found.state(NOW)
    assert seen is state
    if words is None:
        assert error is None
    else:
        assert re.search(words, error or ""), error


def test_a_deployment_says_all_that_is_known() -> None:
    found = view(module("running", restartCount=2)).deployment(NOW)
    assert found.id == "/hub/devices/d/modules/ml"
    assert found.scoring_uri == "https://h.azure-devices.net/twins/d/modules/ml/methods"
    assert (found.image, found.restarts, found.tags, found.model_name) == (IMAGE, 2, {"a": "b"}, "m")
    assert found.created == datetime(2026, 11, 25, 11, 0, tzinfo=UTC)


def test_the_users_variables_are_told_from_ours() -> None:
    assert view().environment == {"A": "1"}
