"""What goes wrong with IoT Edge, told in sentences: at the hub, at a device, at its module, and at a local device.

The hub of these tests answers over HTTP what wire-level notes and issues of the real one show.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, cast

import pytest

from windtunnel.adapters import iotedge_work
from windtunnel.adapters.building import Settings
from windtunnel.adapters.clients import Clients
from windtunnel.adapters.iotedge import EdgeAdapter
from windtunnel.adapters.iotedge_work import EdgeWork
from windtunnel.adapters.iothub import (
    Hub,
    IotHubs,
    _hub_errors,  # pyright: ignore[reportPrivateUsage]  # what all requests go through
)
from windtunnel.clouds import Cloud
from windtunnel.edge_devices import EdgeDevices
from windtunnel.errors import (
    AuthenticationFailed,
    Cancelled,
    Conflict,
    DeploymentFailed,
    EmulatorsFailed,
    InvalidInput,
    InvalidSpec,
    NotFound,
    ScoringFailed,
    ServiceError,
    WindtunnelError,
)
from windtunnel.interface import Endpoint, Protocol
from windtunnel.iothub_errors import said_of, sentence_of
from windtunnel.method_client import LIMIT, MethodClient
from windtunnel.operation import Stop
from windtunnel.records import Records
from windtunnel.runtime_check import InstalledRuntime
from windtunnel.spec import Spec, Target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from windtunnel.adapters.iotedge_deployment import EdgeDeployment
    from windtunnel.interface import Progress
    from windtunnel.jsontypes import Json, JsonObject

    Scoring = Any


SETTINGS = Settings(resource_group="models", location="westeurope", registry="acme12345", owner="ada", lifetime=None)


def refusal(number: int, said: str) -> bytes:
    """A hub's error, whose message is JSON again."""
    inner = json.dumps({"errorCode": number, "trackingId": "0", "message": said})
    return json.dumps({"Message": inner, "ExceptionMessage": ""}).encode()


# --- the module's direct method


@pytest.fixture
def client(scoring: Scoring) -> Iterator[MethodClient]:
    """Of module ``ml``, at the test's hub."""
    uri = scoring.uri.removesuffix("/score") + "/twins/d/modules/ml/methods"
    endpoint = Endpoint(
        scoring_uri=uri, swagger_uri="", key="SharedAccessSignature sig=s", protocol=Protocol.METHOD, service="ml"
    )
    client = MethodClient(endpoint, timeout_s=5)
    yield client
    client.close()


@pytest.mark.parametrize(
    ("status", "body", "words", "way_out"),
    [
        (
            404,
            refusal(404103, "Timed out waiting for device to connect."),
            r"cannot be reached \(404, 404103\): Timed out waiting for device to connect\.",
            "connected to the hub",
        ),
        (
            504,
            refusal(504101, "Timed out waiting for the response from device."),
            r"did not answer within 30 s \(504, 504101\): Timed out waiting for the response",
            "windtunnel logs",
        ),
        (404, b'{"Message": "ErrorCode:ModuleNotFound;x"}', r"\(404\): ErrorCode:ModuleNotFound;x", "windtunnel show"),
        (502, b"<html>bad gateway</html>", r"\(502\): <html>bad gateway", "windtunnel show"),
        (503, b"", r"\(503\): no reason given", "windtunnel show"),
    ],
    ids=["offline", "time-out", "unknown", "no-json", "empty"],
)
def test_a_module_that_gives_no_answer(
    scoring: Scoring, client: MethodClient, status: int, body: bytes, words: str, way_out: str
) -> None:
    scoring.answers = [(status, body)]
    with pytest.raises(ScoringFailed, match=words) as failed:
        client.score(b"[1]")
    assert failed.value.status == status
    assert way_out in (failed.value.way_out or "")
    assert not client.alive()


def test_a_token_that_the_hub_refuses_is_the_callers_fault(scoring: Scoring, client: MethodClient) -> None:
    scoring.answers = [(401, refusal(401003, "IoTHubUnauthorized"))]
    answer = client.score(b"[1]")
    assert (answer.status, answer.json()) == (401, {"message": "IoTHubUnauthorized"})


def test_more_than_a_direct_method_carries_is_not_sent(scoring: Scoring, client: MethodClient) -> None:
    with pytest.raises(InvalidInput, match=f"has {LIMIT + 1} bytes; a direct method of IoT Edge carries {LIMIT}"):
        client.score(b"1" * (LIMIT + 1))
    assert scoring.asked == []


# --- the hub's own API


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidSpec),
        (401, AuthenticationFailed),
        (403, AuthenticationFailed),
        (404, NotFound),
        (409, Conflict),
        (412, Conflict),
        (429, ServiceError),
        (500, ServiceError),
    ],
)
def test_what_the_hub_refuses(status: int, kind: type[WindtunnelError]) -> None:
    from msrest.exceptions import HttpOperationError

    class Response:
        status_code = status
        text = refusal(status * 1000 + 1, "it is so").decode()
        reason = "Reason"

        def raise_for_status(self) -> None:
            """As requests has it."""

    def deserialize(_kind: object, _response: object) -> None:
        """The body is ours to read."""

    with pytest.raises(kind) as refused, _hub_errors("device 'd'"):
        raise HttpOperationError(cast("Any", deserialize), Response())
    assert type(refused.value) is kind
    assert refused.value.message == "device 'd': it is so"
    assert refused.value.code == str(status * 1000 + 1)


def test_a_hub_that_cannot_be_reached() -> None:
    from msrest.exceptions import ClientRequestError

    with (
        pytest.raises(ServiceError, match="device 'd': the IoT hub cannot be reached: no route") as failed,
        _hub_errors("device 'd'"),
    ):
        raise ClientRequestError("no route")
    assert "ca_file" in (failed.value.way_out or "")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (refusal(404001, "no such device").decode(), ("404001", "no such device")),
        ('{"Message": "ErrorCode:ArgumentInvalid;bad"}', (None, "ErrorCode:ArgumentInvalid;bad")),
        ('{"message": "small letters"}', (None, "small letters")),
        ("{}", (None, "Reason")),
        ("[1]", (None, "Reason")),
        ("", (None, "Reason")),
        ("plain words\n", (None, "plain words")),
        ('{"Message": "{}"}', (None, "{}")),
    ],
)
def test_code_and_sentence_of_a_hubs_error(text: str, found: tuple[str | None, str]) -> None:
    assert said_of(text, "Reason") == found


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"error": {"message": "no number"}}', "no number"),
        ('{"message": "no token"}', "no token"),
        ('{"error": "no path"}', "no path"),
        ("gone", "gone"),
        ("[]", "[]"),
    ],
)
def test_sentence_of_a_devices_error(text: str, sentence: str) -> None:
    assert sentence_of(text) == sentence


# --- a device, while something is deployed to it


class Twins:
    """A hub with one device, whose twins are as a test says."""

    name = "hub"

    def __init__(self, *, online: bool = True, applied: str = "", lease: str = "") -> None:
        status = {applied: {"status": "Applied"}} if applied else {}
        self.agent: JsonObject = {
            "connectionState": "Connected" if online else "Disconnected",
            "configurations": cast("JsonObject", status),
            "properties": {"desired": {"modules": {}}},
        }
        self.lease = lease
        self.applied: list[JsonObject] = []
        self.answer: tuple[int, Json] = (200, [])
        self.tags: list[JsonObject] = []

    def module_twin(self, device: str, module: str) -> JsonObject:
        del device
        return self.agent if module == "$edgeAgent" else {}

    def device_twin(self, device: str) -> JsonObject:
        del device
        return {"etag": "1", "tags": {"windtunnel": {"lease": {"until": self.lease}}}}

    def tag(self, device: str, tags: JsonObject, etag: str) -> bool:
        del device, etag
        self.tags.append(tags)
        return True

    def apply(self, device: str, content: JsonObject) -> None:
        del device
        self.applied.append(content)

    def call(self, device: str, module: str, method: str, payload: Json) -> tuple[int, Json]:
        del device, module, method, payload
        return self.answer


def hub_of(twins: Twins) -> Hub:
    return cast("Hub", twins)


@pytest.fixture
def work() -> EdgeWork:
    """The steps, without a cloud."""
    steps: list[Progress] = []
    return EdgeWork(Clients(Cloud.azure(), "s"), SETTINGS, InstalledRuntime(), steps.append)


def changed(deployment: EdgeDeployment) -> EdgeDeployment:
    return type(deployment)(agent={**deployment.agent, "modules": {"ml": {}}}, hub=deployment.hub)


def test_a_device_that_does_not_connect(work: EdgeWork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iotedge_work, "ONLINE_LIMIT_S", -1.0)
    with pytest.raises(
        DeploymentFailed, match=r"IoT Edge device 'd' of IoT hub 'hub' is offline: .* nothing was deployed"
    ) as failed:
        work.online(hub_of(Twins(online=False)), "d", Stop())
    assert "windtunnel edge restore" in (failed.value.way_out or "")


def test_waiting_for_a_device_ends_when_it_is_cancelled(work: EdgeWork) -> None:
    stop = Stop()
    stop.ask()
    with pytest.raises(Cancelled, match="no service was made"):
        work.online(hub_of(Twins(online=False)), "d", stop)


def test_the_modules_of_an_automatic_deployment_are_left_alone(work: EdgeWork) -> None:
    twins = Twins(applied="fleet-a")
    with pytest.raises(InvalidSpec, match="those of the automatic deployment fleet-a") as refused:
        work.change(hub_of(twins), "d", changed)
    assert "target condition" in (refused.value.way_out or "")
    assert twins.applied == []
    assert twins.tags[-1] == {"windtunnel": {"lease": None}}  # given back


def test_modules_that_others_set_in_the_same_moment(work: EdgeWork) -> None:
    twins = Twins()  # what is applied is never what is found afterwards
    with pytest.raises(Conflict, match="the modules of device 'd' are set by somebody else at the same time"):
        work.change(hub_of(twins), "d", changed)
    assert len(twins.applied) == 5
    assert twins.tags[-1] == {"windtunnel": {"lease": None}}


def test_a_lease_that_somebody_holds(work: EdgeWork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iotedge_work, "LEASE_S", -1.0)
    twins = Twins(lease="9999-01-01T00:00:00+00:00")
    with pytest.raises(Conflict, match="are being changed by somebody else"):
        work.change(hub_of(twins), "d", changed)
    assert (twins.applied, twins.tags) == ([], [])  # and theirs is not taken away


def test_a_log_that_the_agent_does_not_give(work: EdgeWork) -> None:
    twins = Twins()
    twins.answer = (413, {"message": "too large"})
    with pytest.raises(ServiceError, match="log of module 'ml' of device 'd': the agent answered 413: too large"):
        work.logs(hub_of(twins), "d", "ml", 1000)
    twins.answer = (500, None)
    with pytest.raises(ServiceError, match="answered 500: null"):
        work.logs(hub_of(twins), "d", "ml", 10)


def test_a_device_that_is_no_edge_device_is_refused_before_an_image_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model_file: Path
) -> None:
    hub = Hub(Cloud.azure(), name="acme-hub", id="/hub", host="acme-hub.azure-devices.net", location="", keys={})

    def get(_hubs: IotHubs, _name: str) -> Hub:
        return hub

    def asked(_hub: Hub, _doing: str, _ask: object, *, missing: bool = False) -> Json:
        del missing
        return {"deviceId": "plain", "capabilities": {"iotEdge": False}}

    def registry(_work: EdgeWork, _location: str) -> None:
        raise AssertionError("an image was to be built")

    monkeypatch.setattr(IotHubs, "get", get)
    monkeypatch.setattr(Hub, "_asked", asked)
    monkeypatch.setattr(EdgeWork, "registry", registry)
    records = Records(tmp_path / "data", cloud="c", subscription="s", group="models")
    steps: list[Progress] = []
    clients = Clients(Cloud.azure(), "s")
    adapter = EdgeAdapter(clients, SETTINGS, records, InstalledRuntime(), steps.append, hub="acme-hub", device="plain")
    operation = adapter.deploy(Spec(name="flow", model=model_file, target=Target.IOT_EDGE))
    with pytest.raises(InvalidSpec, match="device 'plain' of IoT hub 'acme-hub' is not an IoT Edge device") as refused:
        operation.result(30)
    assert "--device" in (refused.value.way_out or "")


# --- local devices


def place_device(state: Path, hub: str, device: str, **ready: object) -> None:
    folder = state / "edge" / hub / device
    folder.mkdir(parents=True)
    said = {"deviceId": device, "hub": f"{hub}.azure-devices.net", "address": "127.0.1.9"}
    (folder / "device.json").write_text(json.dumps(said), "utf-8")
    (folder / "edge.log").write_text("one\ntwo\n", "utf-8")
    if ready:
        (folder / "ready.json").write_text(json.dumps(ready), "utf-8")


def test_a_device_that_is_not_there_or_twice(tmp_path: Path) -> None:
    devices = EdgeDevices(tmp_path)
    with pytest.raises(NotFound, match="no local edge device 'd'") as missing:
        devices.find("d")
    assert "There are: none" in (missing.value.way_out or "")
    for hub in ("one", "two"):
        place_device(tmp_path, hub, "d")
    with pytest.raises(InvalidSpec, match="2 hubs have a device 'd': one, two"):
        devices.find("d")
    assert devices.find("d", "TWO").hub == "two"


def test_a_device_that_does_not_run(tmp_path: Path) -> None:
    place_device(tmp_path, "one", "d")
    with pytest.raises(EmulatorsFailed, match="edge device 'd' does not run") as failed:
        EdgeDevices(tmp_path).find("d").cut()
    assert failed.value.log == "one\ntwo\n"
    assert "windtunnel up" in (failed.value.way_out or "")


def test_a_device_that_refuses_or_does_not_answer(tmp_path: Path, scoring: Scoring) -> None:
    place_device(tmp_path, "one", "d", pid=os.getpid(), control=scoring.uri.removesuffix("/score"), token="t")
    device = EdgeDevices(tmp_path).find("d")
    scoring.answers = [(500, b'{"error": {"message": "disk full"}}')]
    with pytest.raises(EmulatorsFailed, match="edge device 'd' answered POST /cut with 500: disk full"):
        device.cut()
    assert scoring.asked == [("POST /cut", "Bearer t", b"")]
    place_device(tmp_path, "one", "e", pid=os.getpid(), control="http://127.0.0.1:1", token="t")
    with pytest.raises(EmulatorsFailed, match=r"edge device 'e' does not answer at http://127\.0\.0\.1:1"):
        EdgeDevices(tmp_path).find("e").restore()
    assert "token" not in repr(device)
