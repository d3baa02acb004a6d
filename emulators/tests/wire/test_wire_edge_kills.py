"""What is left of an edge device's work when parts of it, or of the cloud, are killed: nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from edge_wire import EdgeDevice, Images, Probe, Reader, module, numbers, processes_of
from iot_wire import SDK_LEFTOVERS, Hub, eventually, trusting

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wire.conftest import Launch

pytestmark = SDK_LEFTOVERS
ROUTES = {
    "raw": "FROM /messages/modules/probe/outputs/numbers INTO $upstream",
    "in": 'FROM /messages/modules/probe/outputs/numbers INTO BrokeredEndpoint("/modules/model/inputs/amlInput")',
    "out": "FROM /messages/modules/model/outputs/amlOutput INTO $upstream",
}


def test_a_device_survives_its_cloud_and_is_adopted_by_the_next_one(launch: Launch, tmp_path: Path) -> None:
    with launch(tmp_path) as first, trusting(first):
        hub = Hub(first, "killed1")
        images = Images(hub)
        device = EdgeDevice(hub, "line1")
        device.apply({"model": module(images.image)}, ROUTES, images=images)
        device.running("model")
        with Probe(device) as probe:
            probe.send(5)
            device.connected("model")
            pid, modules = device.ready["pid"], processes_of(device, "model")
            assert modules
            os.kill(first.process.pid, signal.SIGKILL)
            first.process.wait()
            probe.send(20)
            eventually(lambda: device.status()["queues"]["$upstream"] >= 40, "the answers are not kept")
            with launch(tmp_path) as second, trusting(second):
                assert device.ready["pid"] == pid
                assert processes_of(device, "model") == modules, "its modules have not even noticed"
                again = Hub(second, "killed1")
                wanted = list(range(probe.sent))
                Reader(again, "line1").events(
                    lambda found: numbers(found, "probe") == sorted(numbers(found, "model")) == wanted
                )
                listed = edge_devices(again)
                assert [(one["device"], one["pid"], one["state"]) for one in listed] == [("line1", pid, "running")]
            eventually(lambda: not alive(pid), "an orderly stop leaves the device running")
            assert not processes_of(device, "model")


def test_a_module_that_is_killed_is_started_again_and_loses_nothing(launch: Launch, tmp_path: Path) -> None:
    with launch(tmp_path) as launched, trusting(launched):
        hub = Hub(launched, "killed2")
        images = Images(hub)
        device = EdgeDevice(hub, "line2")
        device.apply({"model": module(images.image)}, ROUTES, images=images)
        device.running("model")
        device.connected("model")
        with Probe(device) as probe:
            for _ in range(2):
                probe.send(15)
                for pid in processes_of(device, "model"):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                probe.send(15)
            wanted = list(range(probe.sent))
            Reader(hub, "line2").events(lambda found: sorted(numbers(found, "model")) == wanted)
            shown = device.running("model")["model"]
            assert shown["restartCount"] >= 1
            assert shown["exitCode"] == 0
            hub.registry.delete_device("line2")
            eventually(lambda: not device.folder.exists(), "a device that is deleted is still there")
            assert not processes_of(device, "model")


def edge_devices(hub: Hub) -> list[dict[str, object]]:
    """As the emulators' own control API lists them."""
    launched = hub.launched
    token = launched.credential.get_token(f"{launched.base}/.default").token
    with launched.http(headers={"Authorization": f"Bearer {token}"}) as client:
        answer = client.get(f"{launched.base}/_windtunnel/edge")
    assert answer.is_success, answer.text
    found: list[dict[str, object]] = answer.json()["value"]
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
