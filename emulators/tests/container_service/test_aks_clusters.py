from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aks_bodies import GROUP, cluster_body, pool_body

if TYPE_CHECKING:
    from tests.container_service.conftest import Emulators


async def test_a_cluster_is_created_with_the_services_defaults(emulators: Emulators) -> None:
    accepted = await emulators.call("PUT", body=cluster_body())
    assert accepted.status == 201
    assert accepted.body["properties"]["provisioningState"] == "Creating"
    assert accepted.body["properties"]["agentPoolProfiles"][0]["provisioningState"] == "Creating"
    assert "/locations/eastus/operations/" in accepted.headers["azure-asyncoperation"]
    assert "location" not in accepted.headers
    await emulators.settled()
    found = await emulators.call("GET")
    properties = found.body["properties"]
    assert "/resourcegroups/rg/" in found.body["id"]
    assert found.body["type"] == "Microsoft.ContainerService/ManagedClusters"
    assert found.body["sku"] == {"name": "Base", "tier": "Free"}
    assert properties["provisioningState"] == "Succeeded"
    assert properties["powerState"] == {"code": "Running"}
    assert properties["nodeResourceGroup"] == "MC_rg_k1_eastus"
    assert properties["fqdn"].startswith("k1-")
    assert properties["fqdn"].endswith(".hcp.eastus.azmk8s.io")
    assert properties["networkProfile"]["serviceCidr"] == "10.0.0.0/16"
    assert properties["currentKubernetesVersion"].startswith(properties["kubernetesVersion"])


async def test_the_plan_has_the_capacity_of_the_vm_size(emulators: Emulators) -> None:
    await emulators.created(
        cluster_body(
            pool_body("system", count=3),
            pool_body("fpga", mode="User", vmSize="standard_pb6s", nodeTaints=["fpga=yes:NoSchedule"]),
        )
    )
    system, fpga = emulators.cluster.plan.pools
    assert (system.count, system.cpu, system.memory_bytes) == (3, 2, 7 * 1024**3)
    assert system.labels["kubernetes.azure.com/mode"] == "system"
    assert system.labels["agentpool"] == "system"
    assert fpga.extended == {"microsoft.com/fpga_catapult": 1}
    assert fpga.taints == (("fpga", "yes", "NoSchedule"),)


async def test_the_node_resource_group_is_there_and_goes_with_the_cluster(emulators: Emulators) -> None:
    await emulators.created()
    path = f"/subscriptions/{GROUP.split('/')[2]}/resourceGroups/MC_rg_k1_eastus?api-version=2022-09-01"
    group = await emulators.request("GET", path)
    assert group.body["managedBy"].endswith("/managedClusters/k1")
    deletion = await emulators.call("DELETE")
    assert deletion.status == 202
    assert "/operationResults/" in deletion.headers["location"]
    await emulators.settled()
    assert emulators.cluster.deleted
    assert (await emulators.call("GET")).code == "ResourceNotFound"
    assert (await emulators.request("GET", path)).code == "ResourceGroupNotFound"
    assert (await emulators.call("DELETE")).status == 204


async def test_deleting_the_resource_group_deletes_the_cluster(emulators: Emulators) -> None:
    await emulators.created()
    await emulators.request("DELETE", f"{GROUP}?api-version=2022-09-01")
    await emulators.settled()
    assert emulators.cluster.deleted


async def test_one_change_at_a_time(emulators: Emulators) -> None:
    await emulators.created()
    emulators.cluster.gate.clear()
    await emulators.call("PUT", body=cluster_body(pool_body("system", count=2)))
    changes: list[tuple[str, str, dict[str, Any] | None]] = [
        ("PUT", "", cluster_body()),
        ("PATCH", "", {"tags": {}}),
        ("DELETE", "", None),
        ("POST", "stop", None),
        ("PUT", "agentPools/other", {"properties": {"mode": "User"}}),
        ("DELETE", "agentPools/system", None),
    ]
    for method, below, body in changes:
        refused = await emulators.call(method, below, body)
        assert (refused.status, refused.code) == (409, "OperationNotAllowed"), (method, below)
        assert "Another operation (Updating) is in progress" in refused.message
    emulators.cluster.gate.set()
    await emulators.settled()


async def test_the_poll_says_how_it_ended(emulators: Emulators) -> None:
    accepted = await emulators.call("PUT", body=cluster_body())
    link = accepted.headers["azure-asyncoperation"]
    assert (await emulators.request("GET", link)).body["status"] == "InProgress"
    await emulators.settled()
    ended = (await emulators.request("GET", link)).body
    assert ended["status"] == "Succeeded"
    assert set(ended) == {"name", "status", "startTime", "endTime"}


async def test_a_cluster_that_cannot_be_made_has_failed_and_says_why(emulators: Emulators) -> None:
    await emulators.created()
    emulators.cluster.problem = "etcd does not start"
    accepted = await emulators.call("PUT", body=cluster_body(pool_body("system", count=2)))
    await emulators.settled()
    ended = (await emulators.request("GET", accepted.headers["azure-asyncoperation"])).body
    assert ended["status"] == "Failed"
    assert "etcd does not start" in ended["error"]["message"]
    assert (await emulators.call("GET")).body["properties"]["provisioningState"] == "Failed"


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"dnsPrefix": None}, "InvalidParameter", "dnsPrefix is required"),
        (dict[str, Any](dnsPrefix="-x"), "InvalidParameter", "DNS prefix '-x'"),
        (dict[str, Any](kubernetesVersion="1.16.13"), "K8sVersionNotSupported", "1.16.13"),
        (dict[str, Any](agentPoolProfiles=[]), "InvalidParameter", "at least one system pool"),
        (
            dict[str, Any](agentPoolProfiles=[pool_body("u", mode="User")]),
            "InvalidParameter",
            "at least one system pool",
        ),
        (
            dict[str, Any](agentPoolProfiles=[pool_body("Bad")]),
            "InvalidParameter",
            "agent pool name 'Bad'",
        ),
        (
            dict[str, Any](agentPoolProfiles=[pool_body("s", count=0)]),
            "InvalidParameter",
            "between 1 and 1000",
        ),
        (
            dict[str, Any](agentPoolProfiles=[pool_body("s", vmSize="Standard_X9")]),
            "BadRequest",
            "Standard_X9 is not allowed",
        ),
        (
            dict[str, Any](agentPoolProfiles=[pool_body("s", enableAutoScaling=True)]),
            "InvalidParameter",
            "minCount is required",
        ),
        (
            dict[str, Any](agentPoolProfiles=[pool_body("s", enableAutoScaling=True, minCount=3, maxCount=2)]),
            "InvalidParameter",
            "minCount <= maxCount",
        ),
        (
            dict[str, Any](agentPoolProfiles=[pool_body("s"), pool_body("s")]),
            "InvalidParameter",
            "more than once",
        ),
        (
            dict[str, Any](networkProfile={"serviceCidr": "10.244.0.0/16"}),
            "InvalidParameter",
            "overlaps",
        ),
        (dict[str, Any](aadProfile={"managed": True}), "NotImplemented", "aadProfile"),
        (
            dict[str, Any](addonProfiles={"omsagent": {"enabled": True}}),
            "NotImplemented",
            "omsagent",
        ),
        (
            dict[str, Any](agentPoolProfiles=[pool_body("s", osType="Windows")]),
            "NotImplemented",
            "Linux",
        ),
    ],
)
async def test_what_cannot_be_is_refused(emulators: Emulators, change: dict[str, Any], code: str, words: str) -> None:
    body = cluster_body()
    body["properties"].update(change)
    refused = await emulators.call("PUT", body=body)
    assert (refused.code, words in refused.message) == (code, True), refused.body
    assert (await emulators.call("GET")).status == 404


async def test_a_cluster_name_is_checked(emulators: Emulators) -> None:
    refused = await emulators.call("PUT", body=cluster_body(), name="-k")
    assert refused.status == 400
    assert "cluster name '-k'" in refused.message


async def test_cores_have_a_quota(emulators: Emulators) -> None:
    refused = await emulators.call("PUT", body=cluster_body(pool_body("system", count=51)))
    assert (refused.status, refused.code) == (409, "OperationNotAllowed")
    assert "Current Limit: 100, Current Usage: 0, Additional Required: 102" in refused.message
    (emulators.folder / "container_service_quotas.toml").write_text("[limits]\ncores = 200\n")
    assert (await emulators.created(cluster_body(pool_body("system", count=51)))).status == 200
    path = f"/subscriptions/{GROUP.split('/')[2]}/providers/Microsoft.ContainerService/locations/eastus/usages"
    usages = {one["name"]["value"]: one for one in (await emulators.request("GET", path)).body["value"]}
    assert (usages["cores"]["currentValue"], usages["cores"]["limit"]) == (102, 200)


async def test_upgrades_go_one_minor_release_at_a_time(emulators: Emulators) -> None:
    await emulators.created(cluster_body(kubernetesVersion="1.33"))
    skipped = await emulators.call("PUT", body=cluster_body(kubernetesVersion="1.35.0"))
    assert skipped.code == "OperationNotAllowed"
    assert "Upgrading Kubernetes version 1.33.7 to 1.35.0 is not allowed" in skipped.message
    accepted = await emulators.call("PUT", body=cluster_body(kubernetesVersion="1.34.2"))
    assert accepted.body["properties"]["provisioningState"] == "Upgrading"
    await emulators.settled()
    found = (await emulators.call("GET")).body["properties"]
    assert found["currentKubernetesVersion"] == "1.34.2"
    assert emulators.cluster.plan.version == "1.34.2"
    back = await emulators.call("PUT", body=cluster_body(kubernetesVersion="1.33.7"))
    assert "Downgrading" in back.message


async def test_what_is_not_said_stays_and_what_is_for_life_cannot_change(emulators: Emulators) -> None:
    await emulators.created(cluster_body(pool_body("system", count=2), kubernetesVersion="1.33"))
    again = await emulators.call("PUT", body={"location": "eastus", "properties": {}})
    assert again.body["properties"]["kubernetesVersion"] == "1.33"
    assert again.body["properties"]["agentPoolProfiles"][0]["count"] == 2
    await emulators.settled()
    for properties in ({"dnsPrefix": "other"}, {"networkProfile": {"serviceCidr": "10.1.0.0/16"}}):
        refused = await emulators.call("PUT", body={"location": "eastus", "properties": properties})
        assert refused.code == "PropertyChangeNotAllowed"


async def test_tags_alone_are_patched(emulators: Emulators) -> None:
    await emulators.created()
    patched = await emulators.call("PATCH", body={"tags": {"a": "b"}})
    assert patched.body["tags"] == {"a": "b"}
    assert (await emulators.call("PATCH", body={"properties": {}})).status == 400


async def test_a_cluster_is_stopped_and_started(emulators: Emulators) -> None:
    await emulators.created()
    stopped = await emulators.changed("POST", "stop")
    assert "azure-asyncoperation" in stopped.headers
    assert "location" in stopped.headers
    found = (await emulators.call("GET")).body["properties"]
    assert found["powerState"] == {"code": "Stopped"}
    assert found["agentPoolProfiles"][0]["powerState"] == {"code": "Stopped"}
    assert emulators.cluster.running is None
    refused = await emulators.call("POST", "listClusterUserCredential")
    assert (refused.status, "is stopped" in refused.message) == (400, True)
    assert (await emulators.call("PUT", body=cluster_body())).code == "OperationNotAllowed"
    await emulators.changed("POST", "start")
    assert (await emulators.call("GET")).body["properties"]["powerState"] == {"code": "Running"}
    assert emulators.cluster.running is not None


async def test_running_clusters_are_taken_up_after_a_restart_and_stopped_ones_are_not(emulators: Emulators) -> None:
    await emulators.created(name="up")
    await emulators.created(name="down")
    path = f"{GROUP}/providers/Microsoft.ContainerService/managedClusters/down/stop"
    await emulators.request("POST", path)
    await emulators.settled()
    await emulators.stop()
    emulators.clusters.clear()
    await emulators.start()
    assert [cluster.plan.name for cluster in emulators.clusters] == ["up"]
    assert len(emulators.engine.swept[-1]) == 2


async def test_an_interrupted_creation_goes_on_after_a_restart(emulators: Emulators) -> None:
    await emulators.created()
    emulators.cluster.gate.clear()
    await emulators.call("PUT", body=cluster_body(pool_body("system", count=2)))
    await emulators.stop()
    await emulators.start()
    await emulators.settled()
    assert emulators.cluster.plan.pools[0].count == 2
    assert (await emulators.call("GET")).body["properties"]["provisioningState"] == "Succeeded"


async def test_an_engine_with_one_release_offers_it_alone(emulators: Emulators) -> None:
    emulators.engine.offered = ("1.34.4",)
    path = f"/subscriptions/{GROUP.split('/')[2]}/providers/Microsoft.ContainerService/locations/eastus"
    versions = (await emulators.request("GET", f"{path}/kubernetesVersions")).body["values"]
    assert [value["version"] for value in versions] == ["1.34"]
    refused = await emulators.call("PUT", body=cluster_body(kubernetesVersion="1.33"))
    assert refused.code == "K8sVersionNotSupported"
    assert (await emulators.created()).body["properties"]["currentKubernetesVersion"] == "1.34.4"
