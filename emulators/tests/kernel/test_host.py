"""The real process: its ready file, its signals, its second start, and what a kill leaves."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Start = Callable[..., "Emulators"]

LIMIT_S = 30.0


@dataclass
class Emulators:
    """A running process, and a client of it."""

    process: subprocess.Popen[bytes]
    ready_file: Path
    log: Path
    ready: dict[str, Any] = field(default_factory=dict[str, Any])
    token: str = ""

    def wait(self) -> Emulators:
        """Until it is ready."""
        end = time.monotonic() + LIMIT_S
        while not self.ready_file.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.005)
        self.ready = json.loads(self.ready_file.read_text())
        return self

    @property
    def base(self) -> str:
        return str(self.ready["endpoints"]["resourceManager"])

    @property
    def environment(self) -> Mapping[str, str]:
        return dict(self.ready["environment"])

    def request(self, method: str, url: str, body: object = None, **headers: str) -> tuple[int, Any]:
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        tls = ssl.create_default_context(cafile=self.environment["SSL_CERT_FILE"])
        request = urllib.request.Request(url, method=method, data=content, headers=headers)
        try:
            with urllib.request.urlopen(request, context=tls, timeout=LIMIT_S) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read() or b"null")

    def log_in(self) -> None:
        environment = self.environment
        form = {
            "grant_type": "client_credentials",
            "client_id": environment["AZURE_CLIENT_ID"],
            "client_secret": environment["AZURE_CLIENT_SECRET"],
            "scope": f"{self.base}/.default",
        }
        url = f"{environment['AZURE_AUTHORITY_HOST']}/{environment['AZURE_TENANT_ID']}/oauth2/v2.0/token"
        status, answer = self.request("POST", url, urllib.parse.urlencode(form).encode())
        assert status == 200, answer
        self.token = answer["access_token"]

    def arm(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask ARM below the subscription."""
        if not self.token:
            self.log_in()
        url = f"{self.base}/subscriptions/{self.environment['AZURE_SUBSCRIPTION_ID']}{path}?api-version=2022-09-01"
        return self.request(method, url, body, Authorization=f"Bearer {self.token}")

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts emulators on ``tmp_path/state``; they end with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str, state: Path | None = None) -> Emulators:
        number = len(running)
        ready_file, log = tmp_path / f"ready{number}.json", tmp_path / f"log{number}.txt"
        command = [sys.executable, "-m", "windtunnel_emulators", "--port", "0", "--ready-file", str(ready_file)]
        command += ["--state-dir", str(state or tmp_path / "state")]
        with log.open("wb") as stderr:
            process = subprocess.Popen([*command, *arguments], stderr=stderr, stdout=stderr)
        running.append(process)
        return Emulators(process, ready_file, log)

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait(LIMIT_S)


def refused(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "windtunnel_emulators", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def test_the_ready_file_says_where_everything_is(start: Start, tmp_path: Path) -> None:
    emulators = start().wait()
    ready = emulators.ready
    assert ready["pid"] == emulators.process.pid
    assert json.loads((tmp_path / "state" / "ready.json").read_text()) == ready
    assert set(ready["endpoints"]) == {"resourceManager", "authority", "control", "managedIdentity"}
    assert set(ready["environment"]) == {
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
        "AZURE_SUBSCRIPTION_ID",
        "AZURE_AUTHORITY_HOST",
        "ARM_CLOUD_METADATA_URL",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_FILE",
        "AZURE_POD_IDENTITY_AUTHORITY_HOST",
        "WINDTUNNEL_STATE_DIR",
    }
    status, health = emulators.request("GET", ready["endpoints"]["control"] + "/health")
    assert (status, health["status"], health["pid"]) == (200, "ok", emulators.process.pid)
    status, clouds = emulators.request("GET", emulators.environment["ARM_CLOUD_METADATA_URL"])
    assert (status, clouds[0]["resourceManager"]) == (200, f"{emulators.base}/")
    status, found = emulators.arm("GET", "/providers")
    assert status == 200
    assert {one["namespace"] for one in found["value"]} == {
        "Microsoft.Resources",
        "Microsoft.ContainerInstance",
        "Microsoft.ContainerRegistry",
        "Microsoft.ContainerService",
        "Microsoft.Devices",
        "Microsoft.Storage",
    }
    identity = ready["endpoints"]["managedIdentity"] + "/metadata/identity/oauth2/token"
    query = "?api-version=2018-02-01&resource=https://management.azure.com/"
    status, token = emulators.request("GET", identity + query, Metadata="true")
    assert (status, token["token_type"]) == (200, "Bearer")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_quickly_though_a_client_holds_on(start: Start, tmp_path: Path, number: int) -> None:
    emulators = start().wait()
    tls = ssl.create_default_context(cafile=emulators.environment["SSL_CERT_FILE"])
    port = int(emulators.base.rpartition(":")[2])
    plain = socket.create_connection(("127.0.0.1", port))
    with tls.wrap_socket(plain, server_hostname="localhost") as client:
        client.sendall(b"GET /_windtunnel/health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        started = time.monotonic()
        assert emulators.end(number) == 0
        assert time.monotonic() - started < 3
    assert not emulators.ready_file.exists()
    assert not (tmp_path / "state" / "ready.json").exists()
    assert "Traceback" not in emulators.log.read_text()


def test_a_second_start_on_the_same_state_names_the_first(start: Start, tmp_path: Path) -> None:
    first = start().wait()
    second = start()
    assert second.process.wait(LIMIT_S) == 3
    said = second.log.read_text()
    assert f"running already on the state folder {tmp_path / 'state'}, as process {first.process.pid}" in said
    assert "Traceback" not in said
    assert first.request("GET", first.ready["endpoints"]["control"] + "/health")[0] == 200


def test_any_number_run_side_by_side(start: Start, tmp_path: Path) -> None:
    several = [start(state=tmp_path / f"state{n}") for n in range(3)]
    ports = {emulators.wait().base for emulators in several}
    assert len(ports) == 3


def test_a_port_that_is_taken_is_a_sentence(start: Start, tmp_path: Path) -> None:
    port = start().wait().base.rpartition(":")[2]
    second = refused("--state-dir", str(tmp_path / "other"), "--port", port)
    assert second.returncode == 1
    assert f"port {port} of 127.0.0.1, asked for as front door, is in use" in second.stderr
    assert "Traceback" not in second.stderr
    assert not (tmp_path / "other" / "ready.json").exists()


def test_a_kill_loses_nothing_and_the_next_process_is_at_the_same_port(start: Start) -> None:
    first = start().wait()
    first.log_in()
    token = first.token
    assert first.arm("PUT", "/resourceGroups/kept", {"location": "westus2", "tags": {"a": "b"}})[0] == 201
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    second = start().wait()
    second.token = token  # it holds: the signing key outlives the process too
    assert second.base == first.base
    assert second.environment == first.environment
    status, group = second.arm("GET", "/resourceGroups/kept")
    assert (status, group["tags"]) == (200, {"a": "b"})


def test_an_ephemeral_process_keeps_nothing(start: Start, tmp_path: Path) -> None:
    first = start("--ephemeral").wait()
    assert first.arm("PUT", "/resourceGroups/gone", {"location": "westus2"})[0] == 201
    assert first.end() == 0
    assert {file.name for file in (tmp_path / "state").iterdir()} == {"lock"}
    second = start("--ephemeral").wait()
    assert second.environment["AZURE_TENANT_ID"] != first.environment["AZURE_TENANT_ID"]
    assert second.arm("GET", "/resourceGroups/gone")[0] == 404


def test_starting_over_empties_everything_and_keeps_the_rest(start: Start) -> None:
    emulators = start().wait()
    assert emulators.arm("PUT", "/resourceGroups/gone", {"location": "westus2"})[0] == 201
    url = emulators.ready["endpoints"]["control"] + "/reset"
    headers = {"Authorization": f"Bearer {emulators.token}", "Content-Type": "application/json"}
    assert emulators.request("POST", url, {"confirm": True}, **headers)[0] == 200
    assert emulators.arm("GET", "/resourceGroups/gone")[0] == 404
    assert emulators.arm("PUT", "/resourceGroups/new", {"location": "westus2"})[0] == 201
    emulators.end(signal.SIGKILL)
    again = start().wait()
    assert again.base == emulators.base


def test_secrets_and_tokens_are_in_no_log(start: Start) -> None:
    emulators = start("--log-level", "debug", "--log-format", "json").wait()
    emulators.arm("PUT", "/resourceGroups/g", {"location": "westus2"})
    emulators.end()
    log = emulators.log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert any(line["message"].startswith("PUT /subscriptions/") for line in lines)
    assert emulators.environment["AZURE_CLIENT_SECRET"] not in log
    assert emulators.token not in log


def test_a_state_of_a_newer_release_is_a_sentence(start: Start, tmp_path: Path) -> None:

    first = start().wait()
    first.end()
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "state.db")) as database:
        database.execute("UPDATE schema_versions SET version = 99 WHERE component = 'arm'")
        database.commit()
    second = start()
    assert second.process.wait(LIMIT_S) == 1
    assert "was written by a newer release (arm is at version 99" in second.log.read_text()
    assert "Traceback" not in second.log.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "many"], "'many' is no port"),
        (["--port", "70000"], "'70000' is no port"),
        (["--pace", "slow"], "pace 'slow' is none of: fast, azure, or a positive number"),
        (["--runtime", "magic"], "invalid choice"),
        (["--unheard-of"], "unrecognized arguments"),
    ],
)
def test_wrong_usage_is_2(arguments: list[str], said: str, tmp_path: Path) -> None:
    answer = refused("--state-dir", str(tmp_path), *arguments)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr


def test_it_is_small_and_does_not_import_what_it_does_not_need(start: Start) -> None:
    emulators = start("--log-level", "error").wait()
    emulators.request("GET", emulators.ready["endpoints"]["control"] + "/health")
    if not os.path.exists(f"/proc/{emulators.process.pid}/status"):
        pytest.skip("memory is read from /proc, which this system has not")
    with open(f"/proc/{emulators.process.pid}/status", encoding="utf-8") as status:
        resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    assert resident < 80 * 1024
    with open(f"/proc/{emulators.process.pid}/maps", encoding="utf-8") as maps:
        mapped = maps.read()
    assert not any(f"/{package}/" in mapped for package in ("onnxruntime", "numpy", "pydantic_core"))
