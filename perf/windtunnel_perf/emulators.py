"""Emulators of a benchmark's own: started, ready, with a token, and ended with the benchmark."""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import httpx

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

LIMIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulators:
    """A running process and what is needed to talk to it."""

    pid: int
    port: int
    token: str
    subscription: str
    environment: Mapping[str, str]
    tls: ssl.SSLContext

    @property
    def base_url(self) -> str:
        return f"https://localhost:{self.port}"

    def client(self) -> httpx.Client:
        """Authorised, trusting the local authority."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.base_url, verify=self.tls, headers=headers, timeout=LIMIT_S)


@contextlib.contextmanager
def running(state: Path, *options: str, prefix: Sequence[str] = ()) -> Generator[Emulators]:
    """Raises ``RuntimeError`` with the end of their log when they do not come up. ``prefix`` as in ``taskset -c 0``."""
    ready, log = state.with_suffix(".ready"), state.with_suffix(".log")
    ready.unlink(missing_ok=True)
    command = [*prefix, sys.executable, "-m", "windtunnel_emulators", "--port", "0", *options]
    command += ["--state-dir", str(state), "--ready-file", str(ready)]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            end = time.monotonic() + LIMIT_S
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"the emulators did not come up:\n{log.read_text('utf-8')[-2000:]}")
                time.sleep(0.01)
            yield _connect(json.loads(ready.read_text("utf-8")))
        finally:
            process.terminate()


def token(running: Emulators, audience: str = "https://iothubs.azure.net") -> str:
    """For another audience than Resource Manager's; default: the service API of IoT hubs."""
    environment = running.environment
    answer = httpx.post(
        f"{environment['AZURE_AUTHORITY_HOST'].rstrip('/')}/{environment['AZURE_TENANT_ID']}/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials",
            "client_id": environment["AZURE_CLIENT_ID"],
            "client_secret": environment["AZURE_CLIENT_SECRET"],
            "scope": f"{audience}/.default",
        },
        verify=running.tls,
    ).raise_for_status()
    return str(answer.json()["access_token"])


def _connect(ready: Mapping[str, object]) -> Emulators:
    environment = cast("Mapping[str, str]", ready["environment"])
    endpoints = cast("Mapping[str, str]", ready["endpoints"])
    base = endpoints["resourceManager"].rstrip("/")
    tls = ssl.create_default_context(cafile=environment["REQUESTS_CA_BUNDLE"])
    answer = httpx.post(
        f"{environment['AZURE_AUTHORITY_HOST'].rstrip('/')}/{environment['AZURE_TENANT_ID']}/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials",
            "client_id": environment["AZURE_CLIENT_ID"],
            "client_secret": environment["AZURE_CLIENT_SECRET"],
            "scope": f"{base}/.default",
        },
        verify=tls,
    ).raise_for_status()
    return Emulators(
        pid=cast("int", ready["pid"]),
        port=int(base.rpartition(":")[2]),
        token=cast("str", answer.json()["access_token"]),
        subscription=environment["AZURE_SUBSCRIPTION_ID"],
        environment=environment,
        tls=tls,
    )
