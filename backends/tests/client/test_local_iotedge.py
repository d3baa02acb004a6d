"""A model as a module of an IoT Edge device, through the command line, at emulators that really run."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from cli_shell import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE = b'{"data": [[1.0, 0.0, 0.0, 0.0]]}'
# The weights of the model are 0 to 11, row by row.
ONES_ANSWER = [[0.0, 1.0, 2.0]]
DEVICE = "windtunnel-edge"
SENSOR = "mcr.microsoft.com/azureiotedge-simulated-temperature-sensor:1.0"
ECHO = "def init():\n    pass\n\n\ndef run(raw):\n    return raw\n"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Emulators of this module's own, on free ports."""
    shell = Shell(tmp_path_factory.mktemp("edge") / "state")
    shell.run("up", "--port", "0")
    yield shell
    shell.run("down")


def test_a_module_from_deploy_to_delete(shell: Shell, model_file: Path) -> None:
    service = shell.json("deploy", str(model_file), "--name", "flow", "--target", "iotedge", "--tag", "team=wind")
    assert (service["state"], service["target"], service["tags"]) == ("Healthy", "iotedge", {"team": "wind"})
    assert shell.json("score", "flow", "--target", "iotedge", "--input", "-", stdin=ONE) == ONES_ANSWER
    assert (
        "Response Code: 400"
        in shell.run("score", "flow", "-t", "iotedge", "--input", "-", stdin=b'{"data": [[1]]}', code=1)[1]
    )
    assert "already exists" in shell.run("deploy", str(model_file), "--name", "flow", "-t", "iotedge", code=1)[1]
    assert [(s["name"], s["target"]) for s in shell.json("list")] == [("flow", "iotedge")]
    assert "connected to the edge's hub" in shell.run("logs", "flow", "--target", "iotedge")[0]
    assert (
        "Class does not implement update method yet."
        in shell.run("update", "flow", "--target", "iotedge", "--tag", "team=sea", code=1)[1]
    )
    assert shell.run("delete", "flow", "--target", "iotedge")[1].endswith("deleted service flow\n")
    assert "not found" in shell.run("show", "flow", "--target", "iotedge", code=1)[1]


def test_a_sensor_a_model_and_what_arrives_at_the_hub(shell: Shell, model_file: Path, tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    script.write_text(ECHO, "utf-8")
    shell.run("deploy", str(model_file), "--name", "echo", "--target", "iotedge", "--entry-script", str(script),
              "--module", f"sensor={SENSOR}", "--module-env", "sensor.MessageDelay=00:00:00.1",
              "--source", "sensor/temperatureOutput")  # fmt: skip
    lines, _ = shell.run("iot", "monitor", "--from", "start", "--module", "echo", "--count", "3", "-o", "json")
    events: list[Any] = [json.loads(line) for line in lines.splitlines()]
    assert [(e["device"], e["module"], e["properties"]) for e in events] == [
        (DEVICE, "echo", {"AzureMLResponse": "OK"})
    ] * 3
    assert all(e["body"]["machine"]["temperature"] > 0 for e in events)
    text, _ = shell.run("iot", "monitor", "--from", "1h", "--device", DEVICE, "--count", "1")
    assert re.match(rf"\S+ {DEVICE}/echo AzureMLResponse=OK \{{", text)
    assert shell.run("iot", "monitor", "--from", "start", "--device", "nobody", "--timeout", "0.5")[0] == ""

    shell.run("edge", "cut", DEVICE)
    assert shell.json("edge", "status", DEVICE)["link"]["cut"] is True
    assert "Unhealthy" in shell.run("show", "echo", "--target", "iotedge")[0]
    shell.run("edge", "restore", DEVICE)
    assert shell.json("edge", "status", DEVICE)["link"]["cut"] is False
    shell.run("delete", "echo", "--target", "iotedge")
    assert shell.json("edge", "status", DEVICE)["deployment"]["version"] >= 2


def test_devices_are_listed_and_their_links_made_bad(shell: Shell, model_file: Path) -> None:
    shell.run("deploy", str(model_file), "--name", "far", "--target", "iotedge")
    (device,) = shell.json("edge", "list")
    assert (device["device"], device["running"]) == (DEVICE, True)
    assert DEVICE in shell.run("edge", "list")[0]
    shell.run("edge", "faults", DEVICE, "--latency-ms", "5", "--seed", "3")
    faults = shell.json("edge", "status", DEVICE)["link"]["faults"]
    assert (faults["latencyMs"], faults["seed"]) == (5.0, 3)
    assert shell.json("score", "far", "--target", "iotedge", "--input", "-", stdin=ONE) == ONES_ANSWER
    assert "a number from 0 to 60000" in shell.run("edge", "faults", DEVICE, "--latency-ms", "-1", code=2)[1]
    shell.run("edge", "faults", DEVICE)
    assert shell.json("edge", "status", DEVICE)["link"]["faults"]["latencyMs"] == 0
    assert "modules of 'windtunnel-edge'" in shell.run("edge", "logs", DEVICE)[0]
    assert len(shell.run("edge", "logs", DEVICE, "--tail", "1")[0].splitlines()) == 1
    shell.run("delete", "far", "--target", "iotedge")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("edge", "status", "nobody"), 1, "there is no local edge device 'nobody'"),
        (("edge", "cut", "nobody", "--hub", "none"), 1, "of hub 'none'"),
        (("edge", "list", "--profile", "azure"), 2, "is not Windtunnel's to cut"),
        (("iot", "monitor", "--from", "yesterday"), 2, "--from is 'yesterday'"),
        (("iot", "monitor", "--hub", "nohub"), 1, "there is no IoT hub 'nohub'"),
        (("deploy", "MODEL", "-n", "a-1", "--source", "a/b"), 2, "are for --target iotedge"),
        (("deploy", "MODEL", "-n", "a-1", "-t", "iotedge", "--source", "a"), 2, "not of the form MODULE/OUTPUT"),
        (("deploy", "MODEL", "-n", "a-1", "-t", "iotedge", "--module-env", "a=b"), 2, "MODULE.NAME=VALUE"),
        (("deploy", "MODEL", "-n", "a-1", "-t", "iotedge", "--module-env", "a.b=c"), 2, "none of the further modules"),
        (("deploy", "MODEL", "-n", "a-1", "-t", "iotedge", "--hub", "a"), 2, "the IoT hub name 'a' is invalid"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    shell: Shell, model_file: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    _, err = shell.run(*[str(model_file) if a == "MODEL" else a for a in arguments], code=code)
    assert words in err
    assert "Traceback" not in err


def test_a_module_of_somebody_elses_is_left_alone(shell: Shell, model_file: Path) -> None:
    shell.run("deploy", str(model_file), "--name", "own", "--target", "iotedge", "--module", f"theirs={SENSOR}")
    _, err = shell.run("deploy", str(model_file), "--name", "theirs", "--target", "iotedge", code=1)
    assert "the device has a module 'theirs' already, which is not this service's" in err
    assert shell.json("score", "own", "--target", "iotedge", "--input", "-", stdin=ONE) == ONES_ANSWER
    shell.run("delete", "own", "--target", "iotedge")


def test_an_image_that_cannot_be_had_is_no_success(shell: Shell, model_file: Path) -> None:
    _, err = shell.run("deploy", str(model_file), "--name", "blind", "--target", "iotedge",
                       "--module", "eye=nosuch.invalid/eye:1", code=1)  # fmt: skip
    assert "no module 'eye'" in err
    assert "nosuch.invalid/eye:1" in err.partition("no module 'eye'")[2]
    assert "Failed" in shell.run("show", "blind", "--target", "iotedge")[0]
    shell.run("delete", "blind", "--target", "iotedge")
