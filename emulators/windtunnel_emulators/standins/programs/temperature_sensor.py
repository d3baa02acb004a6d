"""Simulates a machine whose temperature and pressure rise: an IoT Edge module that sends readings on an output.

Output ``temperatureOutput``. Environment: ``MessageCount`` (500; -1 for no end), ``MessageDelay`` (``00:00:05``),
``machineTempMin/Max``, ``machinePressureMin/Max``, ``ambientTemp``, ``ambientHumidity``. Desired properties
``SendData`` and ``SendInterval`` (seconds). The direct method ``reset``, and a message ``{"command": "reset"}`` on the
input ``control``, start the machine anew. Names, defaults and readings are those of Microsoft's module.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import re
import signal
import sys
import threading
import time
import uuid
from datetime import datetime, timezone
from typing import Any, cast

OUTPUT = "temperatureOutput"
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 10.0


def number(name: str, default: float) -> float:
    """From the environment, where names have no case."""
    text = next((value for key, value in os.environ.items() if key.lower() == name.lower()), "").strip()
    try:
        return float(text) if text else default
    except ValueError:
        sys.exit(f"{name} must be a number, not {text!r}")


def seconds(name: str, default: float) -> float:
    """From the environment, as hours, minutes and seconds: ``00:00:05``, ``00:00:00.25``."""
    text = next((value for key, value in os.environ.items() if key.lower() == name.lower()), "").strip()
    if not text:
        return default
    found = re.fullmatch(r"(\d+):(\d\d?):(\d\d?(?:\.\d+)?)", text)
    if found is None:
        sys.exit(f"{name} must be hours, minutes and seconds as in 00:00:05, not {text!r}")
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])


class Machine:
    """What is measured."""

    def __init__(self) -> None:
        self._temperatures = number("machineTempMin", 21), number("machineTempMax", 100)
        self._pressures = number("machinePressureMin", 1), number("machinePressureMax", 10)
        self._ambient = number("ambientTemp", 21)
        self._humidity = int(number("ambientHumidity", 25))
        if self._temperatures[0] >= self._temperatures[1]:
            sys.exit("machineTempMin must be below machineTempMax")
        self.restart()

    def restart(self) -> None:
        """Cold again."""
        self._temperature = self._temperatures[0]

    def reading(self) -> dict[str, Any]:
        """The next one: half a degree warmer on average, until it is as hot as it gets."""
        coolest, hottest = self._temperatures
        rise = random.random() - 0.5 if self._temperature > hottest else random.random() * 1.5 - 0.25  # noqa: S311
        self._temperature += rise
        lowest, highest = self._pressures
        pressure = lowest + (self._temperature - coolest) * (highest - lowest) / (hottest - coolest)
        now = datetime.now(timezone.utc)  # noqa: UP017  # of any Python 3
        return {
            "machine": {"temperature": self._temperature, "pressure": pressure},
            "ambient": {
                "temperature": self._ambient + random.random() - 0.5,  # noqa: S311
                "humidity": self._humidity + random.randrange(-1, 2),  # noqa: S311
            },
            "timeCreated": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }


class Sensor:
    """The module."""

    def __init__(self, client: Any, machine: Machine) -> None:
        self._client = client
        self._machine = machine
        self._count = int(number("MessageCount", 500))
        self._delay = seconds("MessageDelay", 5.0)
        self._sends = True
        self._batch = str(uuid.uuid4())
        self._changed = threading.Event()
        self._ending = threading.Event()
        many = "unlimited" if self._count < 0 else str(self._count)
        say(
            f"Initializing the simulated temperature sensor to send {many} messages, at an interval of"
            f" {self._delay:g} seconds.\nTo change this, set the environment variable MessageCount to the number of"
            " messages that should be sent (set it to -1 to send unlimited messages)."
        )

    def end(self, *_: object) -> None:
        self._ending.set()
        self._changed.set()

    def run(self) -> None:
        """Until ``end``, or until all is sent; then it stays, as Microsoft's does."""
        if not self._tried(self._client.connect, "reach the edge's hub"):
            return
        self._client.on_method_request_received = self._method
        self._client.on_message_received = self._message
        twin = self._tried(self._client.get_twin, "read the twin")
        if twin is None:
            return
        self._apply(twin.get("desired", {}))
        self._client.on_twin_desired_properties_patch_received = self._patched
        sent = 0
        while not self._ending.is_set() and (self._count < 0 or sent < self._count):
            if self._sends:
                sent += 1
                self._send(sent)
            self._changed.wait(self._delay)
            self._changed.clear()
        if not self._ending.is_set():
            say(f"Done sending {sent} messages")
            self._ending.wait()
        self._client.shutdown()

    def _send(self, sequence: int) -> None:
        body = json.dumps(self._machine.reading(), separators=(",", ":"))
        message = sdk().Message(body, content_encoding="utf-8", content_type="application/json")
        message.custom_properties.update({"sequenceNumber": str(sequence), "batchId": self._batch})
        say(f"\t{datetime.now():%m/%d/%Y %H:%M:%S}> Sending message: {sequence}, Body: [{body}]")
        self._tried(lambda: self._client.send_message_to_output(message, OUTPUT), "send")

    def _tried(self, work: Any, doing: str) -> Any:
        """What the work gives, or True, however often it takes; None at the end."""
        delay = FIRST_RETRY_S
        while not self._ending.is_set():
            try:
                return work() or True
            except Exception as problem:
                cause = problem.__cause__ or problem
                say(f"cannot {doing}, and will try again in {delay:g} s: {type(problem).__name__}: {cause}")
            self._ending.wait(delay)
            delay = min(2 * delay, LAST_RETRY_S)
        return None

    def _method(self, request: Any) -> None:
        known = request.name == "reset"
        if known:
            say("Received direct method call to reset temperature sensor...")
            self._machine.restart()
        response = sdk().MethodResponse.create_from_method_request(request, 200 if known else 501, None)
        self._client.send_method_response(response)

    def _message(self, message: Any) -> None:
        if message.input_name != "control":
            return
        text = bytes(message.data).decode("utf-8", "replace")
        say(f"Received message Body: [{text}]")
        try:
            found: Any = json.loads(text)
        except ValueError:
            say("the message is not JSON, and has no effect")
            return
        commands: list[Any] = found if isinstance(found, list) else [found]  # pyright: ignore[reportUnknownVariableType]  # any JSON
        if any(is_reset(command) for command in commands):
            self._machine.restart()

    def _patched(self, patch: dict[str, Any]) -> None:
        self._apply(patch)
        self._client.patch_twin_reported_properties({"SendData": self._sends, "SendInterval": self._delay})

    def _apply(self, desired: dict[str, Any]) -> None:
        interval, sends = desired.get("SendInterval"), desired.get("SendData")
        if isinstance(interval, (int, float)) and not isinstance(interval, bool) and interval > 0:
            self._delay = float(interval)
        if isinstance(sends, bool):
            if self._sends and not sends:
                say("Sending data disabled. Change twin configuration to start sending again.")
            self._sends = sends
        self._changed.set()


def is_reset(command: Any) -> bool:
    """Whether an object that a message holds says so."""
    return isinstance(command, dict) and str(cast("dict[str, Any]", command).get("command")).lower() in ("reset", "0")


def sdk() -> Any:
    """The device SDK, which has no types for some of what is used here."""
    return importlib.import_module("azure.iot.device")


def say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    say("SimulatedTemperatureSensor Main() started.")
    ends = time.monotonic() + 60
    while True:
        try:
            client = sdk().IoTHubModuleClient.create_from_edge_environment(connection_retry_interval=1)
        except OSError as problem:
            if time.monotonic() > ends or "IOTEDGE_MODULEID" not in os.environ:
                sys.exit(f"this is an IoT Edge module, and its edge does not answer: {problem}: {problem.__cause__}")
            time.sleep(FIRST_RETRY_S)
            continue
        break
    sensor = Sensor(client, Machine())
    signal.signal(signal.SIGTERM, sensor.end)
    signal.signal(signal.SIGINT, sensor.end)
    sensor.run()


if __name__ == "__main__":
    main()
