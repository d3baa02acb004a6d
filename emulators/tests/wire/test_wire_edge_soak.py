"""A stream through an edge device of which parts, and the cloud, are killed at random: nothing acknowledged is lost.

``WINDTUNNEL_TEST_SOAK_KILLS`` says how many kills there are, ``WINDTUNNEL_TEST_SOAK_SEED`` which ones.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from edge_wire import EdgeDevice, Images, Probe, Reader, module, numbers, processes_of
from iot_wire import DEVICE, SDK_LEFTOVERS, Hub, eventually, trusting

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wire.conftest import Launch

pytestmark = [
    # In `tox -e iot`, where nothing runs beside it: other emulators would take the addresses of those that are killed.
    pytest.mark.iot_clients,
    *SDK_LEFTOVERS,
]
KILLS = int(os.environ.get("WINDTUNNEL_TEST_SOAK_KILLS", "6"))
SEED = int(os.environ.get("WINDTUNNEL_TEST_SOAK_SEED", "5"))
VICTIMS = ("device", "cloud", "module")
ROUTES = {
    "raw": "FROM /messages/modules/probe/outputs/numbers INTO $upstream",
    "in": 'FROM /messages/modules/probe/outputs/numbers INTO BrokeredEndpoint("/modules/model/inputs/amlInput")',
    "back": 'FROM /messages/modules/model/outputs/amlOutput INTO BrokeredEndpoint("/modules/probe/inputs/answers")',
}


class Stream:
    """Numbers without end from a module, each until the device has acknowledged it; and the answers that come back."""

    def __init__(self, probe: Probe) -> None:
        self._client = probe.client
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged = 0
        self.answers: set[str] = set()

    def _run(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(DEVICE.exceptions.ClientError):  # the next attempt has the same number
                self._client.send_message_to_output(DEVICE.Message(str(self.acknowledged)), "numbers")
                self.acknowledged += 1

    def _take(self, message: Any) -> None:
        self.answers.add(message.data.decode())

    def pass_by(self, count: int) -> None:
        """Returns once so many more are acknowledged."""
        wanted = self.acknowledged + count
        eventually(lambda: self.acknowledged >= wanted, f"the stream stands still at {self.acknowledged}")

    def answered(self, number: int) -> bool:
        return f'{{"answer": "{number}"}}' in self.answers

    def __enter__(self) -> Stream:
        self._client.on_message_received = self._take
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()


def test_nothing_acknowledged_is_lost_whoever_is_killed(launch: Launch, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    # Each of them at least once.
    victims = chance.sample(VICTIMS, k=len(VICTIMS)) + chance.choices(VICTIMS, k=max(0, KILLS - len(VICTIMS)))
    with contextlib.ExitStack() as clouds:
        launched = clouds.enter_context(launch(tmp_path))
        clouds.enter_context(trusting(launched))
        hub = Hub(launched, "soak")
        images = Images(hub)
        device = EdgeDevice(hub, "line9")
        device.apply({"model": module(images.image)}, ROUTES, images=images)
        device.running("model")
        device.connected("model")
        with Probe(device) as probe:
            with Stream(probe) as stream:
                for victim in victims:
                    stream.pass_by(chance.randrange(1, 60))
                    if victim == "device":
                        device.kill()
                    elif victim == "module":
                        for pid in processes_of(device, "model"):
                            with contextlib.suppress(ProcessLookupError):
                                os.kill(pid, signal.SIGKILL)
                    else:
                        launched.process.kill()
                        launched.process.wait()
                        stream.pass_by(chance.randrange(60))
                        launched = clouds.enter_context(launch(tmp_path))
                stream.pass_by(10)
                # A message that a killed module had taken is gone with it; what is sent from now on is answered.
                device.connected("model", "probe")
                first = stream.acknowledged + 1  # at most one was under way
                stream.pass_by(20)
                eventually(
                    lambda: all(map(stream.answered, range(first, first + 15))),
                    f"nothing comes back after {victims} of seed {SEED}",
                )
            count = stream.acknowledged
            # The last one may have arrived without its acknowledgement.
            arrived = Reader(Hub(launched, "soak"), "line9").events(
                lambda found: set(range(count)) <= set(numbers(found, "probe"))
            )
        order = numbers(arrived, "probe")
        print(
            f"\nseed {SEED}, killed {victims}: acknowledged {count}, delivered {len(arrived)},"
            f" again {len(arrived) - len(order)}, lost {len(set(range(count)) - set(order))},"
            f" out of order {sum(a > b for a, b in pairwise(order))}"
        )
        assert order == sorted(order)
