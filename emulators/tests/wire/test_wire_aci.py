"""Container groups by the unmodified azure-mgmt-containerinstance, over TLS; their containers are real processes."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.mgmt.containerinstance import ContainerInstanceManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_DEADLINE_S = 30.0
LOOP = ["/bin/sh", "-c", "echo begun; while true; do sleep 0.1; done"]


@dataclass
class Emulators:
    """The emulators as a process of their own, on one state folder."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict[str, str])
    base: str = ""

    def start(self) -> None:
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "windtunnel_emulators", "--port", "0", "--pace", "fast"]
        command += ["--state-dir", str(self.folder / "state"), "--ready-file", str(ready)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.eventually(ready.exists)
        said = json.loads(ready.read_text("utf-8"))
        self.environment, self.base = said["environment"], said["endpoints"]["resourceManager"]

    def kill(self) -> None:
        """As the system would when memory runs out."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(_DEADLINE_S)

    def eventually(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + _DEADLINE_S
        while not holds():
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "log").read_text("utf-8", "replace")[-2000:]
            assert time.monotonic() < end, (self.folder / "log").read_text("utf-8", "replace")[-2000:]
            time.sleep(0.02)

    def client(self, kind: Any) -> Any:
        """An SDK's client: the endpoint, its certificate authority and the scope differ from Azure, nothing else."""
        bundle = self.environment["REQUESTS_CA_BUNDLE"]
        credential = ClientSecretCredential(
            self.environment["AZURE_TENANT_ID"],
            self.environment["AZURE_CLIENT_ID"],
            self.environment["AZURE_CLIENT_SECRET"],
            authority=self.environment["AZURE_AUTHORITY_HOST"],
            disable_instance_discovery=True,
            connection_verify=bundle,
        )
        return kind(
            credential,
            self.environment["AZURE_SUBSCRIPTION_ID"],
            base_url=self.base,
            credential_scopes=[f"{self.base}/.default"],
            connection_verify=bundle,
            retry_total=0,
        )

    @property
    def groups(self) -> Any:
        return self.client(ContainerInstanceManagementClient)


@pytest.fixture(scope="module")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulators]:
    """One process for the tests that leave it running; each has a container group of its own."""
    yield from _running(tmp_path_factory.mktemp("wire-aci"))


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Emulators]:
    """One that may be killed."""
    yield from _running(tmp_path)


def _running(folder: Path) -> Iterator[Emulators]:
    made = Emulators(folder)
    made.start()
    made.client(ResourceManagementClient).resource_groups.create_or_update("rg", {"location": "westus"})
    yield made
    made.stop()


def body(command: list[str], **properties: object) -> Any:
    """Bytes, which every version of the SDK takes as they are."""
    container = {
        "name": "main",
        "properties": {
            "image": "busybox",
            "command": command,
            "environmentVariables": [{"name": "GREETING", "value": "hello"}, {"name": "KEY", "secureValue": "secret"}],
            "resources": {"requests": {"cpu": 0.5, "memoryInGB": 0.5}},
        },
    }
    group = {"osType": "Linux", "restartPolicy": "Always", "containers": [container], **properties}
    return json.dumps({"location": "westus", "properties": group}).encode()


def processes(mark: str) -> list[str]:
    """What runs on this machine with a word on its command line."""
    found: list[str] = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    line = file.read().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if mark in line and int(name) != os.getpid():
                found.append(line)
    return found


def test_the_life_of_a_group(emulators: Emulators) -> None:
    client = emulators.groups
    command = ["/bin/sh", "-c", 'echo "$GREETING from $KEY"; while true; do sleep 0.1; done']
    began = time.monotonic()
    made = client.container_groups.begin_create_or_update("rg", "g1", body(command)).result()
    assert time.monotonic() - began < 10, "the poller was told when to ask again"
    assert made.provisioning_state == "Succeeded"
    shown = client.container_groups.get("rg", "G1")
    assert shown.instance_view.state == "Running"
    assert shown.containers[0].instance_view.current_state.state == "Running"
    assert shown.containers[0].environment_variables[1].secure_value is None
    emulators.eventually(lambda: "from" in client.containers.list_logs("rg", "g1", "main").content)
    assert client.containers.list_logs("rg", "g1", "main", tail=1).content == "hello from secret\n"
    assert "g1" in [group.name for group in client.container_groups.list()]
    assert "g1" in [group.name for group in client.container_groups.list_by_resource_group("rg")]

    client.container_groups.begin_restart("rg", "g1").result()
    emulators.eventually(lambda: _restarts(client) == 1)
    client.container_groups.stop("rg", "g1")
    assert client.container_groups.get("rg", "g1").instance_view.state == "Stopped"
    client.container_groups.begin_start("rg", "g1").result()
    assert client.container_groups.get("rg", "g1").instance_view.state == "Running"

    client.container_groups.begin_create_or_update("rg", "g1", body(["/bin/sh", "-c", "echo new; sleep 60"])).result()
    emulators.eventually(lambda: client.containers.list_logs("rg", "g1", "main").content == "new\n")
    client.container_groups.begin_delete("rg", "g1").result()
    with pytest.raises(ResourceNotFoundError) as missing:
        client.container_groups.get("rg", "g1")
    assert cast("Any", missing.value.error).code == "ResourceNotFound"


def test_a_container_that_fails_is_told_with_its_exit_code_and_log(emulators: Emulators) -> None:
    client = emulators.groups
    command = ["/bin/sh", "-c", "echo broken >&2; exit 3"]
    client.container_groups.begin_create_or_update("rg", "fails", body(command, restartPolicy="Never")).result()
    emulators.eventually(lambda: client.container_groups.get("rg", "fails").instance_view.state == "Failed")
    current = client.container_groups.get("rg", "fails").containers[0].instance_view.current_state
    assert (current.exit_code, current.detail_status) == (3, "Error")
    assert client.containers.list_logs("rg", "fails", "main").content == "broken\n"


def test_a_failed_creation_reaches_the_caller_with_its_code(emulators: Emulators) -> None:
    with pytest.raises(HttpResponseError) as failed:
        emulators.groups.container_groups.begin_create_or_update(
            "rg", "absent", body([]).replace(b'"busybox"', b'"registry.invalid/nothing:1"')
        ).result()
    error = cast("Any", failed.value.error)
    assert error.code == "InaccessibleImage"
    assert "registry.invalid/nothing:1" in error.message


def test_a_quota_is_azures_error(emulators: Emulators) -> None:
    overrides = emulators.folder / "state" / "container_instance_quotas.toml"
    overrides.write_text("[limits]\nContainerGroups = 0\n")
    with pytest.raises(HttpResponseError) as refused:
        emulators.groups.container_groups.begin_create_or_update("rg", "one-more", body(LOOP))
    overrides.unlink()
    assert refused.value.status_code == 400
    assert cast("Any", refused.value.error).code == "ContainerGroupQuotaReached"


def test_a_command_runs_in_a_container(emulators: Emulators) -> None:
    client = emulators.groups
    client.container_groups.begin_create_or_update("rg", "exec", body(LOOP)).result()
    request = {"command": "/bin/sh -c 'echo $GREETING; read line; echo got $line'"}
    answer = client.containers.execute_command("rg", "exec", "main", json.dumps(request).encode())
    trusted = ssl.create_default_context(cafile=emulators.environment["SSL_CERT_FILE"])
    with connect(answer.web_socket_uri, ssl=trusted, origin=cast("Any", emulators.base)) as socket:
        socket.send(answer.password)
        said = ""
        while "hello" not in said:
            said += _text(socket.recv(timeout=10))
        socket.send(b"this\n")
        for data in socket:
            said += _text(data)
    assert "got this" in said


def test_what_ran_runs_again_after_a_kill(mortal: Emulators) -> None:
    mark = f"{mortal.folder.name}-mark"
    command = ["/bin/sh", "-c", f"while true; do sleep 0.1; done; {mark}"]
    client = mortal.groups
    client.container_groups.begin_create_or_update("rg", "g1", body(command)).result()
    client.container_groups.begin_create_or_update("rg", "g2", body(command)).result()
    client.container_groups.stop("rg", "g2")
    before = client.container_groups.get("rg", "g1")
    mortal.kill()
    mortal.start()
    client = mortal.groups
    mortal.eventually(lambda: _restarts(client) == 1)
    after = client.container_groups.get("rg", "g1")
    assert after.provisioning_state == before.provisioning_state == "Succeeded"
    assert client.container_groups.get("rg", "g2").instance_view.state == "Stopped"
    mortal.eventually(lambda: len(processes(mark)) == 1)


@pytest.mark.parametrize("wait_s", [0.0, 0.05])
def test_a_poller_finishes_although_the_emulators_were_killed(mortal: Emulators, wait_s: float) -> None:
    client = mortal.groups
    mark = f"{mortal.folder.name}-mark"
    command = ["/bin/sh", "-c", f"while true; do sleep 0.1; done; {mark}"]
    poller = client.container_groups.begin_create_or_update("rg", "g1", body(command), polling_interval=0.2)
    token = poller.continuation_token()
    time.sleep(wait_s)
    mortal.kill()
    mortal.start()
    again = mortal.groups
    finished = again.container_groups.begin_create_or_update("rg", "g1", b"", continuation_token=token).result()
    assert finished.provisioning_state == "Succeeded"
    mortal.eventually(lambda: len(processes(mark)) == 1)
    again.container_groups.begin_delete("rg", "g1").result()
    mortal.kill()
    mortal.start()
    mortal.eventually(lambda: not processes(mark))
    with pytest.raises(ResourceNotFoundError):
        mortal.groups.container_groups.get("rg", "g1")


def _restarts(client: Any) -> int:
    return int(client.container_groups.get("rg", "g1").containers[0].instance_view.restart_count)


def _text(data: str | bytes) -> str:
    return data if isinstance(data, str) else data.decode()
