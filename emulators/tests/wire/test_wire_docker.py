"""The emulators on a Docker engine, by the unmodified SDKs: any Dockerfile is built, pushed, pulled and run."""

from __future__ import annotations

import io
import json
import os
import shutil
import ssl
import subprocess
import sys
import tarfile
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from azure.identity import ClientSecretCredential
from azure.mgmt.containerinstance import ContainerInstanceManagementClient
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient
from azure.mgmt.resource.resources import ResourceManagementClient

from windtunnel_emulators.runtime.engine import pause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.docker

_DEADLINE_S = 60.0
# ONBUILD is beyond what is built without Docker.
DOCKERFILE = 'FROM scratch AS part\nCOPY pause /pause\nFROM part\nONBUILD COPY x /x\nENTRYPOINT ["/pause"]\n'


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + _DEADLINE_S
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


class Emulators:
    """A process of their own."""

    def __init__(self, folder: Path) -> None:
        ready = folder / "ready.json"
        command = [sys.executable, "-m", "windtunnel_emulators", "--port", "0", "--runtime", "docker"]
        command += ["--state-dir", str(folder / "state"), "--ready-file", str(ready)]
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(lambda: ready.exists() or self.process.poll() is not None)
        if not ready.exists():
            pytest.skip(self.log.read_text("utf-8").strip().splitlines()[-1])
        said = json.loads(ready.read_text("utf-8"))
        self.base: str = said["endpoints"]["resourceManager"]
        self.environment: dict[str, str] = said["environment"]
        self.bundle = self.environment["REQUESTS_CA_BUNDLE"]
        self.credential = ClientSecretCredential(
            self.environment["AZURE_TENANT_ID"],
            self.environment["AZURE_CLIENT_ID"],
            self.environment["AZURE_CLIENT_SECRET"],
            authority=self.environment["AZURE_AUTHORITY_HOST"],
            disable_instance_discovery=True,
            connection_verify=self.bundle,
        )

    def client(self, kind: Any) -> Any:
        return kind(
            self.credential,
            self.environment["AZURE_SUBSCRIPTION_ID"],
            base_url=self.base,
            credential_scopes=[f"{self.base}/.default"],
            connection_verify=self.bundle,
            retry_total=0,
        )

    def request(self, url: str, data: bytes | None = None) -> str:
        """A blob's URL, put or got."""
        headers = {} if data is None else {"x-ms-blob-type": "BlockBlob"}
        request = urllib.request.Request(url, data, headers, method="GET" if data is None else "PUT")
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=self.bundle)) as answer:
            body: bytes = answer.read()
            return body.decode()


@pytest.fixture
def emulators(tmp_path: Path) -> Iterator[Emulators]:
    if shutil.which("docker") is None and "DOCKER_HOST" not in os.environ:
        pytest.skip("there is no Docker here (.ci/docker-engine makes an engine)")
    made = Emulators(tmp_path)
    yield made
    made.process.terminate()
    assert made.process.wait(_DEADLINE_S) == 0, made.log.read_text("utf-8")


def context() -> bytes:
    with tarfile.open(fileobj=io.BytesIO(pause.archive(_architecture()))) as made:
        member = made.extractfile("pause")
        assert member is not None
        files = {"Dockerfile": DOCKERFILE.encode(), "pause": member.read()}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def test_any_dockerfile_becomes_a_container_group(emulators: Emulators) -> None:
    emulators.client(ResourceManagementClient).resource_groups.create_or_update("rg", {"location": "westus"})
    registries = emulators.client(ContainerRegistryManagementClient).registries
    body = {"location": "westus", "sku": {"name": "Basic"}, "properties": {"adminUserEnabled": True}}
    registries.begin_create("rg", "enginebuilds", body).result()
    tasks = emulators.client(ContainerRegistryTasksMgmtClient)
    place = tasks.registries.get_build_source_upload_url("rg", "enginebuilds")
    emulators.request(place.upload_url, context())
    request = {
        "type": "DockerBuildRequest",
        "sourceLocation": place.relative_path,
        "dockerFilePath": "Dockerfile",
        "imageNames": ["pause:1", "pause:{{.Run.ID}}"],
        "platform": {"os": "Linux"},
    }
    run = tasks.registries.schedule_run("rg", "enginebuilds", request).properties.run_id
    eventually(lambda: tasks.runs.get("rg", "enginebuilds", run).properties.status not in ("Queued", "Running"))
    log = emulators.request(tasks.runs.get_log_sas_url("rg", "enginebuilds", run).log_link)
    assert tasks.runs.get("rg", "enginebuilds", run).properties.status == "Succeeded", log
    assert "ONBUILD COPY x /x" in log
    user = registries.list_credentials("rg", "enginebuilds")
    groups = emulators.client(ContainerInstanceManagementClient).container_groups
    login = {"server": "enginebuilds.azurecr.io", "username": user.username, "password": user.passwords[0].value}
    container = {
        "name": "main",
        "properties": {
            "image": f"enginebuilds.azurecr.io/pause:{run}",
            "resources": {"requests": {"cpu": 1, "memoryInGB": 1}},
        },
    }
    properties = {"osType": "Linux", "containers": [container], "imageRegistryCredentials": [login]}
    wanted = json.dumps({"location": "westus", "properties": properties}).encode()
    groups.begin_create_or_update("rg", "waits", wanted).result()
    group = groups.get("rg", "waits")
    assert group.instance_view.state == "Running"
    assert group.containers[0].instance_view.current_state.state == "Running"
    groups.begin_delete("rg", "waits").result()
