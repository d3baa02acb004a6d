"""What the project was asked for of IoT Edge, one test each: through the command line, at emulators that really run.

The seed's four promises: it works without a cloud connection, handles what is too big to send, is real-time near the
device, and keeps data private.

The model is the anomaly detector. The machine's sensor is part of the test: a module on Microsoft's client, connected
to the edge, which also takes in the answers.
"""

from __future__ import annotations

import contextlib
import gc
import json
import shlex
import statistics
import threading
import time
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest
from azure.identity import ClientSecretCredential
from azure.mgmt.iothub import IotHubClient

import windtunnel_contracts
from cli_shell import Shell
from windtunnel import profiles, registry
from windtunnel.edge_devices import EdgeDevices
from windtunnel.method_client import MethodClient
from windtunnel.spec import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from windtunnel.edge_devices import EdgeDevice

# paho 1.6, under azure-iot-device, leaves sockets open that it wakes itself up with.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <s:pytest.PytestUnraisableExceptionWarning"),
]
DATA = Path(windtunnel_contracts.__file__).parent / "data" / "anomaly"
DEVICE: Any = import_module("azure.iot.device")  # these have no types
HUB: Any = import_module("azure.iot.hub")
LIMIT_S = 60.0
ROUTES = {
    "toModel": (
        'FROM /messages/modules/sensor/outputs/readings INTO BrokeredEndpoint("/modules/anomaly/inputs/amlInput")'
    ),
    "back": 'FROM /messages/modules/anomaly/outputs/amlOutput INTO BrokeredEndpoint("/modules/sensor/inputs/answers")',
    "up": "FROM /messages/modules/anomaly/outputs/amlOutput INTO $upstream",
    "public": "FROM /messages/modules/sensor/outputs/public INTO $upstream",
}


class EdgeShell(Shell):
    """With what arrives at the hub."""

    def monitor(self, count: int) -> list[Any]:
        """The first messages that the hub has, of all devices."""
        said, _ = self.run(
            "iot", "monitor", "--from", "start", "--count", str(count), "--timeout", str(LIMIT_S), "-o", "json"
        )
        return [json.loads(line) for line in said.splitlines()]

    def variables(self) -> dict[str, str]:
        """What ``windtunnel env`` exports."""
        lines = (shlex.split(line)[1] for line in self.run("env")[0].splitlines() if line.startswith("export "))
        return dict(line.split("=", 1) for line in lines)


class Site:
    """One edge device with the model, and the sensor that is connected to it."""

    def __init__(self, shell: EdgeShell, name: str) -> None:
        self.shell = shell
        self.name = name
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._sent = 0
        routes = [argument for route, text in ROUTES.items() for argument in ("--route", f"{route}={text}")]
        shell.run(
            "deploy", str(DATA / "anomaly.onnx"), "--name", "anomaly", "--target", "iotedge", "--device", name,
            "--hub", f"{name}-hub", "--entry-script", str(DATA / "score.py"), "--env", "ANOMALIES_ONLY=true", *routes,
        )  # fmt: skip
        variables = shell.variables()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REQUESTS_CA_BUNDLE", variables["REQUESTS_CA_BUNDLE"])
            owner = self._owner(variables)
            identities = HUB.IoTHubRegistryManager.from_connection_string(owner)
            made = identities.create_module_with_sas(name, "sensor", "", "", "")
        self.client: Any = DEVICE.IoTHubModuleClient.create_from_connection_string(
            f"HostName={name}-hub.azure-devices.net;DeviceId={name};ModuleId=sensor;"
            f"SharedAccessKey={made.authentication.symmetric_key.primary_key};GatewayHostName={self.device.address}",
            server_verification_cert=Path(variables["SSL_CERT_FILE"]).read_text("ascii", "ignore"),
            connection_retry_interval=1,
        )
        self.client.on_message_received = self._take
        self.client.connect()

    def _owner(self, variables: dict[str, str]) -> str:
        arm = variables["ARM_CLOUD_METADATA_URL"].partition("/metadata")[0]
        credential = ClientSecretCredential(
            variables["AZURE_TENANT_ID"],
            variables["AZURE_CLIENT_ID"],
            variables["AZURE_CLIENT_SECRET"],
            authority=variables["AZURE_AUTHORITY_HOST"],
            disable_instance_discovery=True,
        )
        client: Any = IotHubClient(
            credential, variables["AZURE_SUBSCRIPTION_ID"], base_url=arm, credential_scopes=[f"{arm}/.default"]
        )
        with credential, client:
            hubs = client.iot_hub_resource
            host = hubs.get("windtunnel", f"{self.name}-hub").properties.host_name
            key = hubs.get_keys_for_key_name("windtunnel", f"{self.name}-hub", "iothubowner").primary_key
        return f"HostName={host};SharedAccessKeyName=iothubowner;SharedAccessKey={key}"

    @property
    def device(self) -> EdgeDevice:
        return EdgeDevices(self.shell.state).find(self.name)

    def _take(self, message: Any) -> None:
        self._answers.put(json.loads(message.data))

    def reading(self, *, hot: bool) -> dict[str, Any]:
        """Of its own: no other has its numbers, which are found again wherever they are written."""
        self._sent += 1
        temperature = (90 if hot else 40) + self._sent / 7919
        return {
            "machine": {"temperature": temperature, "pressure": 1 + (temperature - 21) * 9 / 79},
            "ambient": {"temperature": 21 + self._sent / 75_011, "humidity": 25},
            "timeCreated": f"reading {self._sent}",
        }

    def send(self, content: object, output: str = "readings") -> int:
        """Its bytes, once the edge has stored it."""
        message = DEVICE.Message(json.dumps(content), content_encoding="utf-8", content_type="application/json")
        self.client.send_message_to_output(message, output)
        return len(message.data)

    def answer(self) -> Any:
        """The next one at the edge."""
        return self._answers.get(timeout=LIMIT_S)

    def until_waiting(self, count: int) -> None:
        """Until so many messages wait for the cloud."""
        end = time.monotonic() + LIMIT_S
        while (waiting := self.device.waiting()) != count:
            assert time.monotonic() < end, f"{waiting} messages wait for the cloud, not {count}"
            threading.Event().wait(0.05)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeShell]:
    shell = EdgeShell(tmp_path_factory.mktemp("seed") / "state")
    shell.run("up", "--port", "0")
    yield shell
    shell.run("down")


@pytest.fixture
def site(shell: EdgeShell, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A hub with a device, of each test's own."""
    name: str = request.node.name.removeprefix("test_").replace("_", "-")[:20].strip("-")
    shell.environment["WINDTUNNEL_IOT_HUB"] = f"{name}-hub"
    found = Site(shell, name)
    yield found
    found.client.shutdown()
    gc.collect()


def test_it_works_without_a_cloud_connection(site: Site) -> None:
    site.shell.run("edge", "cut", site.name)
    readings = [site.reading(hot=True) for _ in range(10)]
    for reading in readings:
        site.send(reading)
    wanted = [(reading["timeCreated"], True) for reading in readings]
    assert [(one["timeCreated"], one["anomaly"]) for one in [site.answer() for _ in wanted]] == wanted
    site.until_waiting(len(wanted))
    site.shell.run("edge", "restore", site.name)
    found = [event["body"] for event in site.shell.monitor(len(wanted))]
    assert [(one["timeCreated"], one["anomaly"]) for one in found] == wanted


def test_it_handles_data_that_is_too_big_to_be_sent(site: Site) -> None:
    """A thousand readings a message are scored at the device, and what goes up is what was found in them."""
    sent, names = 0, list[str]()
    for _ in range(10):
        readings = [site.reading(hot=False) for _ in range(1000)]
        readings[500] = site.reading(hot=True)
        names.append(readings[500]["timeCreated"])
        sent += site.send(readings)
    assert [site.answer()["timeCreated"] for _ in names] == names
    site.until_waiting(0)
    site.send("end", "public")
    *events, end = site.shell.monitor(len(names) + 1)
    assert end["body"] == "end", "more went up than the answers"
    assert [event["body"]["timeCreated"] for event in events] == names
    stored = sum(len(json.dumps([event["body"], event["properties"], event["system"]])) for event in events)
    assert sent > 1_500_000
    assert stored < sent / 100, f"{stored} bytes are at the hub, of {sent}"


def test_it_is_real_time_near_the_device(site: Site) -> None:
    """An answer at the device beside one by way of the cloud, which is a tenth of a second away."""
    site.shell.run("edge", "faults", site.name, "--latency-ms", "100")
    asked = json.dumps(site.reading(hot=True)).encode()
    near, far = list[float](), list[float]()
    profile = profiles.load("local", {}, site.shell.environment, site.shell.state.parent)
    with registry.load("local").connect(profile) as backend:
        client = MethodClient(backend.endpoint(Target.IOT_EDGE, "anomaly"))
    with contextlib.closing(client):
        assert client.alive(), "the client has its connection to the cloud already"
        for _ in range(5):
            began = time.perf_counter()
            site.send(site.reading(hot=True))
            assert site.answer()["anomaly"]
            near.append(time.perf_counter() - began)
            began = time.perf_counter()
            said = client.score(asked).json()
            far.append(time.perf_counter() - began)
            assert isinstance(said, list)
            assert json.loads(str(said[0]))["anomaly"]
    ratio = statistics.median(far) / statistics.median(near)
    assert ratio > 3, f"an answer at the device is only {ratio:.1f} times as fast as one of the cloud's"


def test_it_keeps_data_private(site: Site) -> None:
    """Everything that the hub has stored is read, up to a reading that is sent to it on purpose and so is found."""
    readings = [site.reading(hot=True) for _ in range(20)]
    for reading in readings:
        site.send(reading)
    for _ in readings:
        site.answer()
    site.until_waiting(0)
    published = site.reading(hot=True)
    site.send(published, "public")
    events = site.shell.monitor(len(readings) + 1)
    measured = {
        repr(number)
        for reading in [*readings, published]
        for number in (*reading["machine"].values(), reading["ambient"]["temperature"])
    }
    telling = [event for event in events if any(number in json.dumps(event) for number in measured)]
    assert telling == events[-1:], "readings went up"
    assert events[-1]["body"] == published
    assert [event["module"] for event in events[:-1]] == ["anomaly"] * len(readings)
