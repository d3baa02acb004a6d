"""Container groups by ``az container``: their containers are processes of this machine, and their output is real."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wire.azure_cli.conftest import Az

pytestmark = pytest.mark.azure_cli

FILE = """
apiVersion: 2023-05-01
location: westus
name: {name}
type: Microsoft.ContainerInstance/containerGroups
tags: {{made: by-file}}
properties:
  osType: Linux
  restartPolicy: Never
  ipAddress: {{type: Public, ports: [{{protocol: tcp, port: 80}}]}}
  containers:
  - name: web
    properties:
      image: nginx
      ports: [{{port: 80}}]
      resources: {{requests: {{cpu: 0.5, memoryInGB: 0.5}}}}
  - name: beside
    properties:
      image: alpine
      command: ["/bin/sh", "-c", "echo one; echo two; sleep 100"]
      resources: {{requests: {{cpu: 0.5, memoryInGB: 0.5}}}}
"""


def named(group: str, name: str) -> tuple[str, ...]:
    return ("--resource-group", group, "--name", name)


def create(az: Az, group: str, name: str, *more: str, image: str = "alpine") -> Any:
    small = ("--os-type", "Linux", "--cpu", "0.5", "--memory", "0.5")
    return az.json("container", "create", *named(group, name), "--image", image, *small, *more)


def test_the_life_of_a_container_group(az: Az, group: str, tmp_path: Path) -> None:
    script = (
        "echo $GREETING from $KEY; echo $(cat /mnt/secrets/note); trap 'exit 0' TERM; while true; do sleep 0.1; done"
    )
    made = create(
        az, group, "life", "--command-line", f'/bin/sh -c "{script}"',
        "--environment-variables", "GREETING=hello", "--secure-environment-variables", "KEY=s3cret",
        "--secrets", "note=written", "--secrets-mount-path", "/mnt/secrets",
        "--ip-address", "Public", "--ports", "8080", "--dns-name-label", "windtunnel-az",
        "--restart-policy", "OnFailure",
    )  # fmt: skip
    assert made["provisioningState"] == "Succeeded"
    assert made["instanceView"]["state"] == "Running"
    assert made["ipAddress"]["fqdn"] == "windtunnel-az.westus.azurecontainer.io"
    assert made["ipAddress"]["ip"].startswith("127.")
    shown = az.json("container", "show", *named(group, "life"))
    container = shown["containers"][0]
    variables = {each["name"]: each for each in container["environmentVariables"]}
    assert variables["GREETING"]["value"] == "hello"
    assert variables["KEY"]["value"] is None
    assert variables["KEY"]["secureValue"] is None
    assert shown["volumes"][0]["secret"] == {}
    assert container["instanceView"]["currentState"]["state"] == "Running"
    assert [each["name"] for each in container["instanceView"]["events"]] == ["Pulling", "Pulled", "Created", "Started"]
    assert shown["restartPolicy"] == "OnFailure"

    listed = {each["name"]: each for each in az.json("container", "list", "--resource-group", group)}
    assert listed["life"]["provisioningState"] == "Succeeded"
    assert listed["life"]["instanceView"] is None, "as Azure's lists"
    assert "hello from s3cret\nwritten" in az.said("container", "logs", *named(group, "life"))

    exec_ = ("container", "exec", *named(group, "life"), "--exec-command")
    assert "written" in az.typed("", *exec_, "cat /mnt/secrets/note")
    said = az.typed("echo $((6 * 7)) $GREETING\rexit\r", *exec_, "/bin/sh")
    assert "42 hello" in said

    az.said("container", "stop", *named(group, "life"))
    assert az.json("container", "show", *named(group, "life"), "--query", "instanceView.state") == "Stopped"
    assert "ContainerGroupStopped" in az.refused(1, *exec_, "date")
    az.said("container", "start", *named(group, "life"))
    assert az.json("container", "show", *named(group, "life"), "--query", "instanceView.state") == "Running"
    az.said("container", "restart", *named(group, "life"))
    restarted = az.json("container", "show", *named(group, "life"), "--query", "containers[0].instanceView")
    assert restarted["restartCount"] == 1

    exported = tmp_path / "life.yaml"
    az.said("container", "export", *named(group, "life"), "--file", str(exported))
    text = exported.read_text("utf-8")
    assert "name: life\n" in text
    assert "s3cret" not in text
    assert "image: alpine\n" in text

    deleted = az.json("container", "delete", *named(group, "life"), "--yes")
    assert deleted["name"] == "life"
    assert "ResourceNotFound" in az.refused(3, "container", "show", *named(group, "life"))
    assert az.said("container", "delete", *named(group, "life"), "--yes") == "", "what is gone is no error"


def test_a_group_of_two_containers_is_created_from_a_file(az: Az, group: str, tmp_path: Path) -> None:
    file = tmp_path / "group.yaml"
    file.write_text(FILE.format(name="file1"), "utf-8")
    az.said("container", "create", "--resource-group", group, "--file", str(file))
    shown = az.json("container", "show", "--resource-group", group.upper(), "--name", "FILE1")
    assert (shown["name"], shown["tags"]) == ("file1", {"made": "by-file"})
    assert [each["instanceView"]["currentState"]["state"] for each in shown["containers"]] == ["Running"] * 2
    with urlopen(f"http://{shown['ipAddress']['ip']}:80/", timeout=10) as answer:
        assert answer.status == 200
    logs = ("container", "logs", *named(group, "file1"), "--container-name")
    assert az.said(*logs, "beside").split() == ["one", "two"]
    assert "ContainerNotFound" in az.refused(3, *logs, "nobody")
    # The file that az exports is a file that az takes.
    exported = tmp_path / "exported.yaml"
    az.said("container", "export", *named(group, "file1"), "--file", str(exported))
    az.said("container", "delete", *named(group, "file1"), "--yes")
    az.said("container", "create", "--resource-group", group, "--file", str(exported))
    assert len(az.json("container", "show", *named(group, "file1"))["containers"]) == 2


def test_a_container_that_ends_is_told_with_its_exit_code(az: Az, group: str) -> None:
    create(az, group, "ends", "--command-line", '/bin/sh -c "echo worse; exit 3"', "--restart-policy", "Never")
    ended = ("container", "show", *named(group, "ends"), "--query")
    az.eventually(lambda: az.json(*ended, "instanceView.state") == "Failed")
    state = az.json(*ended, "containers[0].instanceView.currentState")
    assert (state["state"], state["exitCode"], state["detailStatus"]) == ("Terminated", 3, "Error")
    assert az.json(*ended, "provisioningState") == "Succeeded"
    followed = az.said("container", "logs", *named(group, "ends"), "--follow")
    assert "worse" in followed


def test_one_does_not_wait(az: Az, group: str) -> None:
    small = ("--os-type", "Linux", "--cpu", "0.5", "--memory", "0.5", "--image", "alpine")
    az.said("container", "create", *named(group, "later"), *small, "--command-line", "sleep 100", "--no-wait")
    running = ("container", "show", *named(group, "later"), "--query", "instanceView.state")
    az.eventually(lambda: az.json(*running) == "Running")


def test_what_cannot_be_is_refused(az: Az, group: str) -> None:
    small = ("--os-type", "Linux", "--cpu", "0.5", "--memory", "0.5")
    makes = ("container", "create", "--resource-group", group)
    image = az.refused(1, *makes, "--name", "noimage", "--image", "no-such-image:1", *small)
    assert "InaccessibleImage" in image
    assert "--runtime docker" in image
    assert az.json("container", "show", *named(group, "noimage"))["provisioningState"] == "Failed"
    bad = az.refused(1, *makes, "--name", "Not_Allowed", "--image", "alpine", *small)
    assert "InvalidContainerGroupName" in bad
    windows = ("--os-type", "Windows", "--cpu", "1", "--memory", "1")
    assert "run on Linux" in az.refused(1, *makes, "--name", "win", "--image", "alpine", *windows)
    nowhere = ("container", "create", *named("nowhere", "c"), "--location", "westus", "--image", "alpine", *small)
    assert "ResourceGroupNotFound" in az.refused(3, *nowhere)
    create(az, group, "fixed", "--command-line", "sleep 100")
    larger = ("--image", "alpine", "--os-type", "Linux", "--cpu", "2", "--memory", "1", "--command-line", "sleep 100")
    assert "InvalidContainerGroupUpdate" in az.refused(1, *makes, "--name", "fixed", *larger)
    assert az.json("container", "show", *named(group, "fixed"))["containers"][0]["resources"]["requests"]["cpu"] == 0.5
