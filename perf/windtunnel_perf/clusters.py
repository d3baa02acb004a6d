"""A cluster of a benchmark's own on emulators that run, and clients of its API."""

from __future__ import annotations

import base64
import ssl
import tempfile
import time
from typing import TYPE_CHECKING, Any

import httpx
import yaml

if TYPE_CHECKING:
    from windtunnel_perf.emulators import Emulators

LIMIT_S = 120.0
API = "api-version=2025-10-01"
GROUP = "bench"


def make_cluster(client: httpx.Client, emulators: Emulators, *, nodes: int, size: str = "Standard_D8s_v3") -> str:
    """The kubeconfig of a new cluster that is ready, as text."""
    scope = f"/subscriptions/{emulators.subscription}/resourceGroups/{GROUP}"
    client.put(f"{scope}?api-version=2022-09-01", json={"location": "westus2"}).raise_for_status()
    path = f"{scope}/providers/Microsoft.ContainerService/managedClusters/bench"
    pool = {"name": "agentpool", "mode": "System", "count": nodes, "vmSize": size}
    properties = {"dnsPrefix": "bench", "agentPoolProfiles": [pool]}
    body = {"location": "westus2", "identity": {"type": "SystemAssigned"}, "properties": properties}
    client.put(f"{path}?{API}", json=body).raise_for_status()
    end = time.monotonic() + LIMIT_S
    while (state := client.get(f"{path}?{API}").json()["properties"]["provisioningState"]) != "Succeeded":
        assert state != "Failed", "the cluster failed"
        assert time.monotonic() < end, f"the cluster is {state} after {LIMIT_S:g} s"
        time.sleep(0.01)
    found = client.post(f"{path}/listClusterAdminCredential?{API}").raise_for_status().json()
    return base64.b64decode(found["kubeconfigs"][0]["value"]).decode()


def api_client(kubeconfig: str) -> httpx.Client:
    """A client of the cluster's API, as its administrator."""
    found: Any = yaml.safe_load(kubeconfig)
    cluster, user = found["clusters"][0]["cluster"], found["users"][0]["user"]
    tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile(suffix=".pem") as pair:
        pair.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        pair.flush()
        tls.load_cert_chain(pair.name)
    return httpx.Client(base_url=cluster["server"], verify=tls, timeout=LIMIT_S, trust_env=False)
