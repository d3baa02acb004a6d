"""Runs: queued, carried out, cancelled, timed out, begun anew after a crash; with builds that do what the test says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from windtunnel_emulators.providers.container_registry.running import RunFailed
from windtunnel_emulators.providers.container_registry.service import RegistryService

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.registry.conftest import Cloud, Oci
    from windtunnel_emulators.providers.container_registry.logs import LogWriter
    from windtunnel_emulators.providers.container_registry.plans import Plan

VERSION = "2025-03-01-preview"
DIGEST = "sha256:" + "ab" * 32


class StagedService(RegistryService):
    """A build says hello, and then does what its Dockerfile's name says: ``ok``, ``fail``, ``break``, ``hang``."""

    builds: ClassVar[list[Plan]]
    """Of all processes of one test."""

    async def build(
        self,
        *,
        context: Path,
        plan: Plan,
        images: Sequence[str],
        servers: Sequence[str],
        log: LogWriter,
        registry: str,
        work: Path,
    ) -> str:
        self.builds.append(plan)
        assert context.is_file()
        assert work.is_dir()
        log.line(f"building {', '.join(images)}")
        if plan.dockerfile == "fail":
            raise RunFailed("line 3: no such instruction")
        if plan.dockerfile == "break":
            raise ZeroDivisionError
        if plan.dockerfile == "hang":
            await asyncio.Event().wait()
        return DIGEST


@pytest.fixture
def service_class() -> type[RegistryService]:
    class OneTest(StagedService):
        builds: ClassVar[list[Plan]] = []

    return OneTest


async def upload(cloud: Cloud, content: bytes = b"a tar") -> str:
    """A build context; returns its relative path."""
    found = (await cloud.call("POST", "registries/registry1/listBuildSourceUploadUrl", version=VERSION)).json()
    answer = await cloud.client.put(found["uploadUrl"], content=content, headers={"x-ms-blob-type": "BlockBlob"})
    assert answer.status_code == 201, answer.text
    path: str = found["relativePath"]
    return path


def request(source: str, dockerfile: str = "ok", **more: object) -> dict[str, Any]:
    return {
        "type": "DockerBuildRequest",
        "imageNames": ["hello:v1"],
        "isPushEnabled": True,
        "sourceLocation": source,
        "platform": {"os": "Linux", "architecture": "amd64"},
        "dockerFilePath": dockerfile,
        **more,
    }


async def schedule(cloud: Cloud, body: dict[str, Any]) -> dict[str, Any]:
    answer = await cloud.call("POST", "registries/registry1/scheduleRun", body, version=VERSION)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def properties_of(cloud: Cloud, run: str) -> dict[str, Any]:
    answer = await cloud.call("GET", f"registries/registry1/runs/{run}", version=VERSION)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["properties"]
    return found


async def log_of(cloud: Cloud, run: str) -> tuple[str, str | None]:
    """The log, and the word that says it is complete."""
    link = (await cloud.call("POST", f"registries/registry1/runs/{run}/listLogSasUrl", version=VERSION)).json()
    answer = await cloud.client.get(link["logLink"])
    assert answer.status_code == 200
    return answer.text, answer.headers.get("x-ms-meta-complete")


async def test_a_run_is_queued_and_succeeds(cloud: Cloud) -> None:
    await cloud.create()
    queued = await schedule(cloud, request(await upload(cloud)))
    assert (queued["name"], queued["type"]) == ("cf1", "Microsoft.ContainerRegistry/registries/runs")
    assert queued["properties"]["status"] == "Queued"
    assert queued["properties"]["provisioningState"] == "Succeeded"
    await cloud.settled()
    found = await properties_of(cloud, "cf1")
    assert (found["status"], found["runType"]) == ("Succeeded", "QuickBuild")
    assert found["outputImages"] == [
        {"registry": "localhost:5000", "repository": "hello", "tag": "v1", "digest": DIGEST}
    ]
    assert set(found) >= {"createTime", "startTime", "finishTime", "lastUpdatedTime", "platform", "agentConfiguration"}
    assert "runErrorMessage" not in found
    log, complete = await log_of(cloud, "cf1")
    assert complete == "successful"
    assert "building hello:v1\r\n" in log
    assert log.endswith("Run ID: cf1 was successful after 0s\r\n")
    assert (await schedule(cloud, request("x")))["name"] == "cf2"


@pytest.mark.parametrize(
    ("dockerfile", "status", "complete", "message"),
    [
        ("fail", "Failed", "failed", "line 3: no such instruction"),
        ("break", "Error", "internalerror", "the emulators' log has the reason"),
    ],
)
async def test_a_run_that_fails_says_why(
    cloud: Cloud, dockerfile: str, status: str, complete: str, message: str
) -> None:
    await cloud.create()
    await schedule(cloud, request(await upload(cloud), dockerfile))
    await cloud.settled()
    found = await properties_of(cloud, "cf1")
    assert found["status"] == status
    assert message in found["runErrorMessage"]
    assert "outputImages" not in found
    log, word = await log_of(cloud, "cf1")
    assert word == complete
    assert message in log


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sourceLocation": "https://github.com/Azure-Samples/acr-build-helloworld-node.git"}, "promise no network"),
        ({"sourceLocation": "source/" + "0" * 32 + "/source.tar.gz"}, "nothing was uploaded there"),
        ({"sourceLocation": "../../../etc/passwd"}, "nothing was uploaded there"),
        ({"sourceLocation": None}, "the context (none)"),
        ({"platform": {"os": "Windows"}}, "images for Windows"),
        ({"imageNames": ["other.azurecr.io/hello:v1"]}, "is for registry other.azurecr.io"),
        ({"imageNames": ["Hello:v1"]}, "invalid repository name"),
        ({"imageNames": ["hello:-"]}, "is not a tag"),
        (
            {"type": "EncodedTaskRunRequest", "encodedTaskContent": "dmVyc2lvbjogdjEuMS4wCg=="},
            "tasks of several steps",
        ),
        ({"type": "FileTaskRunRequest", "taskFilePath": "acb.yaml"}, "tasks of several steps"),
    ],
)
async def test_what_cannot_be_built_here_fails_with_a_sentence(
    cloud: Cloud, change: dict[str, Any], sentence: str
) -> None:
    await cloud.create()
    await schedule(cloud, {**request(await upload(cloud)), **change})
    await cloud.settled()
    found = await properties_of(cloud, "cf1")
    assert found["status"] == "Failed"
    assert sentence in found["runErrorMessage"]
    assert found["runErrorMessage"] in (await log_of(cloud, "cf1"))[0].replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"type": "Magic"}, (400, "InvalidParameter")),
        ({"type": None}, (400, "InvalidRequestContent")),
        ({"dockerFilePath": None}, (400, "MissingParameter")),
        ({"platform": None}, (400, "MissingParameter")),
        ({"timeout": 1}, (400, "InvalidTimeout")),
        ({"timeout": 10**9}, (400, "InvalidTimeout")),
        ({"imageNames": "hello:v1"}, (400, "InvalidRequestContent")),
        ({"agentPoolName": "pool"}, (501, "NotImplemented")),
        ({"logTemplate": "logs:{{.Run.ID}}"}, (501, "NotImplemented")),
        ({"type": "TaskRunRequest", "taskId": "/subscriptions/x"}, (404, "TaskNotFound")),
        ({"type": "EncodedTaskRunRequest"}, (400, "MissingParameter")),
    ],
)
async def test_what_is_not_even_queued(
    cloud: Cloud, oci: Oci, change: dict[str, Any], expected: tuple[int, str]
) -> None:
    await cloud.create()
    body = {**request("x"), **change}
    answer = await cloud.call("POST", "registries/registry1/scheduleRun", body, version=VERSION)
    assert oci.refusal(answer) == expected
    assert (await cloud.call("GET", "registries/registry1/runs", version=VERSION)).json() == {"value": []}


async def test_a_run_is_cancelled(cloud: Cloud, oci: Oci) -> None:
    await cloud.create()
    await schedule(cloud, request(await upload(cloud), "hang"))
    await cloud.eventually(lambda: len(builds(cloud)) == 1)
    assert (await properties_of(cloud, "cf1"))["status"] == "Running"
    log, complete = await log_of(cloud, "cf1")
    assert ("building hello:v1\r\n" in log, complete) == (True, None)
    path = "registries/registry1/runs/cf1/cancel"
    assert (await cloud.call("POST", path, version=VERSION)).status_code == 200
    await cloud.settled()
    assert (await properties_of(cloud, "cf1"))["status"] == "Canceled"
    assert (await log_of(cloud, "cf1"))[1] == "canceled"
    assert oci.refusal(await cloud.call("POST", path, version=VERSION)) == (409, "RunCompleted")


async def test_a_cancellation_outlives_a_crash(cloud: Cloud) -> None:
    await cloud.create()
    await schedule(cloud, request(await upload(cloud), "hang"))
    await cloud.eventually(lambda: len(builds(cloud)) == 1)
    cloud.service.cancel_soon = lambda run: None  # type: ignore[method-assign]  # the crash comes first
    await cloud.call("POST", "registries/registry1/runs/cf1/cancel", version=VERSION)
    await cloud.restart()
    await cloud.settled()
    assert (await properties_of(cloud, "cf1"))["status"] == "Canceled"


async def test_a_run_ends_at_its_timeout(cloud: Cloud) -> None:
    await cloud.create()
    await schedule(cloud, request(await upload(cloud), "hang", timeout=300))
    await cloud.eventually(lambda: len(builds(cloud)) == 1)
    await cloud.clock.advance(299)
    assert (await properties_of(cloud, "cf1"))["status"] == "Running"
    await cloud.clock.advance(2)
    await cloud.settled()
    found = await properties_of(cloud, "cf1")
    assert (found["status"], found["runErrorMessage"]) == (
        "Timeout",
        "The run did not end within its timeout of 300 s.",
    )
    assert (await log_of(cloud, "cf1"))[1] == "timedout"


async def test_a_run_in_progress_begins_anew_after_a_crash(cloud: Cloud) -> None:
    await cloud.create()
    await schedule(cloud, request(await upload(cloud), "hang"))
    await cloud.eventually(lambda: len(builds(cloud)) == 1)
    await cloud.restart()
    await cloud.eventually(lambda: len(builds(cloud)) == 2)
    log, complete = await log_of(cloud, "cf1")
    assert (log.count("building hello:v1"), complete) == (1, None)
    await cloud.call("POST", "registries/registry1/runs/cf1/cancel", version=VERSION)
    await cloud.settled()


async def test_two_builds_run_at_a_time_and_the_rest_wait(cloud: Cloud) -> None:
    await cloud.create()
    source = await upload(cloud)
    for _ in range(3):
        await schedule(cloud, request(source, "hang"))
    await cloud.eventually(lambda: len(builds(cloud)) == 2)
    assert (await properties_of(cloud, "cf3"))["status"] == "Queued"
    await cloud.call("POST", "registries/registry1/runs/cf1/cancel", version=VERSION)
    await cloud.eventually(lambda: len(builds(cloud)) == 3)
    for run in ("cf2", "cf3"):
        await cloud.call("POST", f"registries/registry1/runs/{run}/cancel", version=VERSION)
    await cloud.settled()


async def test_a_queued_run_is_cancelled_without_being_built(cloud: Cloud) -> None:
    await cloud.create()
    source = await upload(cloud)
    for _ in range(3):
        await schedule(cloud, request(source, "hang"))
    await cloud.eventually(lambda: len(builds(cloud)) == 2)
    for run in ("cf3", "cf2", "cf1"):
        await cloud.call("POST", f"registries/registry1/runs/{run}/cancel", version=VERSION)
    await cloud.settled()
    assert (await properties_of(cloud, "cf3"))["status"] == "Canceled"


async def test_deleting_the_registry_ends_its_runs(cloud: Cloud, oci: Oci) -> None:
    await cloud.create()
    await schedule(cloud, request(await upload(cloud), "hang"))
    await cloud.eventually(lambda: len(builds(cloud)) == 1)
    await cloud.call("DELETE", "registries/registry1")
    await cloud.settled()
    assert not list((cloud.service.folder / "work").iterdir())
    assert not list((cloud.service.folder / "logs").iterdir())


async def test_a_task_is_run_with_what_overrides_it(cloud: Cloud, oci: Oci) -> None:
    await cloud.create()
    step = {
        "type": "Docker",
        "dockerFilePath": "ok",
        "imageNames": ["{{.Run.Registry}}/hello:{{.Run.ID}}", "localhost:5000/again"],
        "arguments": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}],
    }
    body = {"location": "westus", "properties": {"platform": {"os": "Linux"}, "step": step, "timeout": 600}}
    await cloud.call("PUT", "registries/registry1/tasks/build", body, version=VERSION)
    override = {"contextPath": await upload(cloud), "arguments": [{"name": "b", "value": "3", "isSecret": True}]}
    task = f"{cloud.registry_id('REGISTRY1')}/tasks/build"
    scheduled = {"type": "TaskRunRequest", "taskId": task, "overrideTaskStepProperties": override}
    await schedule(cloud, scheduled)
    await cloud.settled()
    found = await properties_of(cloud, "cf1")
    assert (found["status"], found["task"], found["runType"]) == ("Succeeded", "build", "QuickRun")
    images = [(image["repository"], image["tag"]) for image in found["outputImages"]]
    assert images == [("hello", "cf1"), ("again", "latest")]
    (plan,) = builds(cloud)
    assert plan.arguments == (("a", "1", False), ("b", "3", True))
    assert plan.timeout == 600
    await cloud.call("PATCH", "registries/registry1/tasks/build", {"properties": {"status": "Disabled"}})
    answer = await cloud.call("POST", "registries/registry1/scheduleRun", scheduled, version=VERSION)
    assert oci.refusal(answer) == (409, "TaskDisabled")


async def test_runs_are_listed_newest_first_and_filtered(cloud: Cloud, oci: Oci) -> None:
    await cloud.create()
    source = await upload(cloud)
    for number in range(12):
        await schedule(cloud, request(source, "fail" if number % 2 else "ok"))
    await cloud.settled()
    path = "registries/registry1/runs"

    async def names(**query: str) -> list[str]:
        found = (await cloud.call("GET", path, version=VERSION, **query)).json()["value"]
        return [run["name"] for run in found]

    assert await names() == [f"cf{number}" for number in range(12, 0, -1)]
    assert await names(top="2") == ["cf12", "cf11"]
    assert await names(filter="Status eq 'Succeeded'", top="2") == ["cf11", "cf9"]
    assert await names(filter="contains(OutputImageManifests, 'hello:v1') and RunId ne 'cf11'", top="1") == ["cf9"]
    refused = await cloud.call("GET", path, version=VERSION, filter="Colour eq 'red'")
    assert oci.refusal(refused) == (400, "InvalidFilter")


async def test_a_run_is_archived(cloud: Cloud) -> None:
    await cloud.create()
    await schedule(cloud, request(await upload(cloud)))
    await cloud.settled()
    answer = await cloud.call("PATCH", "registries/registry1/runs/cf1", {"isArchiveEnabled": True}, version=VERSION)
    assert answer.json()["properties"]["isArchiveEnabled"] is True
    assert answer.json()["properties"]["status"] == "Succeeded"


async def test_secrets_of_a_request_are_in_no_answer(cloud: Cloud) -> None:
    await cloud.create()
    argument = {"name": "TOKEN", "value": "hush", "isSecret": True}
    body = request(await upload(cloud), arguments=[argument])
    queued = await cloud.call("POST", "registries/registry1/scheduleRun", body, version=VERSION)
    await cloud.settled()
    shown = queued.text + (await cloud.call("GET", "registries/registry1/runs/cf1", version=VERSION)).text
    assert "hush" not in shown


def builds(cloud: Cloud) -> list[Plan]:
    assert isinstance(cloud.service, StagedService)
    return cloud.service.builds
