"""``EdgeWork``: the steps of which putting a service on a device, and taking it off, are made.

A device's deployment is set as a whole, and the hub's API has no condition for that. So whoever changes it here holds
a lease meanwhile, in the tags of the device's twin, which are changed under their etag.
"""

from __future__ import annotations

import json
import time
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from windtunnel.adapters.building import Building
from windtunnel.adapters.clients import is_installed
from windtunnel.adapters.iotedge_deployment import EdgeDeployment
from windtunnel.adapters.iotedge_view import is_online
from windtunnel.adapters.iothub import AGENT, EDGE_HUB
from windtunnel.adapters.times import read_time
from windtunnel.errors import Conflict, DeploymentFailed, InvalidSpec, MissingExtra, ServiceError
from windtunnel.interface import Progress
from windtunnel.jsontypes import as_list, as_object, as_str
from windtunnel.spec import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from windtunnel.adapters.iothub import Hub
    from windtunnel.jsontypes import Json, JsonObject
    from windtunnel.operation import Stop
    from windtunnel.spec import Spec

DEVICE_PACKAGE = "azure-iot-device"
ONLINE_LIMIT_S = 60.0
"""How long a device may take to connect."""
REMOVED_LIMIT_S = 60.0
"""How long a deletion waits for the device's agent."""
LEASE_S = 60.0
_POLL_S = 0.1
_TRIES = 5
_LINES = (2000, 500, 100, 20)
"""What is asked of a log when more than that does not fit into a direct method's answer."""


class EdgeWork(Building):
    """Raises the errors of ``windtunnel.errors``."""

    target: ClassVar[Target] = Target.IOT_EDGE

    def also_needed(self, spec: Spec) -> tuple[str, ...]:
        """The SDK with which a module speaks."""
        del spec
        if not is_installed("azure.iot.device"):
            raise MissingExtra("an image for IoT Edge", "iot", DEVICE_PACKAGE)
        return (DEVICE_PACKAGE,)

    def device(self, hub: Hub, device: str) -> None:
        """There, as an IoT Edge device."""
        if not hub.has_device(device):
            self._progress(Progress(step=f"creating IoT Edge device {device} of hub {hub.name}"))
            hub.create_device(device)

    def online(self, hub: Hub, device: str, stop: Stop) -> None:
        """Connected. Raises ``DeploymentFailed`` for a device that does not connect."""
        ends = time.monotonic() + ONLINE_LIMIT_S
        said = False
        while not is_online(hub.module_twin(device, AGENT)):
            if time.monotonic() > ends:
                raise DeploymentFailed(
                    f"IoT Edge device {device!r} of IoT hub {hub.name!r} is offline: its agent has not been connected"
                    f" for {ONLINE_LIMIT_S:g} s, and nothing was deployed",
                    way_out="Provision the device with its connection string (az iot hub device-identity"
                    f" connection-string show -n {hub.name} -d {device}) and start IoT Edge on it (iotedge system"
                    " restart); of a local one, windtunnel edge restore.",
                )
            if not said:
                said = True
                self._progress(Progress(step=f"waiting for IoT Edge device {device} to connect"))
            stop.sleep(_POLL_S, "no service was made")

    def change(
        self, hub: Hub, device: str, change: Callable[[EdgeDeployment], EdgeDeployment], stop: Stop | None = None
    ) -> bool:
        """Change a device's deployment; False when the change changes nothing. Raises ``Conflict``."""
        with self._lease(hub, device, stop):
            for _ in range(_TRIES):
                agent = hub.module_twin(device, AGENT)
                _refuse_automatic(agent, device)
                before = EdgeDeployment.read(agent, hub.module_twin(device, EDGE_HUB))
                after = change(before)
                if after is before:
                    return False
                hub.apply(device, after.content())
                # Others may have set the modules in the same moment, without asking for the lease.
                found = EdgeDeployment.read(hub.module_twin(device, AGENT), hub.module_twin(device, EDGE_HUB))
                if found.modules == after.modules and found.routes == after.routes:
                    return True
        raise Conflict(
            f"the modules of device {device!r} are set by somebody else at the same time",
            way_out="Wait for it to end, then try again.",
        )

    def removed(self, hub: Hub, device: str, names: frozenset[str]) -> None:
        """Returns once the device's agent reports none of these modules any more, or after a while.

        A device that is offline removes them when it is back; a module that is desired again is somebody's new one.
        """
        ends = time.monotonic() + REMOVED_LIMIT_S
        while time.monotonic() < ends:
            agent = hub.module_twin(device, AGENT)
            reported = as_object(as_object(as_object(agent.get("properties")).get("reported")).get("modules"))
            desired = EdgeDeployment.read(agent, {}).modules
            if not is_online(agent) or not (names & reported.keys()) - desired.keys():
                if names & reported.keys() - desired.keys():
                    self._progress(Progress(step=f"device {device} is offline, and removes the module when it is back"))
                return
            time.sleep(_POLL_S)
        self._progress(Progress(step=f"device {device} has not removed the module within {REMOVED_LIMIT_S:g} s"))

    def logs(self, hub: Hub, device: str, name: str, tail: int) -> str:
        """The end of a module's output; less than was asked for where an answer could not hold it."""
        answer: tuple[int, Json] = (0, None)
        for lines in sorted({min(tail, most) for most in _LINES}, reverse=True):
            request: JsonObject = {
                "schemaVersion": "1.0",
                "items": [{"id": f"^{name}$", "filter": {"tail": lines}}],
                "encoding": "none",
                "contentType": "text",
            }
            answer = hub.call(device, AGENT, "GetModuleLogs", request)
            if answer[0] == 200:
                texts = [as_str(as_object(item).get("payload")) for item in as_list(answer[1])]
                return "".join(text if text.endswith("\n") or not text else f"{text}\n" for text in texts)
        status, payload = answer
        said = as_str(as_object(payload).get("message")) or json.dumps(payload)
        raise ServiceError(
            f"the log of module {name!r} of device {device!r}: the agent answered {status}: {said}", status=status
        )

    @contextmanager
    def _lease(self, hub: Hub, device: str, stop: Stop | None) -> Generator[None]:
        holder = str(uuid.uuid4())
        ends = time.monotonic() + 2 * LEASE_S
        while not self._take(hub, device, holder):
            if time.monotonic() > ends:
                raise Conflict(
                    f"the modules of device {device!r} are being changed by somebody else",
                    way_out="Wait for it to end, then try again.",
                )
            if stop is not None:
                stop.sleep(_POLL_S, "no service was made")
            else:
                time.sleep(_POLL_S)
        try:
            yield
        finally:
            hub.tag(device, {"windtunnel": {"lease": None}}, "*")

    @staticmethod
    def _take(hub: Hub, device: str, holder: str) -> bool:
        twin = hub.device_twin(device)
        lease = as_object(as_object(as_object(twin.get("tags")).get("windtunnel")).get("lease"))
        now = datetime.now(UTC)
        until = read_time(as_str(lease.get("until")))
        if until is not None and until > now:
            return False
        wanted: JsonObject = {"holder": holder, "until": (now + timedelta(seconds=LEASE_S)).isoformat()}
        return hub.tag(device, {"windtunnel": {"lease": wanted}}, as_str(twin.get("etag")) or "*")


def _refuse_automatic(agent: JsonObject, device: str) -> None:
    """An automatic deployment would set the modules again, as it likes them."""
    applied = [
        name
        for name, value in as_object(agent.get("configurations")).items()
        if as_str(as_object(value).get("status")) == "Applied"
    ]
    if applied:
        raise InvalidSpec(
            f"the modules of device {device!r} are those of the automatic deployment {', '.join(sorted(applied))},"
            " which would overwrite any others",
            way_out="Take the device out of its target condition, or choose another device.",
        )
