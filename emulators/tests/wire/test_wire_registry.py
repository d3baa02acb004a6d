"""Microsoft's SDKs, and a client of the OCI API that is not Docker, against the emulators as a process of their own."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.containerregistry.models import (
    ImportImageParameters,
    ImportSource,
    RegenerateCredentialParameters,
    Registry,
    RegistryNameCheckRequest,
    RegistryProperties,
    RegistryPropertiesUpdateParameters,
    RegistryUpdateParameters,
    Sku,
)
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient
from azure.mgmt.containerregistrytasks.models import (
    DockerBuildRequest,
    DockerBuildStep,
    PlatformProperties,
    RunUpdateParameters,
    Task,
    TaskProperties,
    TaskRunRequest,
)
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.resources.models import ResourceGroup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.wire.conftest import Launch, Launched

GROUP = "wire"
_DEADLINE_S = 30.0
_CRANE = shutil.which("crane")


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulated:
    """The SDKs' clients of emulators that run."""

    launched: Launched
    registries: ContainerRegistryManagementClient
    tasks: ContainerRegistryTasksMgmtClient

    def http(self) -> httpx.Client:
        return self.launched.http()


@pytest.fixture(scope="module")
def emulated(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """Ready, with a resource group."""
    with launch(tmp_path_factory.mktemp("emulators")) as launched:
        groups = launched.client(ResourceManagementClient).resource_groups
        groups.create_or_update(GROUP, ResourceGroup(location="westeurope"))
        yield Emulated(
            launched=launched,
            registries=launched.client(ContainerRegistryManagementClient),
            tasks=launched.client(ContainerRegistryTasksMgmtClient),
        )


def create(emulated: Emulated, name: str, sku: str = "Standard") -> Registry:
    properties = RegistryProperties(admin_user_enabled=True)
    wanted = Registry(location="westeurope", sku=Sku(name=sku), properties=properties)
    return emulated.registries.registries.begin_create(GROUP, name, wanted).result()


def server_of(registry: Registry) -> str:
    assert registry.properties is not None
    assert registry.properties.login_server is not None
    return registry.properties.login_server


def test_a_registry_from_creation_to_deletion(emulated: Emulated) -> None:
    client = emulated.registries.registries
    registry = create(emulated, "lifecycle1")
    assert registry.properties is not None
    assert registry.properties.provisioning_state == "Succeeded"
    assert server_of(registry).startswith("localhost:")
    taken = client.check_name_availability(
        RegistryNameCheckRequest(name="lifecycle1", type="Microsoft.ContainerRegistry/registries")
    )
    assert (taken.name_available, taken.reason) == (False, "AlreadyExists")
    change = RegistryUpdateParameters(
        tags={"a": "b"}, properties=RegistryPropertiesUpdateParameters(anonymous_pull_enabled=True)
    )
    changed = client.begin_update(GROUP, "lifecycle1", change).result()
    assert changed.tags == {"a": "b"}
    assert changed.properties is not None
    assert changed.properties.anonymous_pull_enabled is True
    assert "lifecycle1" in [found.name for found in client.list()]
    assert [found.name for found in client.list_by_resource_group(GROUP) if found.tags == {"a": "b"}] == ["lifecycle1"]
    before = client.list_credentials(GROUP, "lifecycle1")
    after = client.regenerate_credential(GROUP, "lifecycle1", RegenerateCredentialParameters(name="password2"))
    assert before.username == after.username == "lifecycle1"
    assert before.passwords is not None
    assert after.passwords is not None
    assert before.passwords[0].value == after.passwords[0].value
    assert before.passwords[1].value != after.passwords[1].value
    usages = client.list_usages(GROUP, "lifecycle1").value
    assert usages is not None
    assert [(usage.name, usage.limit) for usage in usages][:1] == [("Size", 100 * 1024**3)]
    client.begin_delete(GROUP, "lifecycle1").result()
    with pytest.raises(ResourceNotFoundError):
        client.get(GROUP, "lifecycle1")


def test_a_refusal_reaches_the_caller_with_its_code(emulated: Emulated) -> None:
    with pytest.raises(HttpResponseError) as refused:
        create(emulated, "no")
    assert refused.value.error is not None
    assert refused.value.error.code == "InvalidResourceName"


def context(files: dict[str, str]) -> bytes:
    """A build context, as the Azure CLI packs one."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content.encode()))
    return packed.getvalue()


def upload(emulated: Emulated, registry: str, content: bytes) -> str:
    """Where ``listBuildSourceUploadUrl`` says; returns the relative path."""
    source = emulated.tasks.registries.get_build_source_upload_url(GROUP, registry)
    assert source.upload_url is not None
    assert source.relative_path is not None
    with emulated.http() as client:
        answer = client.put(source.upload_url, content=content, headers={"x-ms-blob-type": "BlockBlob"})
    assert answer.status_code == 201
    return source.relative_path


def ended(emulated: Emulated, registry: str, run: str) -> str:
    """The run's final status."""
    end = time.monotonic() + _DEADLINE_S
    while True:
        properties = emulated.tasks.runs.get(GROUP, registry, run).properties
        assert properties is not None
        if properties.status not in ("Queued", "Started", "Running"):
            return properties.status or ""
        assert time.monotonic() < end, "the run does not end"
        time.sleep(0.05)


def log_of(emulated: Emulated, registry: str, run: str) -> str:
    link = emulated.tasks.runs.get_log_sas_url(GROUP, registry, run).log_link
    assert link is not None
    with emulated.http() as client:
        answer = client.get(link)
    assert answer.headers["x-ms-meta-complete"] in ("successful", "failed")
    return answer.text


def test_an_image_is_built_by_a_task_and_pulled(emulated: Emulated) -> None:
    registry = create(emulated, "builds1")
    dockerfile = 'FROM python:3.11-slim\nCOPY hello.py /app/\nCMD ["python", "/app/hello.py"]\n'
    source = upload(emulated, "builds1", context({"Dockerfile": dockerfile, "hello.py": "print('hello')\n"}))
    request = DockerBuildRequest(
        image_names=["hello:v1"],
        is_push_enabled=True,
        source_location=source,
        docker_file_path="Dockerfile",
        platform=PlatformProperties(os="Linux", architecture="amd64"),
    )
    scheduled = emulated.tasks.registries.schedule_run(GROUP, "builds1", request)
    assert scheduled.name is not None
    status = ended(emulated, "builds1", scheduled.name)
    log = log_of(emulated, "builds1", scheduled.name)
    assert status == "Succeeded", log
    run = emulated.tasks.runs.get(GROUP, "builds1", scheduled.name).properties
    assert run is not None
    assert run.output_images is not None
    (image,) = run.output_images
    assert (image.registry, image.repository, image.tag) == (server_of(registry), "hello", "v1")
    credentials = emulated.registries.registries.list_credentials(GROUP, "builds1")
    assert credentials.username is not None
    assert credentials.passwords is not None
    with emulated.http() as client:
        answer = client.get(
            f"https://{server_of(registry)}/v2/hello/manifests/v1",
            auth=(credentials.username, str(credentials.passwords[0].value)),
        )
    assert answer.headers["Docker-Content-Digest"] == image.digest


def test_a_build_that_fails_says_why(emulated: Emulated) -> None:
    create(emulated, "builds2")
    source = upload(emulated, "builds2", context({"Dockerfile": "FROM python:3.11-slim\nVOLCANO erupts\n"}))
    step = DockerBuildStep(docker_file_path="Dockerfile", context_path=source, image_names=["hello:v1"])
    properties = TaskProperties(platform=PlatformProperties(os="Linux"), step=step)
    task = emulated.tasks.tasks.create(GROUP, "builds2", "build", Task(location="westeurope", properties=properties))
    assert task.id is not None
    scheduled = emulated.tasks.registries.schedule_run(GROUP, "builds2", TaskRunRequest(task_id=task.id))
    assert scheduled.name is not None
    assert ended(emulated, "builds2", scheduled.name) == "Failed"
    assert "VOLCANO" in log_of(emulated, "builds2", scheduled.name)
    found = list(emulated.tasks.runs.list(GROUP, "builds2", filter="TaskName eq 'build'", top=5))
    assert [run.name for run in found] == [scheduled.name]
    archived = emulated.tasks.runs.update(
        GROUP, "builds2", scheduled.name, RunUpdateParameters(is_archive_enabled=True)
    )
    assert archived.properties is not None
    assert archived.properties.is_archive_enabled is True


def test_an_image_is_imported(emulated: Emulated) -> None:
    source, target = create(emulated, "imports1"), create(emulated, "imports2")
    assert source.id is not None
    parameters = ImportImageParameters(source=ImportSource(resource_id=source.id, source_image="hello:v1"))
    with pytest.raises(HttpResponseError) as refused:
        emulated.registries.registries.begin_import_image(GROUP, "imports2", parameters).result()
    assert refused.value.error is not None
    assert refused.value.error.code == "ImageNotFound"
    assert server_of(source) != server_of(target)


@pytest.mark.skipif(
    _CRANE is None,
    reason="crane is not on PATH: go install github.com/google/go-containerregistry/cmd/crane@latest",
)
def test_crane_pushes_copies_lists_and_pulls(emulated: Emulated, tmp_path: Path) -> None:
    server = server_of(create(emulated, "crane1"))
    credentials = emulated.registries.registries.list_credentials(GROUP, "crane1")
    assert credentials.passwords is not None
    layer = tmp_path / "layer.tar"
    with tarfile.open(layer, "w") as tar:
        entry = tarfile.TarInfo("greeting")
        entry.size = 1 << 20
        tar.addfile(entry, io.BytesIO(os.urandom(1 << 20)))

    def crane(*arguments: str, given: str | None = None) -> str:
        assert _CRANE is not None
        environment = {"SSL_CERT_FILE": emulated.launched.bundle, "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        environment["DOCKER_CONFIG"] = str(tmp_path)
        done = subprocess.run(
            [_CRANE, *arguments], env=environment, input=given, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    password = str(credentials.passwords[0].value)
    crane("auth", "login", server, "-u", str(credentials.username), "--password-stdin", given=password)
    crane("append", "--new_tag", f"{server}/team/hello:v1", "--new_layer", str(layer))
    digest = crane("digest", f"{server}/team/hello:v1")
    crane("copy", f"{server}/team/hello:v1", f"{server}/copies/hello:v2")
    assert crane("digest", f"{server}/copies/hello:v2") == digest
    assert crane("catalog", server).splitlines() == ["copies/hello", "team/hello"]
    assert crane("ls", f"{server}/team/hello").splitlines() == ["v1"]
    crane("pull", f"{server}/copies/hello:v2", str(tmp_path / "image.tar"))
    crane("validate", "--remote", f"{server}/copies/hello:v2")
    crane("delete", f"{server}/team/hello@{digest}")
    assert crane("catalog", server).splitlines() == ["copies/hello"]
