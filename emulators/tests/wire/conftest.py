"""Emulators as a process of their own, and Microsoft's clients of it. Tests start it by the fixture ``launch``."""

from __future__ import annotations

import gc
import json
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import pytest
from azure.identity import ClientSecretCredential

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    Launch = Callable[[Path], AbstractContextManager["Launched"]]

C = TypeVar("C")
_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """Emulators that are ready."""

    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    base: str
    credential: ClientSecretCredential

    @property
    def bundle(self) -> str:
        """The authorities that a client has to trust."""
        return self.environment["REQUESTS_CA_BUNDLE"]

    def client(self, kind: Callable[..., C]) -> C:
        """An SDK's client: the endpoint, its certificate authority and the scope differ from Azure, nothing else."""
        return kind(
            self.credential,
            self.environment["AZURE_SUBSCRIPTION_ID"],
            base_url=self.base,
            credential_scopes=[f"{self.base}/.default"],
            connection_verify=self.bundle,
        )

    def http(self, **options: Any) -> httpx.Client:
        return httpx.Client(verify=ssl.create_default_context(cafile=self.bundle), **options)

    def arm(self, method: str, path: str, body: object = None, *, version: str) -> Any:
        """What ARM answers to a request below the subscription."""
        token = self.credential.get_token(f"{self.base}/.default").token
        url = f"{self.base}/subscriptions/{self.environment['AZURE_SUBSCRIPTION_ID']}{path}"
        with self.http(headers={"Authorization": f"Bearer {token}"}) as client:
            answer = client.request(method, url, params={"api-version": version}, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


@contextmanager
def _launched(folder: Path) -> Generator[Launched]:
    ready_file = folder / "told.json"
    ready_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "windtunnel_emulators", "--port", "0", "--state-dir", str(folder / "state")]
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen([*command, "--ready-file", str(ready_file)], stdout=log, stderr=log)
        try:
            end = time.monotonic() + _DEADLINE_S
            while not ready_file.exists():
                said = (folder / "log.txt").read_text("utf-8", "replace")
                assert process.poll() is None, said
                assert time.monotonic() < end, said
                time.sleep(0.02)
            ready = json.loads(ready_file.read_text("utf-8"))
            environment = ready["environment"]
            yield Launched(
                process=process,
                environment=environment,
                base=ready["endpoints"]["resourceManager"],
                credential=ClientSecretCredential(
                    environment["AZURE_TENANT_ID"],
                    environment["AZURE_CLIENT_ID"],
                    environment["AZURE_CLIENT_SECRET"],
                    authority=environment["AZURE_AUTHORITY_HOST"],
                    disable_instance_discovery=True,
                    connection_verify=environment["REQUESTS_CA_BUNDLE"],
                ),
            )
        finally:
            process.terminate()
            process.wait(timeout=_DEADLINE_S)


@pytest.fixture
def collected() -> Iterator[None]:
    """What clients leave is collected with the test that it is of."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def launch() -> Launch:
    """Start the emulators on a folder: ``with launch(folder) as launched``. They may be killed meanwhile."""
    return _launched
