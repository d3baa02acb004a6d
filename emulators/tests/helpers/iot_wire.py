"""A hub in emulators of their own, and Microsoft's clients of it, for tests at the wire."""

from __future__ import annotations

import time
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from azure.mgmt.iothub import IotHubClient

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tests.wire.conftest import Launched

DEVICE: Any = import_module("azure.iot.device")  # these have no types
HUB: Any = import_module("azure.iot.hub")
MODELS: Any = import_module("azure.iot.hub.models")
SDK_LEFTOVERS = [
    # paho 1.6, under azure-iot-device, and uamqp leave sockets open: they are collected with the test that they are of.
    pytest.mark.usefixtures("collected"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <s:pytest.PytestUnraisableExceptionWarning"),
]
"""Of tests with Microsoft's clients in the test's own process."""
GROUP = "iot"
WAIT_S = 30.0


class Hub:
    """A hub in emulators of their own, and the clients of it."""

    def __init__(self, launched: Launched, name: str = "wireHub") -> None:
        launched.arm("PUT", f"/resourcegroups/{GROUP}", {"location": "westus2"}, version="2022-09-01")
        self.launched = launched
        self.name = name
        self.arm: Any = launched.client(IotHubClient)
        body = {"location": "westus2", "sku": {"name": "S1", "capacity": 1}}
        self.resource: Any = self.arm.iot_hub_resource.begin_create_or_update(GROUP, name, body).result()
        self.host = str(self.resource.properties.host_name)
        self.address = self.host.partition(":")[0]
        keys = {key.key_name: key for key in self.arm.iot_hub_resource.list_keys(GROUP, name)}
        self.connection_string = self.for_policy(keys["iothubowner"])
        self.keys = keys

    @property
    def has_web_sockets(self) -> bool:
        """Port 443 is the hub's."""
        path = f"/resourceGroups/{GROUP}/providers/Microsoft.Devices/IotHubs/{self.name}"
        found: Any = self.launched.arm("GET", path, version="2023-06-30")
        return bool(found["properties"]["windtunnel"]["webSockets"])

    def for_policy(self, policy: Any) -> str:
        return f"HostName={self.host};SharedAccessKeyName={policy.key_name};SharedAccessKey={policy.primary_key}"

    @property
    def registry(self) -> Any:
        return HUB.IoTHubRegistryManager.from_connection_string(self.connection_string)

    def new_device(self, name: str, *, edge: bool = False) -> str:
        """The connection string of a new device."""
        made = self.registry.create_device_with_sas(name, "", "", "enabled", iot_edge=edge)
        return self.device_string(name, made.authentication.symmetric_key.primary_key)

    def device_string(self, name: str, key: str) -> str:
        """By the hub's Azure name, through its address."""
        host = f"{self.name}.azure-devices.net"
        return f"HostName={host};DeviceId={name};SharedAccessKey={key};GatewayHostName={self.address}"


@contextmanager
def trusting(launched: Launched) -> Generator[None]:
    """Microsoft's clients find the local authority where their environment says."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            patch.setenv(name, launched.environment[name])
        yield


def eventually(holds: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + WAIT_S
    while not (found := holds()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return found
