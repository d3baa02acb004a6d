from __future__ import annotations

from typing import TYPE_CHECKING

from aks_bodies import cluster_body, pool_body

if TYPE_CHECKING:
    from tests.container_service.conftest import Emulators


async def test_pools_and_the_clusters_profiles_agree(emulators: Emulators) -> None:
    await emulators.created()
    added = await emulators.call("PUT", "agentPools/batch", {"properties": {"count": 2, "mode": "User"}})
    assert added.status == 201
    assert added.body["properties"]["provisioningState"] == "Creating"
    assert added.body["id"].endswith("/managedClusters/k1/agentPools/batch")
    link = added.headers["azure-asyncoperation"]
    assert (await emulators.request("GET", link)).body["status"] == "CreatingAgentPool"
    await emulators.settled()
    listed = (await emulators.call("GET", "agentPools")).body["value"]
    profiles = (await emulators.call("GET")).body["properties"]["agentPoolProfiles"]
    assert [p["name"] for p in listed] == [p["name"] for p in profiles] == ["system", "batch"]
    assert {p["properties"]["provisioningState"] for p in listed} == {"Succeeded"}
    assert [pool.count for pool in emulators.cluster.plan.pools] == [1, 2]


async def test_a_pool_is_scaled_and_deleted(emulators: Emulators) -> None:
    await emulators.created(cluster_body(pool_body("system"), pool_body("batch", mode="User", count=3)))
    scaled = await emulators.call("PUT", "agentPools/batch", {"properties": {"count": 0}})
    assert (scaled.status, scaled.body["properties"]["provisioningState"]) == (200, "Scaling")
    assert "azure-asyncoperation" in scaled.headers
    await emulators.settled()
    assert emulators.cluster.plan.pools[1].count == 0
    deleted = await emulators.changed("DELETE", "agentPools/batch")
    assert deleted.status == 202
    assert [pool.name for pool in emulators.cluster.plan.pools] == ["system"]
    assert (await emulators.call("DELETE", "agentPools/batch")).status == 204


async def test_an_absent_pool_is_refused_in_the_services_shape(emulators: Emulators) -> None:
    await emulators.created()
    absent = await emulators.call("GET", "agentPools/none")
    assert (absent.status, absent.body["code"]) == (404, "NotFound")
    assert absent.body["subcode"] == "GetAgentPool_NotFound_HCPServerError"


async def test_a_system_pool_remains(emulators: Emulators) -> None:
    await emulators.created(cluster_body(pool_body("system"), pool_body("batch", mode="User")))
    for method, body in (("DELETE", None), ("PUT", {"properties": {"mode": "User"}})):
        refused = await emulators.call(method, "agentPools/system", body)
        assert (refused.code, "at least one system" in refused.message) == ("OperationNotAllowed", True)
    empty = await emulators.call("PUT", "agentPools/system", {"properties": {"count": 0}})
    assert empty.code == "InvalidParameter"


async def test_a_pool_is_never_newer_than_its_cluster(emulators: Emulators) -> None:
    await emulators.created(cluster_body(kubernetesVersion="1.33"))
    refused = await emulators.call("PUT", "agentPools/n", {"properties": {"orchestratorVersion": "1.34"}})
    assert refused.code == "NodePoolMcVersionIncompatible"


async def test_a_pool_keeps_its_size_and_release_while_the_cluster_goes_on(emulators: Emulators) -> None:
    await emulators.created(cluster_body(kubernetesVersion="1.33"))
    refused = await emulators.call("PUT", "agentPools/system", {"properties": {"vmSize": "Standard_D4_v2"}})
    assert refused.code == "PropertyChangeNotAllowed"
    await emulators.changed("PUT", "", {"location": "eastus", "properties": {"kubernetesVersion": "1.34"}})
    assert emulators.cluster.plan.version == "1.34.4"
    assert emulators.cluster.plan.pools[0].version == "1.33.7"
    profile = (await emulators.call("GET", "agentPools/system/upgradeProfiles/default")).body["properties"]
    assert {"kubernetesVersion": "1.34.4"} in profile["upgrades"]
    await emulators.changed("PUT", "agentPools/system", {"properties": {"orchestratorVersion": "1.34"}})
    assert emulators.cluster.plan.pools[0].version == "1.34.4"


async def test_an_autoscaled_pool_shows_the_nodes_it_has(emulators: Emulators) -> None:
    body = cluster_body(pool_body("system", count=2, enableAutoScaling=True, minCount=1, maxCount=5))
    await emulators.created(body)
    assert emulators.cluster.plan.pools[0].bounds == (1, 5)
    emulators.cluster.autoscaled = {"system": 4}
    assert (await emulators.call("GET", "agentPools/system")).body["properties"]["count"] == 4
    assert (await emulators.call("GET")).body["properties"]["agentPoolProfiles"][0]["count"] == 4
