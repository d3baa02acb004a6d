"""An edge device's hub by Microsoft's own device client, unmodified and over TLS, also while the hub is killed."""

from __future__ import annotations

import base64
import gc
import json
import os
import socket
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

import pytest

from edge_hub_process import HUB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEVICE: Any = import_module("azure.iot.device")  # it has no types
NAME = "edge"
WAIT_S = 15.0
MODULES = ("sensor", "filter", "caller")
KEYS = {name: base64.b64encode(os.urandom(32)).decode() for name in (NAME, "leaf", *(f"{NAME}/{m}" for m in MODULES))}
ROUTES = {
    "in": 'FROM /messages/modules/sensor/outputs/out INTO BrokeredEndpoint("/modules/filter/inputs/in")',
    "up": "FROM /messages/modules/filter/* INTO $upstream",
    "leaf": "FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) INTO $upstream",
}

# paho 1.6, under azure-iot-device, leaves sockets open that it wakes itself up with, and those of refused connections.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <s:pytest.PytestUnraisableExceptionWarning"),
]


class EdgeProcess:
    """The hub of one edge device, which may be killed and started again on the same state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = free_address()
        self.https = False
        self.start()

    @property
    def authority(self) -> Path:
        return self.folder / "tls" / "ca.pem"

    def start(self, *, online: bool = True) -> None:
        given = {
            "folder": str(self.folder),
            "address": self.address,
            "device": NAME,
            "keys": KEYS,
            "routes": ROUTES,
            "online": online,
        }
        helpers = Path(__file__).parent.parent / "helpers"
        self._process = subprocess.Popen(
            (sys.executable, str(helpers / "edge_hub_process.py"), json.dumps(given)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.https = self._answer()["https"]

    def kill(self) -> None:
        """As by kill -9."""
        self._process.kill()
        self._process.communicate()

    def ask(self, *command: Any) -> Any:
        assert self._process.stdin is not None
        print(json.dumps(command), file=self._process.stdin, flush=True)
        return self._answer()

    def connection_string(self, name: str) -> str:
        device, _, module = name.partition("/")
        of_module = f"ModuleId={module};" if module else ""
        return (
            f"HostName={HUB};DeviceId={device};{of_module}SharedAccessKey={KEYS[name]};GatewayHostName={self.address}"
        )

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the hub has ended"
        return json.loads(line)


def free_address() -> str:
    """A loopback address where nobody listens at the port that clients insist on."""
    for number in range(240):
        # Tests that run beside these begin elsewhere.
        address = f"127.0.77.{2 + (os.getpid() + number) % 240}"
        with socket.socket() as probe:
            try:
                probe.bind((address, 8883))
            except OSError:
                continue
            return address
    raise AssertionError("no loopback address is free")


@pytest.fixture
def edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EdgeProcess]:
    made = EdgeProcess(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.authority))
    yield made
    made.kill()


@pytest.fixture
def connect(edge: EdgeProcess) -> Iterator[Callable[..., Any]]:
    """Connected clients by id, which are shut down at the end."""
    clients: list[Any] = []

    def make(name: str, **options: Any) -> Any:
        kind: Any = DEVICE.IoTHubModuleClient if "/" in name else DEVICE.IoTHubDeviceClient
        text = edge.connection_string(name)
        client = kind.create_from_connection_string(text, connection_retry_interval=1, **options)
        clients.append(client)
        client.connect()
        return client

    yield make
    for client in clients:
        try:
            client.shutdown()
        except DEVICE.exceptions.NoConnectionError:  # it was just connecting anew
            client.shutdown()
    clients.clear()
    gc.collect()


def eventually(holds: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + WAIT_S
    while not (found := holds()):
        assert time.monotonic() < end, what
        time.sleep(0.005)
    return found


def inputs_of(client: Any) -> Queue[Any]:
    """What arrives at a module from now on."""
    arrived: Queue[Any] = Queue()
    client.on_message_received = arrived.put
    return arrived


def test_messages_pass_from_module_to_module_and_to_the_cloud(edge: EdgeProcess, connect: Callable[..., Any]) -> None:
    wanting, sensor, leaf = connect(f"{NAME}/filter"), connect(f"{NAME}/sensor"), connect("leaf")
    arrived = inputs_of(wanting)
    eventually(lambda: feeds(edge, f"{NAME}/filter") == ["inputs"], "the module has not subscribed")
    message = DEVICE.Message(b'{"t": 1}', content_encoding="utf-8", content_type="application/json")
    message.message_id = "id 1/é"
    message.custom_properties["a b"] = "c/d"
    sensor.send_message_to_output(message, "out")
    found = arrived.get(timeout=WAIT_S)
    assert (found.input_name, found.data, found.message_id) == ("in", b'{"t": 1}', "id 1/é")
    assert (found.content_type, found.custom_properties) == (
        "application/json",
        {"a b": "c/d", "$.cdid": NAME, "$.cmid": "sensor"},
    )
    wanting.send_message_to_output("warm", "alerts")
    leaf.send_message("cold")
    sent = eventually(lambda: len(found := edge.ask("upstream")) == 2 and found, "two messages for the cloud")
    assert [(who, output) for who, output, _ in sent] == [(f"{NAME}/filter", "alerts"), ("leaf", None)]


def test_a_hub_that_is_killed_finds_its_clients_again_and_they_still_receive(
    edge: EdgeProcess, connect: Callable[..., Any]
) -> None:
    wanting, sensor = connect(f"{NAME}/filter"), connect(f"{NAME}/sensor")
    arrived = inputs_of(wanting)
    sensor.send_message_to_output("before", "out")
    assert arrived.get(timeout=WAIT_S).data == b"before"
    for round_ in range(2):
        edge.kill()
        edge.start(online=False)  # the routes are those of the last time
        eventually(lambda: wanting.connected and sensor.connected, "the clients have not come back")
        assert feeds(edge, f"{NAME}/filter") == ["inputs"]  # of its session: the client does not subscribe again
        sensor.send_message_to_output(f"after {round_}", "out")
        assert arrived.get(timeout=WAIT_S).data == f"after {round_}".encode()


def test_a_twin_is_read_reported_and_patched_with_and_without_the_cloud(
    edge: EdgeProcess, connect: Callable[..., Any]
) -> None:
    edge.ask("desire", f"{NAME}/filter", {"limit": 1})
    client = connect(f"{NAME}/filter")
    patches: Queue[Any] = Queue()
    client.on_twin_desired_properties_patch_received = patches.put
    assert client.get_twin()["desired"] == {"limit": 1, "$version": 2}
    edge.ask("desire", f"{NAME}/filter", {"limit": 2})
    assert patches.get(timeout=WAIT_S) == {"limit": 2, "$version": 3}
    client.patch_twin_reported_properties({"state": {"a": 1}})
    eventually(lambda: edge.ask("reported", f"{NAME}/filter") == {"state": {"a": 1}}, "the report is not in the cloud")
    edge.ask("cut")
    client.patch_twin_reported_properties({"state": {"a": None, "b": 2}})
    twin = client.get_twin()
    assert (twin["desired"]["limit"], twin["reported"]["state"]) == (2, {"b": 2})
    assert edge.ask("reported", f"{NAME}/filter") == {"state": {"a": 1}}
    edge.ask("restore")
    eventually(lambda: edge.ask("reported", f"{NAME}/filter") == {"state": {"b": 2}}, "the report did not follow")


def test_the_cloud_calls_methods_and_sends_messages(edge: EdgeProcess, connect: Callable[..., Any]) -> None:
    module, leaf = connect(f"{NAME}/filter"), connect("leaf")
    module.on_method_request_received = answering(module, {"fine": True})
    assert edge.ask("method", f"{NAME}/filter", "check", {"a": [1]}) == [200, {"fine": True}]
    commands = inputs_of(leaf)
    eventually(lambda: "commands" in feeds(edge, "leaf"), "the device has not subscribed")
    edge.ask("command", "leaf", "%24.to=%2Fdevices%2Fleaf%2Fmessages%2FdeviceBound&%24.mid=7&p=q%20r", "order")
    found = commands.get(timeout=WAIT_S)
    assert (found.data, found.message_id, found.custom_properties) == (b"order", "7", {"p": "q r"})


def test_a_module_calls_a_module(
    edge: EdgeProcess, connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not edge.https:
        pytest.skip("port 443, which the client insists on, may not be opened by this user")
    module = connect(f"{NAME}/filter")
    module.on_method_request_received = answering(module, [1, 2])
    # Only clients that find themselves on an edge device may call; these are the variables of Microsoft's simulator.
    monkeypatch.setenv("EdgeHubConnectionString", edge.connection_string(f"{NAME}/caller"))
    monkeypatch.setenv("EdgeModuleCACertificateFile", str(edge.authority))
    caller = DEVICE.IoTHubModuleClient.create_from_edge_environment()
    caller.connect()
    try:
        found = caller.invoke_method({"methodName": "ping", "payload": "x"}, NAME, "filter")
        assert found == {"status": 200, "payload": [1, 2]}
        with pytest.raises(DEVICE.exceptions.ClientError):
            caller.invoke_method({"methodName": "ping", "payload": "x"}, NAME, "nobody")
    finally:
        caller.shutdown()


def test_a_module_may_come_through_a_web_socket(edge: EdgeProcess, connect: Callable[..., Any]) -> None:
    if not edge.https:
        pytest.skip("port 443, which the client insists on, may not be opened by this user")
    wanting, sensor = connect(f"{NAME}/filter", websockets=True), connect(f"{NAME}/sensor", websockets=True)
    arrived = inputs_of(wanting)
    sensor.send_message_to_output("through", "out")
    assert arrived.get(timeout=WAIT_S).data == b"through"


def test_wrong_keys_are_refused(edge: EdgeProcess) -> None:
    text = edge.connection_string(f"{NAME}/filter").replace(KEYS[f"{NAME}/filter"], KEYS["leaf"])
    client = DEVICE.IoTHubModuleClient.create_from_connection_string(text)
    with pytest.raises(DEVICE.exceptions.CredentialError):
        client.connect()
    client.shutdown()


def feeds(edge: EdgeProcess, name: str) -> list[str]:
    """What a client has subscribed to, as the hub says."""
    return [feed for client in edge.ask("status")["clients"] if client["id"] == name for feed in client["feeds"]]


def answering(client: Any, payload: Any) -> Callable[[Any], None]:
    """What answers every method with 200."""

    def answer(request: Any) -> None:
        client.send_method_response(DEVICE.MethodResponse.create_from_method_request(request, 200, payload))

    return answer
