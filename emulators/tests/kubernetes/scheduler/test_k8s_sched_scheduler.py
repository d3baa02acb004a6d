"""The scheduler at work, on each API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.kubernetes.client.kinds import EVENT, NODE, POD, PRIORITY_CLASS
from windtunnel_emulators.kubernetes.client.meta import condition, deleting, name_of, text
from windtunnel_emulators.kubernetes.controllers.manager import Controllers
from windtunnel_emulators.kubernetes.scheduler.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.kubernetes.conftest import Cluster, Kubelets
    from windtunnel_emulators.jsontypes import JsonObject


@pytest.fixture
async def scheduler(cluster: Cluster) -> AsyncIterator[Scheduler]:
    accounts = Controllers(
        cluster.client("controllers"), RealClock(), only=["serviceaccount-controller", "node-lifecycle-controller"]
    )
    made = Scheduler(cluster.client("scheduler"), RealClock())
    await accounts.start()
    await made.start()
    yield made
    await made.stop()
    await accounts.stop()


async def node(cluster: Cluster, name: str, cpu: str = "2") -> None:
    await cluster.admin.create(NODE, {"metadata": {"name": name}, "spec": {}})
    room: JsonObject = {"cpu": cpu, "memory": "8Gi", "pods": "500"}
    ready: JsonObject = {"type": "Ready", "status": "True", "reason": "Test"}
    status: JsonObject = {"capacity": room, "allocatable": room, "conditions": [ready]}
    await cluster.admin.patch(NODE, None, name, {"status": status}, subresource="status")


async def pod(cluster: Cluster, name: str, cpu: str = "10m", **spec: Any) -> None:
    container: JsonObject = {"name": "c", "image": "a", "resources": {"requests": {"cpu": cpu}}}
    body: JsonObject = {
        "metadata": {"name": name},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
    }

    async def made() -> object:
        # The default service account comes a moment after the namespace.
        return bool(await cluster.admin.create(POD, body, cluster.namespace))

    async def accounted() -> object:
        from windtunnel_emulators.kubernetes.client.kinds import SERVICE_ACCOUNT

        return await cluster.admin.find(SERVICE_ACCOUNT, cluster.namespace, "default") is not None

    await cluster.until(accounted)
    await made()


async def placed(cluster: Cluster, count: int) -> object:
    pods = await cluster.admin.list(POD, cluster.namespace)
    on = [text(each, "spec", "nodeName") for each in pods if text(each, "spec", "nodeName")]
    return len(on) == count or on


@pytest.mark.usefixtures("scheduler")
class TestScheduling:
    async def test_a_pod_that_fits_nowhere_says_why_and_is_placed_when_a_node_comes(self, cluster: Cluster) -> None:
        await node(cluster, "small", "1")
        await pod(cluster, "big", "4")

        async def told() -> object:
            found = await cluster.admin.get(POD, cluster.namespace, "big")
            known = condition(found, "PodScheduled")
            return (
                known is not None
                and known["reason"] == "Unschedulable"
                and known["message"]
                == "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: "
                "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
            ) or known

        await cluster.until(told)
        await node(cluster, "large", "8")
        await cluster.until(lambda: placed(cluster, 1))

        async def events() -> object:
            found = [each for each in await cluster.admin.list(EVENT, cluster.namespace) if _about(each, "big")]
            said = {text(each, "reason"): text(each, "message") for each in found}
            return said.get("Scheduled") == f"Successfully assigned {cluster.namespace}/big to large" or said

        await cluster.until(events)

    async def test_a_pod_waits_for_its_gates(self, cluster: Cluster) -> None:
        await node(cluster, "n1")
        await pod(cluster, "gated", schedulingGates=[{"name": "example.org/wait"}])
        await pod(cluster, "other")
        await cluster.until(lambda: placed(cluster, 1))
        await cluster.admin.patch(POD, cluster.namespace, "gated", {"spec": {"schedulingGates": []}})
        await cluster.until(lambda: placed(cluster, 2))

    async def test_a_pod_of_another_scheduler_is_left_alone(self, cluster: Cluster) -> None:
        await node(cluster, "n1")
        await pod(cluster, "theirs", schedulerName="other")
        await pod(cluster, "ours")
        await cluster.until(lambda: placed(cluster, 1))
        assert not text(await cluster.admin.get(POD, cluster.namespace, "theirs"), "spec", "nodeName")

    async def test_an_important_pod_makes_room_for_itself(self, cluster: Cluster, kubelets: Kubelets) -> None:
        await cluster.admin.create(PRIORITY_CLASS, {"metadata": {"name": cluster.namespace}, "value": 1000})
        await node(cluster, "n1", "1")
        await pod(cluster, "low", "800m")
        await cluster.until(lambda: placed(cluster, 1))
        await pod(cluster, "vip", "800m", priorityClassName=cluster.namespace)

        async def made() -> object:
            pods = {name_of(each): each for each in await cluster.admin.list(POD, cluster.namespace)}
            return (
                text(pods["vip"], "spec", "nodeName") == "n1" and "low" not in pods and not deleting(pods["vip"])
            ) or sorted(pods)

        await cluster.until(made)
        await cluster.admin.delete(PRIORITY_CLASS, None, cluster.namespace)

    async def test_room_that_comes_free_is_given_to_who_waits(self, cluster: Cluster) -> None:
        await node(cluster, "n1", "1")
        await pod(cluster, "first", "800m")
        await cluster.until(lambda: placed(cluster, 1))
        await pod(cluster, "second", "800m")

        async def waits() -> object:
            known = condition(await cluster.admin.get(POD, cluster.namespace, "second"), "PodScheduled")
            return known is not None and known["reason"] == "Unschedulable"

        await cluster.until(waits)
        await cluster.admin.delete(POD, cluster.namespace, "first", grace_period_s=0)
        await cluster.until(lambda: placed(cluster, 1))
        assert text(await cluster.admin.get(POD, cluster.namespace, "second"), "spec", "nodeName") == "n1"

    async def test_a_hundred_pods_are_placed(self, cluster: Cluster) -> None:
        for index in range(3):
            await node(cluster, f"n{index}", "16")
        for index in range(100):
            await pod(cluster, f"p{index}")
        await cluster.until(lambda: placed(cluster, 100))


def _about(event: JsonObject, name: str) -> bool:
    return text(event, "involvedObject", "name") == name
