"""Container registries by ``az acr``: images that are really built, listed, moved and run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wire.azure_cli.conftest import Az

pytestmark = pytest.mark.azure_cli

DOCKERFILE = 'FROM python:3.11-slim\nCOPY hello.py /app/hello.py\nCMD ["python", "-u", "/app/hello.py"]\n'
PROGRAM = 'import sys\nprint("built and run by", sys.implementation.name)\n'


@pytest.fixture(scope="module")
def registry(az: Az, group: str) -> str:
    """The name of a registry with an admin user."""
    named = ("--resource-group", group, "--name", "cliregistry")
    made = az.json("acr", "create", *named, "--sku", "Standard", "--admin-enabled", "true")
    assert (made["provisioningState"], made["adminUserEnabled"]) == ("Succeeded", True)
    assert made["loginServer"].startswith("localhost:")
    assert made["sku"] == {"name": "Standard", "tier": "Standard"}
    return "cliregistry"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A folder that ``az acr build`` packs."""
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE, "utf-8")
    (folder / "hello.py").write_text(PROGRAM, "utf-8")
    (folder / ".dockerignore").write_text("*.log\n", "utf-8")
    (folder / "left-out.log").write_text("x", "utf-8")
    return folder


def test_a_registry_is_found_by_its_name(az: Az, group: str, registry: str) -> None:
    shown = az.json("acr", "show", "--name", registry)
    assert (shown["resourceGroup"], shown["location"]) == (group, "westus")
    assert registry in [each["name"] for each in az.json("acr", "list", "--resource-group", group)]
    taken = az.json("acr", "check-name", "--name", registry)
    assert (taken["nameAvailable"], taken["reason"]) == (False, "AlreadyExists")
    assert "could not be found" in az.refused(1, "acr", "show", "--name", "nosuchregistry")
    usage = {each["name"]: each["limit"] for each in az.json("acr", "show-usage", "--name", registry)["value"]}
    assert usage["Size"] == 100 * 2**30


def test_its_admin_user_has_two_passwords(az: Az, registry: str) -> None:
    before = az.json("acr", "credential", "show", "--name", registry)
    assert before["username"] == registry
    first, second = (each["value"] for each in before["passwords"])
    renewed = az.json("acr", "credential", "renew", "--name", registry, "--password-name", "password2")
    assert renewed["passwords"][0]["value"] == first
    assert renewed["passwords"][1]["value"] not in {first, second}
    token = az.json("acr", "login", "--name", registry, "--expose-token")
    assert token["loginServer"] == az.json("acr", "show", "--name", registry)["loginServer"]
    assert token["username"] == "00000000-0000-0000-0000-000000000000"
    assert token["refreshToken"].count(".") == 2


def test_an_image_is_built_listed_and_runs(az: Az, group: str, registry: str, context: Path) -> None:
    built = az.said("acr", "build", "--registry", registry, "--image", "hello:v1", "--image", "hello:new", str(context))
    assert "Step 2/3 : COPY hello.py /app/hello.py" in built
    assert "was successful after" in built
    queried = ("--query", "[?outputImages[0].repository == 'hello']")
    (run,) = az.json("acr", "task", "list-runs", "--registry", registry, *queried)
    assert (run["status"], run["runType"]) == ("Succeeded", "QuickBuild")
    digest = run["outputImages"][0]["digest"]
    logs = az.said("acr", "task", "logs", "--registry", registry, "--run-id", run["runId"])
    assert digest in logs

    listed = ("acr", "repository")
    assert "hello" in az.json(*listed, "list", "--name", registry)
    assert az.json(*listed, "show-tags", "--name", registry, "--repository", "hello") == ["new", "v1"]
    shown = az.json(*listed, "show", "--name", registry, "--image", "hello:v1")
    assert (shown["name"], shown["digest"]) == ("v1", digest)
    manifest = az.json("acr", "manifest", "show", "--registry", registry, "--name", "hello:v1")
    assert manifest["schemaVersion"] == 2

    server = az.json("acr", "show", "--name", registry)["loginServer"]
    password = az.json("acr", "credential", "show", "--name", registry)["passwords"][0]["value"]
    named = ("--resource-group", group, "--name", "built")
    az.said(
        "container", "create", *named, "--image", f"{server}/hello:v1", "--os-type", "Linux", "--cpu", "0.5",
        "--memory", "0.5", "--restart-policy", "Never", "--registry-login-server", server,
        "--registry-username", registry, "--registry-password", password,
    )  # fmt: skip
    az.eventually(lambda: "built and run by cpython" in az.said("container", "logs", *named))

    az.said(*listed, "untag", "--name", registry, "--image", "hello:new")
    assert az.json(*listed, "show-tags", "--name", registry, "--repository", "hello") == ["v1"]
    az.said(*listed, "delete", "--name", registry, "--image", "hello:v1", "--yes")
    assert "hello" not in az.json(*listed, "list", "--name", registry)


def test_a_build_that_cannot_be_fails_and_says_why(az: Az, registry: str, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM node:9\nRUN make\n", "utf-8")
    failed = az.run("acr", "build", "--registry", registry, "--image", "bad:1", str(context))
    assert failed.code == 1
    assert "FROM node:9" in failed.out
    assert "--runtime docker" in failed.out
    assert "Run failed" in failed.err
    assert az.json("acr", "task", "list-runs", "--registry", registry, "--top", "1")[0]["status"] == "Failed"
    steps = az.run("acr", "run", "--registry", registry, "--cmd", "$Registry/hello:v1", "/dev/null")
    assert steps.code == 1
    assert "several steps" in steps.out


def test_a_task_is_kept_and_run(az: Az, registry: str) -> None:
    named = ("--registry", registry, "--name", "nightly")
    made = az.json("acr", "task", "create", *named, "--cmd", "alpine", "--context", "/dev/null")
    assert (made["status"], made["step"]["type"]) == ("Enabled", "EncodedTask")
    assert [each["name"] for each in az.json("acr", "task", "list", "--registry", registry)] == ["nightly"]
    assert az.json("acr", "task", "update", *named, "--status", "Disabled")["status"] == "Disabled"
    assert "TaskDisabled" in az.refused(1, "acr", "task", "run", *named)
    az.said("acr", "task", "delete", *named, "--yes")
    assert az.json("acr", "task", "list", "--registry", registry) == []


def test_an_image_is_imported_and_a_registry_deleted(az: Az, group: str, registry: str, context: Path) -> None:
    az.said("acr", "build", "--registry", registry, "--image", "moved:1", "--no-logs", str(context))
    az.said("acr", "create", "--resource-group", group, "--name", "clisecond", "--sku", "Premium")
    imports = ("acr", "import", "--name", "clisecond", "--image", "here:1")
    az.said(*imports, "--registry", registry, "--source", "moved:1")
    assert az.json("acr", "repository", "list", "--name", "clisecond") == ["here"]
    elsewhere = az.refused(1, *imports, "--source", "docker.io/library/hello-world:latest", "--force")
    assert "Only emulated registries are reached" in elsewhere
    replica = ("acr", "replication", "create", "--registry", "clisecond", "--location", "westeurope")
    assert az.json(*replica)["provisioningState"] == "Succeeded"
    assert "NotImplemented" in az.refused(
        1, "acr", "webhook", "create", "--registry", "clisecond", "--name", "webhook1",
        "--uri", "http://localhost", "--actions", "push",
    )  # fmt: skip
    az.said("acr", "delete", "--name", "clisecond", "--yes")
    assert "clisecond" not in [each["name"] for each in az.json("acr", "list", "--resource-group", group)]
