"""Clusters by ``az aks``, from creation to deletion; what it changes is seen through the cluster's own API."""

from __future__ import annotations

import json
import shutil
import ssl
from base64 import b64decode
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wire.azure_cli.conftest import Az

pytestmark = pytest.mark.azure_cli

NAME = "glider"


def nodes(kubeconfig: Path) -> dict[str, str]:
    """Releases by node, as the API of a kubeconfig's cluster says, asked with its token."""
    import yaml

    config: dict[str, Any] = yaml.safe_load(kubeconfig.read_text("utf-8"))
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    trust = ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode())
    request = Request(f"{cluster['server']}/api/v1/nodes", headers={"Authorization": f"Bearer {user['token']}"})
    with urlopen(request, context=trust, timeout=10) as answer:
        found = json.load(answer)
    return {node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"] for node in found["items"]}


def test_the_life_of_a_cluster(az: Az, group: str, tmp_path: Path) -> None:
    this = ("--resource-group", group, "--name", NAME)
    pool = ("--resource-group", group, "--cluster-name", NAME)
    offered = az.json("aks", "get-versions", "--location", "westus")["values"]
    assert [one["version"] for one in offered if one.get("isDefault")]

    small = ("--node-count", "1", "--node-vm-size", "Standard_D2_v2", "--no-ssh-key")
    made = az.json("aks", "create", *this, *small, "--kubernetes-version", "1.33")
    assert made["provisioningState"] == "Succeeded"
    assert az.json("aks", "show", *this)["fqdn"] == made["fqdn"]
    assert az.json("group", "show", "--name", made["nodeResourceGroup"])["managedBy"]

    kubeconfig = tmp_path / "kubeconfig"
    az.said("aks", "get-credentials", *this, "--file", str(kubeconfig))
    assert list(nodes(kubeconfig).values()) == ["v1.33.7"]
    admin = tmp_path / "admin"
    az.said("aks", "get-credentials", *this, "--admin", "--file", str(admin))
    assert f"clusterAdmin_{group}_{NAME}" in admin.read_text("utf-8")

    az.said("aks", "scale", *this, "--node-count", "2")
    assert len(nodes(kubeconfig)) == 2
    az.said("aks", "nodepool", "add", *pool, "--name", "batch", "--node-count", "1", "--mode", "User", *small[2:4])
    az.said("aks", "nodepool", "scale", *pool, "--name", "batch", "--node-count", "3")
    assert len(nodes(kubeconfig)) == 5
    listed = az.json("aks", "nodepool", "list", *pool)
    assert {one["name"]: one["count"] for one in listed} == {"nodepool1": 2, "batch": 3}
    az.said("aks", "nodepool", "delete", *pool, "--name", "batch")
    assert len(nodes(kubeconfig)) == 2
    assert "at least one system" in az.refused(1, "aks", "nodepool", "delete", *pool, "--name", "nodepool1")

    az.said("aks", "upgrade", *this, "--kubernetes-version", "1.34.4", "--yes")
    assert set(nodes(kubeconfig).values()) == {"v1.34.4"}
    assert "is not allowed" in az.refused(1, "aks", "upgrade", *this, "--kubernetes-version", "1.33.7", "--yes")

    done = az.json("aks", "command", "invoke", *this, "--command", "echo ran; exit 3")
    assert (done["exitCode"], done["logs"]) == (3, "ran\n")

    az.said("aks", "stop", *this)
    assert az.json("aks", "show", *this)["powerState"]["code"] == "Stopped"
    az.said("aks", "start", *this)
    assert len(nodes(kubeconfig)) == 2

    az.said("aks", "delete", *this, "--yes")
    assert "ResourceNotFound" in az.refused(3, "aks", "show", *this)
    assert az.json("group", "exists", "--name", made["nodeResourceGroup"]) is False


def test_commands_have_kubectl_where_this_machine_has_it(az: Az, group: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl on the path")
    this = ("--resource-group", group, "--name", "commands")
    az.said("aks", "create", *this, "--node-count", "1", "--node-vm-size", "Standard_D2_v2", "--no-ssh-key")
    done = az.json("aks", "command", "invoke", *this, "--command", "kubectl get nodes --output name")
    assert done["logs"].startswith("node/aks-nodepool1-")
    az.said("aks", "delete", *this, "--yes", "--no-wait")
