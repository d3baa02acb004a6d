"""The control API of the running emulators, over TLS: faults that an SDK meets, a reset, and no secret in the logs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests
from azure.core.exceptions import HttpResponseError, ServiceResponseError
from azure.identity import ClientSecretCredential
from azure.mgmt.resource.resources import ResourceManagementClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Running:
    """A process of the emulators, and what its ready file says."""

    environment: dict[str, str]
    base: str
    control: str
    log: Path

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, **options: Any) -> requests.Response:
        """A call of the control API with the application's credentials."""
        options.setdefault("auth", (self.environment["AZURE_CLIENT_ID"], self.environment["AZURE_CLIENT_SECRET"]))
        return requests.request(
            method, self.control + path, json=body, verify=self.environment["REQUESTS_CA_BUNDLE"], timeout=20, **options
        )

    def resource_manager(self, **options: int) -> Any:
        """Microsoft's client of the resource manager."""
        environment, bundle = self.environment, self.environment["REQUESTS_CA_BUNDLE"]
        credential = ClientSecretCredential(
            environment["AZURE_TENANT_ID"],
            environment["AZURE_CLIENT_ID"],
            environment["AZURE_CLIENT_SECRET"],
            authority=environment["AZURE_AUTHORITY_HOST"],
            disable_instance_discovery=True,
            connection_verify=bundle,
        )
        kind: Any = ResourceManagementClient
        return kind(
            credential,
            environment["AZURE_SUBSCRIPTION_ID"],
            base_url=self.base,
            credential_scopes=[f"{self.base}/.default"],
            connection_verify=bundle,
            **options,
        )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("wire-control")
    ready, log = folder / "ready.json", folder / "log"
    command = [sys.executable, "-m", "windtunnel_emulators", "--port", "0", "--ephemeral"]
    command += ["--state-dir", str(folder / "state"), "--ready-file", str(ready)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        end = time.monotonic() + DEADLINE_S
        while not ready.exists():
            assert process.poll() is None, log.read_text("utf-8", "replace")
            assert time.monotonic() < end, log.read_text("utf-8", "replace")
            time.sleep(0.02)
        said = json.loads(ready.read_text("utf-8"))
        yield Running(
            environment=said["environment"],
            base=said["endpoints"]["resourceManager"],
            control=said["endpoints"]["control"],
            log=log,
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_S)


@pytest.fixture
def emulators(running: Running) -> Iterator[Running]:
    yield running
    assert running.call("DELETE", "/faults").status_code == 200


def test_an_sdk_gets_over_a_throttled_request(emulators: Running) -> None:
    order = {"path": "/resourcegroups/", "method": "GET", "status": 429, "code": "TooManyRequests", "times": 1}
    assert emulators.call("POST", "/faults", order).status_code == 201
    with emulators.resource_manager(retry_backoff_factor=0) as client:
        client.resource_groups.create_or_update("throttled", {"location": "westus"})
        assert client.resource_groups.get("throttled").name == "throttled"
    (rule,) = emulators.call("GET", "/faults").json()["value"]
    assert rule["used"] == 1


def test_an_sdk_meets_an_ordered_failure_and_a_closed_connection(emulators: Running) -> None:
    with emulators.resource_manager(retry_total=0) as client:
        emulators.call("POST", "/faults", {"path": "/resourcegroups", "status": 503, "code": "Maintenance"})
        with pytest.raises(HttpResponseError) as failed:
            client.resource_groups.get("any")
        assert (failed.value.status_code, failed.value.error and failed.value.error.code) == (503, "Maintenance")
        emulators.call("DELETE", "/faults")
        emulators.call("POST", "/faults", {"path": "/resourcegroups", "abort": True})
        with pytest.raises(ServiceResponseError):
            client.resource_groups.get("any")


def test_a_rule_cannot_shut_the_control_api_itself(emulators: Running) -> None:
    emulators.call("POST", "/faults", {"path": ".*", "abort": True})
    assert emulators.call("GET", "/clock").status_code == 200


def test_a_reset_empties_the_resource_manager(emulators: Running) -> None:
    with emulators.resource_manager(retry_total=0) as client:
        client.resource_groups.create_or_update("doomed", {"location": "westus"})
        assert emulators.call("POST", "/reset", {}).status_code == 400
        assert client.resource_groups.check_existence("doomed")
        assert emulators.call("POST", "/reset", {"confirm": True}).json() == {"reset": True}
        assert not client.resource_groups.check_existence("doomed")
        client.resource_groups.create_or_update("after", {"location": "westus"})


def test_state_is_told_to_those_who_know_the_secret(emulators: Running) -> None:
    assert emulators.call("GET", "/health", auth=None).json()["status"] == "ok"
    assert emulators.call("GET", "/runtime", auth=None).status_code == 401
    assert set(emulators.call("GET", "/runtime").json()["limits"]) >= {"memory", "cpu"}
    with emulators.resource_manager() as client:
        client.resource_groups.create_or_update("told", {"location": "westus"})
        client.resource_groups.begin_delete("told", polling=False)
    operations = emulators.call("GET", "/operations").json()["value"]
    assert [one["verb"] for one in operations if one["target"].endswith("/resourceGroups/told")] == ["delete"]


def test_neither_secrets_nor_tokens_are_in_the_logs(emulators: Running) -> None:
    with emulators.resource_manager() as client:
        list(client.resource_groups.list())
    lines = emulators.call("GET", "/logs?lines=1000").json()["lines"]
    assert any("/oauth2/v2.0/token 200" in line for line in lines)
    everything = "\n".join(lines) + emulators.log.read_text("utf-8", "replace")
    assert emulators.environment["AZURE_CLIENT_SECRET"] not in everything
    assert "eyJ" not in everything
