"""Namespaces, garbage, endpoints, accounts, nodes, budgets and quotas, on each API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.kubernetes.client.interface import Kind
from windtunnel_emulators.kubernetes.client.kinds import (
    CLUSTER_ROLE,
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    ENDPOINT_SLICE,
    ENDPOINTS,
    NAMESPACE,
    NODE,
    POD,
    POD_DISRUPTION_BUDGET,
    REPLICA_SET,
    RESOURCE_QUOTA,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
)
from windtunnel_emulators.kubernetes.client.meta import (
    condition,
    deleting,
    dig,
    entries,
    mapping,
    name_of,
    number,
    text,
    uid_of,
)
from windtunnel_emulators.kubernetes.controllers.controller import Settings
from windtunnel_emulators.kubernetes.controllers.manager import Controllers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.kubernetes.conftest import Cluster, Kubelets
    from windtunnel_emulators.jsontypes import JsonObject

WIDGET = Kind(group="example.org", version="v1", plural="widgets", name="Widget")


@pytest.fixture
async def working(cluster: Cluster) -> AsyncIterator[None]:
    """All controllers; no scheduler, so pods stay where tests put them."""
    settings = Settings(root_ca="PEM", namespace_retry_s=0.05)
    controllers = Controllers(cluster.client("controllers"), RealClock(), settings=settings)
    await controllers.start()
    yield
    await controllers.stop()


@pytest.fixture
async def impatient(cluster: Cluster) -> AsyncIterator[None]:
    """Those of nodes, which give nodes up soon."""
    settings = Settings(node_monitor_period_s=0.2, node_monitor_grace_period_s=1.5)
    names = ["node-lifecycle-controller", "taint-eviction-controller", "serviceaccount-controller"]
    controllers = Controllers(cluster.client("controllers"), RealClock(), settings=settings, only=names)
    await controllers.start()
    yield
    await controllers.stop()


async def config_map(cluster: Cluster, name: str, **metadata: Any) -> JsonObject:
    body: JsonObject = {"metadata": {"name": name, "namespace": cluster.namespace, **metadata}}
    return await cluster.admin.create(CONFIG_MAP, body)


def owned_by(owner: JsonObject, *, blocks: bool = True) -> list[JsonObject]:
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": name_of(owner),
            "uid": uid_of(owner),
            "blockOwnerDeletion": blocks,
        }
    ]


async def gone(cluster: Cluster, kind: Kind, *names: str) -> object:
    left = [name for name in names if await cluster.admin.find(kind, cluster.namespace, name) is not None]
    return left == [] or left


@pytest.mark.usefixtures("working")
class TestGarbage:
    async def test_what_is_owned_goes_after_its_owner(self, cluster: Cluster) -> None:
        owner = await config_map(cluster, "owner")
        child = await config_map(cluster, "child", ownerReferences=owned_by(owner))
        await config_map(cluster, "grandchild", ownerReferences=owned_by(child))
        await config_map(cluster, "other")
        await cluster.admin.delete(CONFIG_MAP, cluster.namespace, "owner", propagation="Background")
        await cluster.until(lambda: gone(cluster, CONFIG_MAP, "owner", "child", "grandchild"))
        assert await cluster.admin.find(CONFIG_MAP, cluster.namespace, "other") is not None

    async def test_in_the_foreground_the_owner_goes_last(self, cluster: Cluster) -> None:
        owner = await config_map(cluster, "owner")
        await config_map(cluster, "child", ownerReferences=owned_by(owner), finalizers=["example.org/hold"])
        await cluster.admin.delete(CONFIG_MAP, cluster.namespace, "owner", propagation="Foreground")

        async def held() -> object:
            child = await cluster.admin.find(CONFIG_MAP, cluster.namespace, "child")
            return child is not None and deleting(child)

        await cluster.until(held)
        waiting = await cluster.admin.get(CONFIG_MAP, cluster.namespace, "owner")
        assert deleting(waiting)
        await cluster.admin.patch(CONFIG_MAP, cluster.namespace, "child", {"metadata": {"finalizers": None}})
        await cluster.until(lambda: gone(cluster, CONFIG_MAP, "owner", "child"))

    async def test_orphans_lose_their_owner_and_stay(self, cluster: Cluster) -> None:
        owner = await config_map(cluster, "owner")
        await config_map(cluster, "child", ownerReferences=owned_by(owner))
        await cluster.admin.delete(CONFIG_MAP, cluster.namespace, "owner", propagation="Orphan")
        await cluster.until(lambda: gone(cluster, CONFIG_MAP, "owner"))
        child = await cluster.admin.get(CONFIG_MAP, cluster.namespace, "child")
        assert not entries(child, "metadata", "ownerReferences")

    async def test_one_owner_that_stays_keeps_it(self, cluster: Cluster) -> None:
        first, second = await config_map(cluster, "first"), await config_map(cluster, "second")
        await config_map(cluster, "child", ownerReferences=owned_by(first) + owned_by(second))
        await cluster.admin.delete(CONFIG_MAP, cluster.namespace, "first")

        async def kept() -> object:
            child = await cluster.admin.get(CONFIG_MAP, cluster.namespace, "child")
            return [text(each, "name") for each in entries(child, "metadata", "ownerReferences")] == ["second"]

        await cluster.until(kept)

    async def test_an_owner_that_never_was_is_like_one_that_is_gone(self, cluster: Cluster) -> None:
        ghost: JsonObject = {"metadata": {"name": "ghost", "uid": "00000000-0000-0000-0000-000000000000"}}
        await config_map(cluster, "child", ownerReferences=owned_by(ghost))
        await cluster.until(lambda: gone(cluster, CONFIG_MAP, "child"))

    async def test_objects_of_custom_kinds_own_and_are_owned(self, cluster: Cluster) -> None:
        schema: JsonObject = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version: JsonObject = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names: JsonObject = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
        definition: JsonObject = {
            "metadata": {"name": "widgets.example.org"},
            "spec": {"group": "example.org", "scope": "Namespaced", "names": names, "versions": [version]},
        }
        await cluster.admin.create(CUSTOM_RESOURCE_DEFINITION, definition)

        async def served() -> object:
            found = await cluster.admin.get(CUSTOM_RESOURCE_DEFINITION, None, "widgets.example.org")
            known = condition(found, "Established")
            return (known is not None and known["status"] == "True") or found.get("status")

        await cluster.until(served)
        owner = await cluster.admin.create(WIDGET, {"metadata": {"name": "w", "namespace": cluster.namespace}})
        reference: JsonObject = {"apiVersion": "example.org/v1", "kind": "Widget", "name": "w", "uid": uid_of(owner)}
        await config_map(cluster, "child", ownerReferences=[reference])
        await cluster.admin.delete(WIDGET, cluster.namespace, "w")
        await cluster.until(lambda: gone(cluster, CONFIG_MAP, "child"), within_s=45)
        await cluster.admin.delete(CUSTOM_RESOURCE_DEFINITION, None, "widgets.example.org")


@pytest.mark.usefixtures("working")
class TestNamespaces:
    async def test_every_one_has_its_account_and_the_clusters_authority(self, cluster: Cluster) -> None:
        async def there() -> object:
            account = await cluster.admin.find(SERVICE_ACCOUNT, cluster.namespace, "default")
            published = await cluster.admin.find(CONFIG_MAP, cluster.namespace, "kube-root-ca.crt")
            return account is not None and dig(published, "data", "ca.crt") == "PEM"

        await cluster.until(there)
        await cluster.admin.delete(SERVICE_ACCOUNT, cluster.namespace, "default")
        await cluster.admin.patch(CONFIG_MAP, cluster.namespace, "kube-root-ca.crt", {"data": {"ca.crt": "other"}})
        await cluster.until(there)

    async def test_one_that_is_deleted_goes_with_all_it_holds(self, cluster: Cluster) -> None:
        await cluster.admin.create(NAMESPACE, {"metadata": {"name": f"{cluster.namespace}-x"}})
        body: JsonObject = {"metadata": {"name": "held", "finalizers": ["example.org/hold"]}}
        await cluster.admin.create(CONFIG_MAP, body, f"{cluster.namespace}-x")
        await cluster.admin.delete(NAMESPACE, None, f"{cluster.namespace}-x")

        async def told() -> object:
            found = await cluster.admin.get(NAMESPACE, None, f"{cluster.namespace}-x")
            remains, held = (
                condition(found, "NamespaceContentRemaining"),
                condition(found, "NamespaceFinalizersRemaining"),
            )
            return (
                remains is not None
                and held is not None
                and remains["message"] == "Some resources are remaining: configmaps. has 1 resource instances"
                and held["message"]
                == "Some content in the namespace has finalizers remaining: example.org/hold in 1 resource instances"
            ) or found["status"]

        await cluster.until(told)
        released: JsonObject = {"metadata": {"finalizers": None}}
        await cluster.admin.patch(CONFIG_MAP, f"{cluster.namespace}-x", "held", released)

        async def away() -> object:
            return await cluster.admin.find(NAMESPACE, None, f"{cluster.namespace}-x") is None

        await cluster.until(away)

    async def test_a_secret_for_a_token_is_filled_and_goes_with_its_account(self, cluster: Cluster) -> None:
        await cluster.admin.create(SERVICE_ACCOUNT, {"metadata": {"name": "robot"}}, cluster.namespace)
        annotations: JsonObject = {"kubernetes.io/service-account.name": "robot"}
        secret: JsonObject = {
            "metadata": {"name": "token", "annotations": annotations},
            "type": "kubernetes.io/service-account-token",
        }
        await cluster.admin.create(SECRET, secret, cluster.namespace)

        async def filled() -> object:
            found = await cluster.admin.get(SECRET, cluster.namespace, "token")
            return {"token", "namespace", "ca.crt"} <= mapping(found, "data").keys()

        await cluster.until(filled)
        await cluster.admin.delete(SERVICE_ACCOUNT, cluster.namespace, "robot")
        await cluster.until(lambda: gone(cluster, SECRET, "token"))


async def node(cluster: Cluster, name: str) -> None:
    await cluster.admin.create(NODE, {"metadata": {"name": name}, "spec": {}})
    await beat(cluster, name)


async def beat(cluster: Cluster, name: str) -> None:
    status: JsonObject = {"conditions": [{"type": "Ready", "status": "True", "reason": "Test"}]}
    await cluster.admin.patch(NODE, None, name, {"status": status}, subresource="status")


def pod(name: str, app: str, **spec: Any) -> JsonObject:
    return {
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": {
            "containers": [{"name": "main", "image": "a", "ports": [{"name": "http", "containerPort": 8080}]}],
            "terminationGracePeriodSeconds": 0,
            **spec,
        },
    }


@pytest.mark.usefixtures("working")
class TestServices:
    async def test_ready_pods_are_its_endpoints_and_others_are_not(self, cluster: Cluster, kubelets: Kubelets) -> None:
        await node(cluster, "n1")
        kubelets.silent.add("n2")
        await node(cluster, "n2")
        port: JsonObject = {"name": "web", "port": 80, "targetPort": "http"}
        await cluster.admin.create(
            SERVICE,
            {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [port]}},
            cluster.namespace,
        )
        for name, where in (("ready", "n1"), ("waiting", "n2")):
            await cluster.admin.create(POD, pod(name, "web", nodeName=where), cluster.namespace)
        waiting: JsonObject = {"phase": "Running", "podIP": "10.244.9.9", "podIPs": [{"ip": "10.244.9.9"}]}
        await cluster.admin.patch(POD, cluster.namespace, "waiting", {"status": waiting}, subresource="status")

        async def shown() -> object:
            found = await cluster.admin.find(ENDPOINTS, cluster.namespace, "web")
            slices = await cluster.admin.list(ENDPOINT_SLICE, cluster.namespace)
            ready = {
                text(each, "targetRef", "name"): dig(each, "conditions", "ready")
                for part in slices
                for each in entries(part, "endpoints")
            }
            subset = (entries(found, "subsets") or [{}])[0]
            return (
                ready == {"ready": True, "waiting": False}
                and len(slices) == 1
                and entries(slices[0], "ports") == [{"name": "web", "port": 8080, "protocol": "TCP"}]
                and [text(each, "targetRef", "name") for each in entries(subset, "addresses")] == ["ready"]
                and [text(each, "targetRef", "name") for each in entries(subset, "notReadyAddresses")] == ["waiting"]
            ) or (ready, found)

        await cluster.until(shown)
        await cluster.admin.delete(SERVICE, cluster.namespace, "web")
        await cluster.until(lambda: gone(cluster, ENDPOINTS, "web"))

        async def swept() -> object:
            return not await cluster.admin.list(ENDPOINT_SLICE, cluster.namespace)

        await cluster.until(swept)

    async def test_addresses_that_somebody_wrote_are_mirrored(self, cluster: Cluster) -> None:
        port: JsonObject = {"port": 80}
        await cluster.admin.create(SERVICE, {"metadata": {"name": "ext"}, "spec": {"ports": [port]}}, cluster.namespace)
        subset: JsonObject = {"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 8080}]}
        await cluster.admin.create(ENDPOINTS, {"metadata": {"name": "ext"}, "subsets": [subset]}, cluster.namespace)

        async def mirrored() -> object:
            slices = await cluster.admin.list(ENDPOINT_SLICE, cluster.namespace)
            return [each["addresses"] for part in slices for each in entries(part, "endpoints")] == [["192.0.2.7"]]

        await cluster.until(mirrored)


@pytest.mark.usefixtures("impatient")
class TestNodes:
    async def test_pods_of_a_node_that_fell_silent_are_unready_and_evicted_when_their_time_is_over(
        self, cluster: Cluster, kubelets: Kubelets
    ) -> None:
        for name in ("n1", "n2"):
            await node(cluster, name)
        kubelets.silent.add("none")
        patience: JsonObject = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": 0}
        patience["effect"] = "NoExecute"
        forever: JsonObject = {"key": "node.kubernetes.io/unreachable", "operator": "Exists"}
        await cluster.admin.create(POD, pod("brief", "a", nodeName="n1", tolerations=[patience]), cluster.namespace)
        await cluster.admin.create(POD, pod("stays", "a", nodeName="n1", tolerations=[forever]), cluster.namespace)
        seen = set[str]()

        async def lost() -> object:
            status: JsonObject = {"conditions": [{"type": "Ready", "status": "True", "reason": str(len(seen))}]}
            seen.add(f"beat {len(seen)}")
            await cluster.admin.patch(NODE, None, "n2", {"status": status}, subresource="status")
            found = await cluster.admin.get(NODE, None, "n1")
            left = [name_of(each) for each in await cluster.admin.list(POD, cluster.namespace)]
            known = condition(found, "Ready")
            keys = {(text(each, "key"), text(each, "effect")) for each in entries(found, "spec", "taints")}
            wanted = {("node.kubernetes.io/unreachable", each) for each in ("NoSchedule", "NoExecute")}
            return (
                known is not None and known["reason"] == "NodeStatusUnknown" and keys == wanted and left == ["stays"]
            ) or (known, keys, left)

        await cluster.until(lost)
        stays = await cluster.admin.get(POD, cluster.namespace, "stays")
        assert condition(stays, "Ready")["status"] == "False"  # type: ignore[index]
        await beat(cluster, "n1")

        async def back() -> object:
            found = await cluster.admin.get(NODE, None, "n1")
            return not entries(found, "spec", "taints") or found["spec"]

        await cluster.until(back)


@pytest.mark.usefixtures("working")
class TestCounts:
    async def test_a_budget_allows_what_is_over_its_minimum(self, cluster: Cluster, kubelets: Kubelets) -> None:
        await node(cluster, "n1")
        template: JsonObject = {**pod("x", "pdb", nodeName="n1")}
        template["metadata"] = {"labels": {"app": "pdb"}}
        selector: JsonObject = {"matchLabels": {"app": "pdb"}}
        rs: JsonObject = {
            "metadata": {"name": "rs"},
            "spec": {"replicas": 4, "selector": selector, "template": template},
        }
        await cluster.admin.create(REPLICA_SET, rs, cluster.namespace)
        budget: JsonObject = {"metadata": {"name": "b"}, "spec": {"selector": selector, "minAvailable": "50%"}}
        await cluster.admin.create(POD_DISRUPTION_BUDGET, budget, cluster.namespace)

        async def allowed() -> object:
            found = mapping(await cluster.admin.get(POD_DISRUPTION_BUDGET, cluster.namespace, "b"), "status")
            counts = [number(found, each) for each in ("expectedPods", "desiredHealthy", "currentHealthy")]
            return (counts == [4, 2, 4] and number(found, "disruptionsAllowed") == 2) or found

        await cluster.until(allowed)

    async def test_a_quota_knows_what_is_used(self, cluster: Cluster) -> None:
        quota: JsonObject = {
            "metadata": {"name": "q"},
            "spec": {"hard": {"pods": "10", "requests.cpu": "2", "services": "3", "count/configmaps": "50"}},
        }
        await cluster.admin.create(RESOURCE_QUOTA, quota, cluster.namespace)

        async def used(**wanted: str) -> object:
            found = mapping(await cluster.admin.get(RESOURCE_QUOTA, cluster.namespace, "q"), "status", "used")
            return {key: found.get(key) for key in ("pods", "requests.cpu")} == {
                "pods": wanted["pods"],
                "requests.cpu": wanted["cpu"],
            } or found

        await cluster.until(lambda: used(pods="0", cpu="0"))
        body = pod("p", "a")
        body["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "150m"}}  # type: ignore[index,call-overload]
        await cluster.admin.create(POD, body, cluster.namespace)
        await cluster.until(lambda: used(pods="1", cpu="150m"))
        await cluster.admin.delete(POD, cluster.namespace, "p", grace_period_s=0)
        await cluster.until(lambda: used(pods="0", cpu="0"))

    async def test_an_aggregated_role_has_the_rules_of_those_it_selects(self, cluster: Cluster) -> None:
        rule: JsonObject = {"apiGroups": ["example.org"], "resources": ["widgets"], "verbs": ["get"]}
        label: JsonObject = {f"example.org/{cluster.namespace}": "true"}
        names = [f"{cluster.namespace}-{part}" for part in ("whole", "part")]
        whole: JsonObject = {
            "metadata": {"name": names[0]},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": label}]},
            "rules": [],
        }
        await cluster.admin.create(CLUSTER_ROLE, whole)
        await cluster.admin.create(CLUSTER_ROLE, {"metadata": {"name": names[1], "labels": label}, "rules": [rule]})

        async def filled() -> object:
            found = await cluster.admin.get(CLUSTER_ROLE, None, names[0])
            return entries(found, "rules") == [rule] or found

        await cluster.until(filled)
        for name in names:
            await cluster.admin.delete(CLUSTER_ROLE, None, name)
