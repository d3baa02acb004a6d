"""What a cluster is on every engine: ready nodes, pods that run, and the same again after a restart."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from whole_clusters import Machine, plan, pool
from windtunnel_emulators.kubernetes.client.config import client_from_kubeconfig
from windtunnel_emulators.kubernetes.client.interface import Client, StatusError, Unreachable
from windtunnel_emulators.kubernetes.client.kinds import CONFIG_MAP, DEPLOYMENT, NODE, POD
from windtunnel_emulators.kubernetes.engines.interface import EngineProblem

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_emulators.kubernetes.cluster import Cluster


async def nodes(client: Client) -> dict[str, dict[str, Any]]:
    found: Any = await client.request("GET", NODE.path())
    return {node["metadata"]["name"]: node for node in found["items"]}


async def ready_pods(client: Client, count: int) -> bool:
    found: Any = await client.request("GET", POD.path("default"))
    ready = [
        pod
        for pod in found["items"]
        if any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
    ]
    return len(ready) == count == len(found["items"])


def deployment(replicas: int) -> dict[str, Any]:
    container = {"name": "main", "image": "mcr.microsoft.com/azuredocs/aci-helloworld"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
        },
    }


def written(cluster: Cluster, folder: Path, role: str = "admin") -> Path:
    file = folder / f"{role}.kubeconfig"
    file.write_text(cluster.kubeconfig(role, user=f"cluster{role.title()}_rg_glider"))
    return file


async def test_nodes_are_ready_and_have_what_their_pool_says(machine: Machine) -> None:
    fpga = pool("fpga", 1, extended={"microsoft.com/fpga_catapult": 1}, taints=(("fpga", "yes", "NoSchedule"),))
    cluster = machine.cluster(plan(pool(count=2), fpga))
    await cluster.start()
    found = await nodes(cluster.client("admin"))
    assert len(found) == 3
    assert all(name.startswith("aks-") for name in found)
    (special,) = (node for name, node in found.items() if name.startswith("aks-fpga-"))
    assert special["status"]["capacity"]["microsoft.com/fpga_catapult"] == "1"
    assert special["spec"]["taints"][0]["key"] == "fpga"
    for node in found.values():
        conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"
        assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.34.4"


async def test_the_kubeconfig_works_as_it_is_and_a_wrong_token_does_not(machine: Machine, tmp_path: Path) -> None:
    cluster = machine.cluster(plan())
    await cluster.start()
    for role in ("admin", "user"):
        client = client_from_kubeconfig(written(cluster, tmp_path, role))
        assert len(await nodes(client)) == 1
        await client.close()
    document: Any = yaml.safe_load((tmp_path / "admin.kubeconfig").read_text())
    assert document["current-context"] == "glider"
    assert document["contexts"][0]["context"] == {"cluster": "glider", "user": "clusterAdmin_rg_glider"}
    user = document["users"][0]["user"]
    assert base64.b64decode(user["client-key-data"]).startswith(b"-----BEGIN EC PRIVATE KEY")
    user.clear()
    user["token"] = "0" * 128
    wrong = tmp_path / "wrong"
    wrong.write_text(yaml.safe_dump(document))
    client = client_from_kubeconfig(wrong)
    with pytest.raises(StatusError) as refused:
        await nodes(client)
    assert refused.value.code == 401
    await client.close()


async def test_a_deployment_runs_and_is_there_again_after_a_restart(machine: Machine, tmp_path: Path) -> None:
    cluster = machine.cluster(plan(pool(count=2)))
    await cluster.start()
    client = cluster.client("admin")
    await client.request("POST", DEPLOYMENT.path("default"), body=deployment(3))
    await machine.eventually(lambda: ready_pods(client, 3))
    before, names = written(cluster, tmp_path).read_text(), set(await nodes(client))
    await machine.again()
    again = machine.cluster(plan(pool(count=2)))
    await again.start()
    assert written(again, tmp_path).read_text() == before
    kept = client_from_kubeconfig(tmp_path / "admin.kubeconfig")
    assert set(await nodes(kept)) == names
    await machine.eventually(lambda: ready_pods(kept, 3))
    await kept.close()


async def test_pools_are_scaled_and_pods_move_away_from_nodes_that_go(machine: Machine) -> None:
    cluster = machine.cluster(plan(pool(count=1)))
    await cluster.start()
    client = cluster.client("admin")
    await cluster.apply(plan(pool(count=3)))
    assert len(await nodes(client)) == 3
    await client.request("POST", DEPLOYMENT.path("default"), body=deployment(3))
    await machine.eventually(lambda: ready_pods(client, 3))
    await cluster.apply(plan(pool(count=1)))
    (left,) = await nodes(client)
    assert left.endswith("vmss000000")
    await machine.eventually(lambda: ready_pods(client, 3))
    found: Any = await client.request("GET", POD.path("default"))
    assert {pod["spec"]["nodeName"] for pod in found["items"]} == {left}


async def test_labels_and_taints_of_a_pool_reach_the_nodes_that_stay(machine: Machine) -> None:
    cluster = machine.cluster(plan(pool(labels={"a": "1", "b": "1"})))
    await cluster.start()
    await cluster.apply(plan(pool(labels={"a": "2"}, taints=(("k", "v", "PreferNoSchedule"),))))
    (node,) = (await nodes(cluster.client("admin"))).values()
    assert node["metadata"]["labels"]["a"] == "2"
    assert "b" not in node["metadata"]["labels"]
    assert node["spec"]["taints"] == [{"key": "k", "value": "v", "effect": "PreferNoSchedule"}]


async def test_a_stopped_cluster_answers_nobody_and_keeps_its_objects(machine: Machine, tmp_path: Path) -> None:
    cluster = machine.cluster(plan())
    await cluster.start()
    kept: dict[str, Any] = {"metadata": {"name": "kept"}, "data": {"a": "b"}}
    await cluster.client("admin").request("POST", CONFIG_MAP.path("default"), body=kept)
    outside = client_from_kubeconfig(written(cluster, tmp_path))
    await cluster.stop()
    with pytest.raises(Unreachable):
        await nodes(outside)
    with pytest.raises(EngineProblem, match="is stopped"):
        cluster.kubeconfig("admin", user="x")
    await cluster.start()
    found: Any = await outside.request("GET", CONFIG_MAP.path("default", "kept"))
    assert found["data"] == {"a": "b"}
    await outside.close()


async def test_rotated_certificates_replace_the_old_ones(machine: Machine, tmp_path: Path) -> None:
    cluster = machine.cluster(plan())
    await cluster.start()
    old = client_from_kubeconfig(written(cluster, tmp_path))
    await cluster.rotate()
    with pytest.raises(Unreachable):
        await nodes(old)
    await old.close()
    new = client_from_kubeconfig(written(cluster, tmp_path))
    await machine.eventually(lambda: _has_nodes(new))
    await new.close()


async def _has_nodes(client: Client) -> bool:
    return len(await nodes(client)) == 1


async def test_a_deleted_cluster_leaves_nothing(machine: Machine, tmp_path: Path) -> None:
    cluster = machine.cluster(plan())
    await cluster.start()
    kept: dict[str, Any] = {"metadata": {"name": "kept"}}
    await cluster.client("admin").request("POST", CONFIG_MAP.path("default"), body=kept)
    await cluster.delete()
    assert not cluster.folder.exists()
    again = machine.cluster(plan())
    await again.start()
    with pytest.raises(StatusError) as absent:
        await again.client("admin").request("GET", CONFIG_MAP.path("default", "kept"))
    assert absent.value.code == 404


async def test_an_upgrade_makes_nodes_anew_one_after_the_other(tmp_path: Path) -> None:
    machine = Machine(folder=tmp_path, kind="embedded")
    await machine.start()
    async with machine.stack:
        cluster = machine.cluster(plan(pool(count=2)))
        await cluster.start()
        client = cluster.client("admin")
        await client.request("POST", DEPLOYMENT.path("default"), body=deployment(2))
        await machine.eventually(lambda: ready_pods(client, 2))
        await cluster.apply(plan(pool(count=2), version="1.35.1"))
        assert {n["status"]["nodeInfo"]["kubeletVersion"] for n in (await nodes(client)).values()} == {"v1.34.4"}
        assert (await client.request("GET", "/version"))["gitVersion"] == "v1.35.1"
        newer = replace(pool(count=2), version="1.35.1")
        await cluster.apply(plan(newer, version="1.35.1"))
        found = (await nodes(client)).values()
        assert {n["status"]["nodeInfo"]["kubeletVersion"] for n in found} == {"v1.35.1"}
        assert not any(n["spec"].get("unschedulable") for n in found)
        await machine.eventually(lambda: ready_pods(client, 2))
        await asyncio.sleep(0)


async def test_a_pool_grows_for_pods_without_a_node_and_shrinks_when_they_are_gone(machine: Machine) -> None:
    settings = {"scale-down-unneeded-time": "1m", "scale-down-delay-after-add": "1m"}
    cluster = machine.cluster(replace(plan(pool(bounds=(1, 3))), autoscaler=settings))
    await cluster.start()
    client = cluster.client("admin")
    wanted = deployment(5)
    template = wanted["spec"]["template"]["spec"]
    template["terminationGracePeriodSeconds"] = 0
    template["containers"][0]["resources"] = {"requests": {"cpu": "3"}}
    await client.request("POST", DEPLOYMENT.path("default"), body=wanted)
    await machine.eventually(lambda: _nodes_are(client, 3))
    await machine.eventually(lambda: _running_are(client, 3))
    assert cluster.autoscaled == {"np1": 3}
    await client.request("DELETE", DEPLOYMENT.path("default", "web"))
    await machine.eventually(lambda: _nodes_are(client, 1))


async def _nodes_are(client: Client, count: int) -> bool:
    return len(await nodes(client)) == count


async def _running_are(client: Client, count: int) -> bool:
    found: Any = await client.request("GET", POD.path("default"), query={"fieldSelector": "status.phase=Running"})
    return len(found["items"]) == count
