"""Deployments, sets and jobs, on each API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.kubernetes.client.kinds import (
    CONTROLLER_REVISION,
    DAEMON_SET,
    DEPLOYMENT,
    EVENT,
    JOB,
    NODE,
    POD,
    REPLICA_SET,
    REPLICATION_CONTROLLER,
    STATEFUL_SET,
)
from windtunnel_emulators.kubernetes.client.meta import (
    condition,
    controlled_by,
    deleting,
    dig,
    entries,
    labels_of,
    mapping,
    name_of,
    number,
    text,
)
from windtunnel_emulators.kubernetes.controllers.controller import Settings
from windtunnel_emulators.kubernetes.controllers.manager import Controllers
from windtunnel_emulators.kubernetes.scheduler.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.kubernetes.conftest import Cluster, Kubelets
    from windtunnel_emulators.jsontypes import Json, JsonObject

ROOMY: JsonObject = {"cpu": "64", "memory": "64Gi", "pods": "500"}


@pytest.fixture
async def working(cluster: Cluster, kubelets: Kubelets) -> AsyncIterator[None]:
    """Controllers, scheduler and one node, at work."""
    await cluster.admin.create(NODE, {"metadata": {"name": "n1"}, "spec": {}})
    ready: JsonObject = {"type": "Ready", "status": "True", "reason": "Test"}
    status: JsonObject = {"capacity": ROOMY, "allocatable": ROOMY, "conditions": [ready]}
    await cluster.admin.patch(NODE, None, "n1", {"status": status}, subresource="status")
    controllers = Controllers(cluster.client("controllers"), RealClock(), settings=Settings(job_backoff_s=0.05))
    scheduler = Scheduler(cluster.client("scheduler"), RealClock())
    await controllers.start()
    await scheduler.start()
    yield
    await scheduler.stop()
    await controllers.stop()


def template(app: str, image: str = "a", **spec: Json) -> JsonObject:
    return {
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "main", "image": image}], "terminationGracePeriodSeconds": 0, **spec},
    }


def selected(app: str) -> JsonObject:
    return {"matchLabels": {"app": app}}


def deployment(cluster: Cluster, replicas: int, **spec: Json) -> JsonObject:
    return {
        "metadata": {"name": "web", "namespace": cluster.namespace},
        "spec": {"replicas": replicas, "selector": selected("web"), "template": template("web"), **spec},
    }


async def rolled_out(cluster: Cluster, name: str = "web") -> object:
    found = await cluster.admin.get(DEPLOYMENT, cluster.namespace, name)
    status, wanted = mapping(found, "status"), number(found, "spec", "replicas")
    whole = all(number(status, each) == wanted for each in ("replicas", "updatedReplicas", "availableReplicas"))
    return (whole and number(status, "observedGeneration") >= number(found, "metadata", "generation")) or status


async def sets_of(cluster: Cluster) -> list[JsonObject]:
    found = await cluster.admin.list(REPLICA_SET, cluster.namespace)
    return sorted(found, key=lambda each: text(each, "metadata", "annotations", "deployment.kubernetes.io/revision"))


@pytest.mark.usefixtures("working")
class TestDeployments:
    async def test_all_pods_of_a_new_one_become_available(self, cluster: Cluster) -> None:
        await cluster.admin.create(DEPLOYMENT, deployment(cluster, 5))
        await cluster.until(lambda: rolled_out(cluster))
        found = await cluster.admin.get(DEPLOYMENT, cluster.namespace, "web")
        progress = condition(found, "Progressing")
        assert progress is not None
        assert progress["reason"] == "NewReplicaSetAvailable"
        assert text(progress, "message").startswith('ReplicaSet "web-')
        assert condition(found, "Available")["reason"] == "MinimumReplicasAvailable"  # type: ignore[index]
        assert text(found, "metadata", "annotations", "deployment.kubernetes.io/revision") == "1"

    async def test_an_update_replaces_every_pod_within_its_bounds(self, cluster: Cluster) -> None:
        strategy: JsonObject = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        await cluster.admin.create(DEPLOYMENT, deployment(cluster, 3, strategy=strategy))
        await cluster.until(lambda: rolled_out(cluster))
        changed: JsonObject = {"spec": {"template": template("web", "b")}}
        await cluster.admin.patch(DEPLOYMENT, cluster.namespace, "web", changed)
        least, most = 99, 0

        async def watched() -> object:
            nonlocal least, most
            pods = await cluster.admin.list(POD, cluster.namespace)
            living = [pod for pod in pods if not deleting(pod)]
            usable = [pod for pod in living if (c := condition(pod, "Ready")) and c["status"] == "True"]
            least, most = min(least, len(usable)), max(most, len(living))
            return await rolled_out(cluster)

        await cluster.until(watched)
        assert least >= 3
        assert most <= 4
        images = {
            text(c, "image")
            for p in await cluster.admin.list(POD, cluster.namespace)
            for c in entries(p, "spec", "containers")
            if not deleting(p)
        }
        assert images == {"b"}

    async def test_going_back_to_a_template_takes_its_replica_set_up_again(self, cluster: Cluster) -> None:
        await cluster.admin.create(DEPLOYMENT, deployment(cluster, 2))
        await cluster.until(lambda: rolled_out(cluster))
        for image in ("b", "a"):
            body: JsonObject = {"spec": {"template": template("web", image)}}
            await cluster.admin.patch(DEPLOYMENT, cluster.namespace, "web", body)
            await cluster.until(lambda: rolled_out(cluster))
        sets = await sets_of(cluster)
        assert [number(each, "spec", "replicas") for each in sets] == [0, 2]
        annotations = mapping(sets[1], "metadata", "annotations")
        assert annotations["deployment.kubernetes.io/revision"] == "3"
        assert annotations["deployment.kubernetes.io/revision-history"] == "1"

    async def test_recreate_never_runs_two_templates_at_once(self, cluster: Cluster) -> None:
        await cluster.admin.create(DEPLOYMENT, deployment(cluster, 2, strategy={"type": "Recreate"}))
        await cluster.until(lambda: rolled_out(cluster))
        body: JsonObject = {"spec": {"template": template("web", "b")}}
        await cluster.admin.patch(DEPLOYMENT, cluster.namespace, "web", body)

        async def watched() -> object:
            pods = await cluster.admin.list(POD, cluster.namespace)
            hashes = {labels_of(pod)["pod-template-hash"] for pod in pods}
            assert len(hashes) <= 1
            return await rolled_out(cluster)

        await cluster.until(watched)

    async def test_old_replica_sets_beyond_the_limit_go(self, cluster: Cluster) -> None:
        await cluster.admin.create(DEPLOYMENT, deployment(cluster, 1, revisionHistoryLimit=1))
        await cluster.until(lambda: rolled_out(cluster))
        for image in ("b", "c", "d"):
            body: JsonObject = {"spec": {"template": template("web", image)}}
            await cluster.admin.patch(DEPLOYMENT, cluster.namespace, "web", body)
            await cluster.until(lambda: rolled_out(cluster))

        async def few() -> object:
            sets = await sets_of(cluster)
            return len(sets) == 2 or [name_of(each) for each in sets]

        await cluster.until(few)

    async def test_a_paused_one_scales_and_does_not_roll_out(self, cluster: Cluster) -> None:
        await cluster.admin.create(DEPLOYMENT, deployment(cluster, 1))
        await cluster.until(lambda: rolled_out(cluster))
        body: JsonObject = {"spec": {"paused": True, "replicas": 3, "template": template("web", "b")}}
        await cluster.admin.patch(DEPLOYMENT, cluster.namespace, "web", body)

        async def scaled() -> object:
            sets = await sets_of(cluster)
            return [number(each, "status", "availableReplicas") for each in sets] == [3] or sets

        await cluster.until(scaled)
        found = await cluster.admin.get(DEPLOYMENT, cluster.namespace, "web")
        assert condition(found, "Progressing")["reason"] == "DeploymentPaused"  # type: ignore[index]
        await cluster.admin.patch(DEPLOYMENT, cluster.namespace, "web", {"spec": {"paused": False}})
        await cluster.until(lambda: rolled_out(cluster))
        assert len(await sets_of(cluster)) == 2

    async def test_what_happens_is_told_in_events(self, cluster: Cluster) -> None:
        await cluster.admin.create(DEPLOYMENT, deployment(cluster, 2))
        await cluster.until(lambda: rolled_out(cluster))

        async def told() -> object:
            said = {
                (text(each, "involvedObject", "kind"), text(each, "reason"))
                for each in await cluster.admin.list(EVENT, cluster.namespace)
            }
            wanted = {("Deployment", "ScalingReplicaSet"), ("ReplicaSet", "SuccessfulCreate"), ("Pod", "Scheduled")}
            return wanted <= said or said

        await cluster.until(told)


@pytest.mark.usefixtures("working")
class TestReplicas:
    async def test_a_replica_set_adopts_what_it_selects_and_lets_go_what_it_no_longer_does(
        self, cluster: Cluster
    ) -> None:
        orphan: JsonObject = {"metadata": {"name": "orphan", "labels": {"app": "rs"}}, **_pod("rs")}
        await cluster.admin.create(POD, orphan, cluster.namespace)
        owner = await cluster.admin.create(
            REPLICA_SET,
            {
                "metadata": {"name": "rs", "namespace": cluster.namespace},
                "spec": {"replicas": 2, "selector": selected("rs"), "template": template("rs")},
            },
        )

        async def adopted() -> object:
            pods = await cluster.admin.list(POD, cluster.namespace)
            owned = [name_of(pod) for pod in pods if controlled_by(pod, owner)]
            return (len(pods) == 2 and "orphan" in owned and len(owned) == 2) or owned

        await cluster.until(adopted)
        await cluster.admin.patch(POD, cluster.namespace, "orphan", {"metadata": {"labels": {"app": "other"}}})

        async def released() -> object:
            pods = await cluster.admin.list(POD, cluster.namespace)
            owned = [name_of(pod) for pod in pods if controlled_by(pod, owner)]
            return (len(owned) == 2 and "orphan" not in owned) or owned

        await cluster.until(released)

    async def test_a_replication_controller_keeps_its_number(self, cluster: Cluster) -> None:
        await cluster.admin.create(
            REPLICATION_CONTROLLER,
            {
                "metadata": {"name": "rc", "namespace": cluster.namespace},
                "spec": {"replicas": 3, "selector": {"app": "rc"}, "template": template("rc")},
            },
        )

        async def settled(wanted: int) -> object:
            found = await cluster.admin.get(REPLICATION_CONTROLLER, cluster.namespace, "rc")
            return number(found, "status", "readyReplicas") == wanted or found["status"]

        await cluster.until(lambda: settled(3))
        await cluster.admin.patch(REPLICATION_CONTROLLER, cluster.namespace, "rc", {"spec": {"replicas": 1}})
        await cluster.until(lambda: settled(1))

    async def test_a_pod_that_cannot_be_made_is_told_in_the_status(self, cluster: Cluster) -> None:
        spec = template("rs", serviceAccountName="nobody")
        await cluster.admin.create(
            REPLICA_SET,
            {
                "metadata": {"name": "rs", "namespace": cluster.namespace},
                "spec": {"replicas": 1, "selector": selected("rs"), "template": spec},
            },
        )

        async def told() -> object:
            found = await cluster.admin.get(REPLICA_SET, cluster.namespace, "rs")
            failure = condition(found, "ReplicaFailure")
            return (failure is not None and failure["reason"] == "FailedCreate") or found.get("status")

        await cluster.until(told)


@pytest.mark.usefixtures("working")
class TestSets:
    async def test_a_stateful_set_makes_its_pods_in_order_and_updates_them_from_the_last(
        self, cluster: Cluster
    ) -> None:
        await cluster.admin.create(
            STATEFUL_SET,
            {
                "metadata": {"name": "db", "namespace": cluster.namespace},
                "spec": {
                    "replicas": 3,
                    "serviceName": "db",
                    "selector": selected("db"),
                    "template": template("db"),
                },
            },
        )

        async def at(image: str, count: int) -> object:
            found = await cluster.admin.get(STATEFUL_SET, cluster.namespace, "db")
            pods = await cluster.admin.list(POD, cluster.namespace)
            images = [text(c, "image") for pod in pods for c in entries(pod, "spec", "containers")]
            return (number(found, "status", "readyReplicas") == count and images == [image] * count) or images

        await cluster.until(lambda: at("a", 3))
        pods = sorted(await cluster.admin.list(POD, cluster.namespace), key=name_of)
        assert [name_of(pod) for pod in pods] == ["db-0", "db-1", "db-2"]
        assert labels_of(pods[1])["apps.kubernetes.io/pod-index"] == "1"
        assert text(pods[1], "spec", "subdomain") == "db"
        await cluster.admin.patch(STATEFUL_SET, cluster.namespace, "db", {"spec": {"template": template("db", "b")}})
        await cluster.until(lambda: at("b", 3))
        assert len(await cluster.admin.list(CONTROLLER_REVISION, cluster.namespace)) == 2
        await cluster.admin.patch(STATEFUL_SET, cluster.namespace, "db", {"spec": {"replicas": 1}})
        await cluster.until(lambda: at("b", 1))
        assert [name_of(pod) for pod in await cluster.admin.list(POD, cluster.namespace)] == ["db-0"]

    async def test_a_daemon_set_has_one_pod_on_each_node_that_it_fits(self, cluster: Cluster) -> None:
        taint: JsonObject = {"key": "only", "value": "gpu", "effect": "NoSchedule"}
        kept: list[tuple[str, list[Json]]] = [("n2", []), ("n3", [taint])]
        for name, taints in kept:
            await cluster.admin.create(NODE, {"metadata": {"name": name}, "spec": {"taints": taints}})
            status: JsonObject = {
                "capacity": ROOMY,
                "allocatable": ROOMY,
                "conditions": [{"type": "Ready", "status": "True", "reason": "Test"}],
            }
            await cluster.admin.patch(NODE, None, name, {"status": status}, subresource="status")
        await cluster.admin.create(
            DAEMON_SET,
            {
                "metadata": {"name": "ds", "namespace": cluster.namespace},
                "spec": {"selector": selected("ds"), "template": template("ds")},
            },
        )

        async def at(image: str) -> object:
            pods = [pod for pod in await cluster.admin.list(POD, cluster.namespace) if not deleting(pod)]
            nodes = sorted(text(pod, "spec", "nodeName") for pod in pods)
            images = {text(c, "image") for pod in pods for c in entries(pod, "spec", "containers")}
            found = await cluster.admin.get(DAEMON_SET, cluster.namespace, "ds")
            whole = number(found, "status", "numberAvailable") == 2 == number(found, "status", "updatedNumberScheduled")
            return (nodes == ["n1", "n2"] and images == {image} and whole) or (nodes, images, found["status"])

        await cluster.until(lambda: at("a"))
        await cluster.admin.patch(DAEMON_SET, cluster.namespace, "ds", {"spec": {"template": template("ds", "b")}})
        await cluster.until(lambda: at("b"))


def _pod(app: str) -> JsonObject:
    return {"spec": template(app)["spec"]}


def job(cluster: Cluster, app: str, **spec: Json) -> JsonObject:
    return {
        "metadata": {"name": app, "namespace": cluster.namespace},
        "spec": {"template": template(app, restartPolicy="Never"), **spec},
    }


@pytest.mark.usefixtures("working")
class TestJobs:
    async def ended(self, cluster: Cluster, name: str, type_: str) -> object:
        found = await cluster.admin.get(JOB, cluster.namespace, name)
        known = condition(found, type_)
        return (known is not None and known["status"] == "True") or found.get("status")

    async def test_it_is_complete_when_enough_pods_succeeded(self, cluster: Cluster, kubelets: Kubelets) -> None:
        kubelets.ends["good"] = "Succeeded"
        await cluster.admin.create(JOB, job(cluster, "good", completions=5, parallelism=2))
        await cluster.until(lambda: self.ended(cluster, "good", "Complete"))
        found = await cluster.admin.get(JOB, cluster.namespace, "good")
        assert number(found, "status", "succeeded") == 5
        assert not mapping(found, "status", "uncountedTerminatedPods")
        assert condition(found, "SuccessCriteriaMet")["reason"] == "CompletionsReached"  # type: ignore[index]
        pods = await cluster.admin.list(POD, cluster.namespace)
        assert len(pods) == 5
        assert not any(dig(pod, "metadata", "finalizers") for pod in pods)

    async def test_each_index_is_done_once(self, cluster: Cluster, kubelets: Kubelets) -> None:
        kubelets.ends["index"] = "Succeeded"
        body = job(cluster, "index", completions=4, parallelism=4, completionMode="Indexed")
        await cluster.admin.create(JOB, body)
        await cluster.until(lambda: self.ended(cluster, "index", "Complete"))
        found = await cluster.admin.get(JOB, cluster.namespace, "index")
        assert text(found, "status", "completedIndexes") == "0-3"
        numbers = sorted(
            labels_of(pod)["batch.kubernetes.io/job-completion-index"]
            for pod in await cluster.admin.list(POD, cluster.namespace)
        )
        assert numbers == ["0", "1", "2", "3"]

    async def test_it_fails_after_as_many_failures_as_are_allowed(self, cluster: Cluster, kubelets: Kubelets) -> None:
        kubelets.ends["bad"] = "Failed"
        await cluster.admin.create(JOB, job(cluster, "bad", backoffLimit=2))
        await cluster.until(lambda: self.ended(cluster, "bad", "Failed"))
        found = await cluster.admin.get(JOB, cluster.namespace, "bad")
        assert condition(found, "Failed")["reason"] == "BackoffLimitExceeded"  # type: ignore[index]
        assert number(found, "status", "failed") == 3

    async def test_it_fails_at_its_deadline_and_stops_its_pods(self, cluster: Cluster) -> None:
        await cluster.admin.create(JOB, job(cluster, "long", activeDeadlineSeconds=1))
        await cluster.until(lambda: self.ended(cluster, "long", "Failed"))
        found = await cluster.admin.get(JOB, cluster.namespace, "long")
        assert condition(found, "Failed")["reason"] == "DeadlineExceeded"  # type: ignore[index]

        async def stopped() -> object:
            return not await cluster.admin.list(POD, cluster.namespace)

        await cluster.until(stopped)

    async def test_suspending_stops_its_pods_and_resuming_starts_them(self, cluster: Cluster) -> None:
        await cluster.admin.create(JOB, job(cluster, "stop"))

        async def running(count: int) -> object:
            found = await cluster.admin.get(JOB, cluster.namespace, "stop")
            pods = [pod for pod in await cluster.admin.list(POD, cluster.namespace) if not deleting(pod)]
            return (number(found, "status", "active") == count and len(pods) == count) or found.get("status")

        await cluster.until(lambda: running(1))
        await cluster.admin.patch(JOB, cluster.namespace, "stop", {"spec": {"suspend": True}})
        await cluster.until(lambda: running(0))
        found = await cluster.admin.get(JOB, cluster.namespace, "stop")
        assert condition(found, "Suspended")["status"] == "True"  # type: ignore[index]
        await cluster.admin.patch(JOB, cluster.namespace, "stop", {"spec": {"suspend": False}})
        await cluster.until(lambda: running(1))

    async def test_it_goes_with_its_pods_after_its_time_to_live(self, cluster: Cluster, kubelets: Kubelets) -> None:
        kubelets.ends["short"] = "Succeeded"
        await cluster.admin.create(JOB, job(cluster, "short", ttlSecondsAfterFinished=0))

        async def gone() -> object:
            found = await cluster.admin.find(JOB, cluster.namespace, "short")
            pods = await cluster.admin.list(POD, cluster.namespace)
            return (found is None and not pods) or (found, pods)

        await cluster.until(gone)
