"""Emulators as a process of their own, with a cluster on one of the engines, for whatever speaks to Kubernetes.

Not a conftest: scripts use it too.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

READY_S = 30.0
CLUSTER_S = 600.0
CLUSTERS = "2025-10-01"
GROUPS = "2022-09-01"
GROUP = "flights"


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulators:
    """Emulators that are ready."""

    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    base: str

    def token(self) -> str:
        """Of the emulators' own application."""
        environment = self.environment
        form = {
            "grant_type": "client_credentials",
            "client_id": environment["AZURE_CLIENT_ID"],
            "client_secret": environment["AZURE_CLIENT_SECRET"],
            "scope": f"{self.base}/.default",
        }
        url = f"{environment['AZURE_AUTHORITY_HOST']}/{environment['AZURE_TENANT_ID']}/oauth2/v2.0/token"
        with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), context=self._tls) as answer:
            found: str = json.load(answer)["access_token"]
        return found

    @property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.environment["REQUESTS_CA_BUNDLE"])

    def arm(self, method: str, path: str, body: object = None, *, version: str) -> Any:
        """What ARM answers below the subscription. Raises ``urllib.error.HTTPError``."""
        url = f"{self.base}/subscriptions/{self.environment['AZURE_SUBSCRIPTION_ID']}{path}?api-version={version}"
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token()}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(request, context=self._tls) as answer:
            content = answer.read()
        return json.loads(content) if content else None


@contextmanager
def launched(folder: Path, *, engine: str, more: Sequence[str] = ()) -> Generator[Emulators]:
    """Emulators whose state is below ``folder``; ended at the end. ``engine``: embedded, binaries or kind."""
    ready_file, log_file = folder / "told.json", folder / "emulators.log"
    ready_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "windtunnel_emulators", "--port", "0", "--state-dir", str(folder / "state")]
    command += ["--ready-file", str(ready_file), "--kubernetes", engine, *more]
    with log_file.open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            end = time.monotonic() + READY_S
            while not ready_file.exists():
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"the emulators did not start: {log_file.read_text('utf-8', 'replace')[-3000:]}")
                time.sleep(0.02)
            ready = json.loads(ready_file.read_text("utf-8"))
            yield Emulators(
                process=process,
                environment={**os.environ, **ready["environment"]},
                base=ready["endpoints"]["resourceManager"].rstrip("/"),
            )
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def cluster_of(emulators: Emulators, folder: Path, *, nodes: int, size: str = "Standard_D4s_v3") -> Path:
    """Make a cluster through ARM; returns the file with its administrator's kubeconfig."""
    name = "glider"
    emulators.arm("PUT", f"/resourceGroups/{GROUP}", {"location": "westeurope"}, version=GROUPS)
    path = f"/resourceGroups/{GROUP}/providers/Microsoft.ContainerService/managedClusters/{name}"
    pool = {"name": "agentpool", "mode": "System", "count": nodes, "vmSize": size}
    body = {
        "location": "westeurope",
        "identity": {"type": "SystemAssigned"},
        "properties": {"dnsPrefix": name, "agentPoolProfiles": [pool]},
    }
    emulators.arm("PUT", path, body, version=CLUSTERS)
    end = time.monotonic() + CLUSTER_S
    while (state := emulators.arm("GET", path, version=CLUSTERS)["properties"]["provisioningState"]) != "Succeeded":
        if state in ("Failed", "Canceled") or time.monotonic() > end:
            raise RuntimeError(f"the cluster is in the state {state}")
        time.sleep(0.05)
    import base64

    found = emulators.arm("POST", f"{path}/listClusterAdminCredential", {}, version=CLUSTERS)
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_bytes(base64.b64decode(found["kubeconfigs"][0]["value"]))
    return kubeconfig
