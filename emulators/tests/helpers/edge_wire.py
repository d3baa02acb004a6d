"""An edge device in emulators of their own: its modules' image, its deployment, its process; for tests at the wire."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import tarfile
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

import httpx
from azure.mgmt.containerregistry import ContainerRegistryManagementClient

from iot_wire import DEVICE, GROUP, HUB, MODELS, WAIT_S, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from iot_wire import Hub

EVENTS: Any = import_module("azure.eventhub")
TASKS: Any = import_module("azure.mgmt.containerregistrytasks")
TASK_MODELS: Any = import_module("azure.mgmt.containerregistrytasks.models")
_DEVICE = b"iothub-connection-device-id"
_MODULE = b"iothub-connection-module-id"
SENSOR = "mcr.microsoft.com/azureiotedge-simulated-temperature-sensor:1.5"
REPLY = """\
import json, os, threading
from azure.iot.device import IoTHubModuleClient, Message, MethodResponse

client = IoTHubModuleClient.create_from_edge_environment(connection_retry_interval=1)
print("module", os.environ["IOTEDGE_MODULEID"], flush=True)


def take(message):
    answer = Message(json.dumps({"answer": message.data.decode()}))
    answer.custom_properties["AzureMLResponse"] = "OK"
    answer.content_type, answer.content_encoding = "application/json", "utf-8"
    client.send_message_to_output(answer, "amlOutput")


def call(request):
    if request.name == "score":
        client.send_method_response(MethodResponse(request.request_id, 200, {"scored": request.payload}))
    else:
        client.send_method_response(MethodResponse(request.request_id, 404, {"message": "no such method"}))


def desire(patch):
    client.patch_twin_reported_properties({"seen": patch.get("wanted")})


client.on_message_received = take
client.on_method_request_received = call
client.on_twin_desired_properties_patch_received = desire
client.connect()
client.get_twin()
print("connected", flush=True)
threading.Event().wait()
"""
DOCKERFILE = """\
FROM python:3.11-slim
RUN pip install azure-iot-device==2.14.0
COPY reply.py /app/
CMD ["python", "/app/reply.py"]
"""


class Images:
    """A registry with the image of a module that answers; it is built there, by a task."""

    def __init__(self, hub: Hub, name: str = "edgeimages") -> None:
        launched = hub.launched
        self.client: Any = launched.client(ContainerRegistryManagementClient)
        registries = f"/resourceGroups/{GROUP}/providers/Microsoft.ContainerRegistry/registries"
        self.tasks: Any = launched.client(TASKS.ContainerRegistryTasksMgmtClient)
        body = {"location": "westus2", "sku": {"name": "Basic"}, "properties": {"adminUserEnabled": True}}
        self.client.registries.begin_create(GROUP, name, body).result()
        credentials: Any = self.client.registries.list_credentials(GROUP, name)
        made = launched.arm("GET", f"{registries}/{name}", version="2023-07-01")
        self.server = str(made["properties"]["loginServer"])
        self.username, self.password = credentials.username, credentials.passwords[0].value
        self._build(hub, name)
        self.image = f"{self.server}/reply:v1"

    def _build(self, hub: Hub, name: str) -> None:
        source = self.tasks.registries.get_build_source_upload_url(GROUP, name)
        with hub.launched.http() as client:
            headers = {"x-ms-blob-type": "BlockBlob"}
            context = packed({"Dockerfile": DOCKERFILE, "reply.py": REPLY})
            assert client.put(source.upload_url, content=context, headers=headers).status_code == 201
        request = TASK_MODELS.DockerBuildRequest(
            image_names=["reply:v1"],
            is_push_enabled=True,
            source_location=source.relative_path,
            docker_file_path="Dockerfile",
            platform=TASK_MODELS.PlatformProperties(os="Linux", architecture="amd64"),
        )
        run = self.tasks.registries.schedule_run(GROUP, name, request).name
        end = time.monotonic() + 60
        while (status := self.tasks.runs.get(GROUP, name, run).properties.status) in ("Queued", "Started", "Running"):
            assert time.monotonic() < end, "the image is not built"
            time.sleep(0.05)
        assert status == "Succeeded", status


def packed(files: dict[str, str]) -> bytes:
    """A build context."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return content.getvalue()


def module(image: str, **fields: Any) -> dict[str, Any]:
    """One module of a deployment."""
    return {
        "type": "docker",
        "version": "1.0",
        "status": "running",
        "restartPolicy": "always",
        "settings": {"image": image, "createOptions": "{}"},
        **fields,
    }


class EdgeDevice:
    """A device with ``capabilities.iotEdge``, and the process that the emulators have started for it."""

    def __init__(self, hub: Hub, name: str) -> None:
        self.hub = hub
        self.name = name
        hub.new_device(name, edge=True)
        (self.folder,) = eventually(
            lambda: [file.parent for file in self._state.glob("edge/*/*/ready.json") if self._is_mine(file.parent)],
            f"the process of {name} does not start",
        )
        self.address = str(self.ready["address"])

    @property
    def _state(self) -> Path:
        from pathlib import Path

        return Path(self.hub.launched.environment["WINDTUNNEL_STATE_DIR"])

    def _is_mine(self, folder: Path) -> bool:
        return bool(json.loads((folder / "device.json").read_bytes())["deviceId"] == self.name)

    # Its deployment.

    def apply(
        self, modules: dict[str, Any], routes: dict[str, Any], *, images: Images | None = None, **more: Any
    ) -> None:
        """As ``az iot edge set-modules`` does."""
        registry: dict[str, Any] = {}
        if images is not None:
            registry = {"images": {"address": images.server, "username": images.username, "password": images.password}}
        agent = {
            "schemaVersion": "1.1",
            "runtime": {"type": "docker", "settings": {"registryCredentials": registry}},
            "systemModules": {
                "edgeAgent": {"type": "docker", "settings": {"image": "mcr.microsoft.com/azureiotedge-agent:1.5"}},
                "edgeHub": {
                    "type": "docker",
                    "status": "running",
                    "restartPolicy": "always",
                    "settings": {"image": "mcr.microsoft.com/azureiotedge-hub:1.5"},
                },
            },
            "modules": modules,
        }
        hub = {
            "schemaVersion": "1.1",
            "routes": routes,
            "storeAndForwardConfiguration": {"timeToLiveSecs": 7200},
        }
        content = {
            "$edgeAgent": {"properties.desired": agent},
            "$edgeHub": {"properties.desired": hub},
            **{name: {"properties.desired": desired} for name, desired in more.items()},
        }
        manager = HUB.IoTHubConfigurationManager.from_connection_string(self.hub.connection_string)
        manager.apply_configuration_on_edge_device(self.name, MODELS.ConfigurationContent(modules_content=content))

    def reported(self, module: str = "$edgeAgent") -> Any:
        twin = self.hub.registry.get_module_twin(self.name, module)
        return twin.properties.reported

    def settled(self, code: int = 200) -> Any:
        """What the agent reports, once it has done what is desired now."""

        def done() -> Any:
            twin = self.hub.registry.get_module_twin(self.name, "$edgeAgent")
            reported = twin.properties.reported
            status = reported.get("lastDesiredStatus", {}).get("code")
            same = reported.get("lastDesiredVersion") == twin.properties.desired["$version"]
            return reported if same and status == code else None

        return eventually(done, f"the deployment is not done: {self.reported()}")

    def running(self, *names: str) -> Any:
        """What the agent reports once these modules run."""

        def run() -> Any:
            modules = self.reported().get("modules", {})
            return modules if all(modules.get(name, {}).get("runtimeStatus") == "running" for name in names) else None

        return eventually(run, f"{names} do not run: {self.reported()}")

    def connected(self, *names: str) -> None:
        """Returns once the edge's hub has these modules."""
        wanted = {f"{self.name}/{name}" for name in names}
        eventually(lambda: wanted <= {one["id"] for one in self.status()["clients"]}, f"{names} do not connect")

    def call(self, name: str, payload: Any = None, *, module: str = "$edgeAgent") -> Any:
        """A direct method, through the cloud."""
        method = MODELS.CloudToDeviceMethod(method_name=name, payload=payload, response_timeout_in_seconds=15)
        return self.hub.registry.invoke_device_module_method(self.name, module, method)

    # Its process.

    def kill(self) -> None:
        """As the system would when memory runs out; returns once the emulators have started it again."""
        pid = self.ready["pid"]
        os.kill(pid, signal.SIGKILL)

        def again() -> bool:
            with contextlib.suppress(FileNotFoundError):
                return bool(self.ready["pid"] != pid)
            return False

        eventually(again, f"the process of {self.name} is not started again")

    @property
    def ready(self) -> Any:
        return json.loads((self.folder / "ready.json").read_bytes())

    def control(self, method: str, path: str, body: Any = None) -> Any:
        ready = self.ready
        headers = {"Authorization": f"Bearer {ready['token']}"}
        with httpx.Client(trust_env=False, headers=headers) as client:
            answer = client.request(method, f"{ready['control']}{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def status(self) -> Any:
        return self.control("GET", "/status")


class Reader:
    """Reads what a device has sent, in order, at the hub's endpoint for Event Hubs."""

    def __init__(self, hub: Hub, device: str) -> None:
        self._hub = hub
        self._device = device

    def events(self, holds: Callable[[list[Any]], bool]) -> list[Any]:
        """What its modules have sent, from the beginning on, once ``holds`` is true of the list."""
        found: list[Any] = []
        client = self._consumer()
        end = time.monotonic() + WAIT_S

        def take(_: Any, events: list[Any]) -> None:
            mine = self._device.encode()
            found.extend(event for event in events if event.system_properties[_DEVICE] == mine)
            if holds(found) or time.monotonic() > end:
                client.close()

        with client:
            # Event by event, the client would look at one partition after the other, and wait at each.
            client.receive_batch(on_event_batch=take, starting_position="-1", max_wait_time=0.1)
        assert holds(found), [event.body_as_str() for event in found]
        return found

    def _consumer(self) -> Any:
        events = self._hub.arm.iot_hub_resource.get(GROUP, self._hub.name).properties.event_hub_endpoints["events"]
        policy = self._hub.keys["service"]
        string = (
            f"Endpoint={events.endpoint};SharedAccessKeyName={policy.key_name};"
            f"SharedAccessKey={policy.primary_key};EntityPath={events.path}"
        )
        ca = self._hub.launched.environment["SSL_CERT_FILE"]
        return EVENTS.EventHubConsumerClient.from_connection_string(string, "$Default", connection_verify=ca)


class Probe:
    """A module of a device that is a part of the test: it sends numbers, on Microsoft's client."""

    def __init__(self, device: EdgeDevice, name: str = "probe") -> None:
        made = device.hub.registry.create_module_with_sas(device.name, name, "", "", "")
        key = made.authentication.symmetric_key.primary_key
        self.client: Any = DEVICE.IoTHubModuleClient.create_from_connection_string(
            f"HostName={device.hub.name}.azure-devices.net;DeviceId={device.name};ModuleId={name};"
            f"SharedAccessKey={key};GatewayHostName={device.address}",
            connection_retry_interval=1,
        )
        self.sent = 0

    def send(self, count: int) -> None:
        """The next numbers, each after the edge has acknowledged the one before."""
        for _ in range(count):
            self.client.send_message_to_output(DEVICE.Message(str(self.sent)), "numbers")
            self.sent += 1

    def __enter__(self) -> Probe:
        self.client.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.shutdown()


def processes_of(device: EdgeDevice, module: str) -> set[int]:
    """The processes of a module, by what is in their environment; no two devices have an address at one time."""
    wanted = {
        f"IOTEDGE_DEVICEID={device.name}".encode(),
        f"IOTEDGE_GATEWAYHOSTNAME={device.address}".encode(),
        f"IOTEDGE_MODULEID={module}".encode(),
    }
    found: set[int] = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if wanted <= set(file.read().split(b"\0")):
                    found.add(int(name))
    return found


def numbers(events: list[Any], module: str) -> list[int]:
    """What a module has sent, each number once, in the order in which the hub had them.

    Of answers the order says nothing: Microsoft's client gives messages to a pool of threads.
    """
    bodies = [event.body_as_str() for event in events if event.system_properties[_MODULE] == module.encode()]
    found = [int(json.loads(body)["answer"]) if body.startswith("{") else int(body) for body in bodies]
    return list(dict.fromkeys(found))
