"""Pods on a node of a real API server: what they are given, what is told of them, and how they end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import KubernetesProblem
from windtunnel_emulators.kubernetes.client.kinds import POD
from windtunnel_emulators.kubernetes.client.meta import condition, dig, entries, number, text, timestamp

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

    from .conftest import RealCluster


def container(command: str, **more: Json) -> JsonObject:
    return {"name": "main", "image": "machine:1", "command": ["sh", "-c", command], **more}


def running(pod: JsonObject) -> bool:
    return text(pod, "status", "phase") == "Running" and ready(pod)


def ready(pod: JsonObject) -> bool:
    found = condition(pod, "Ready")
    return found is not None and found.get("status") == "True"


def state(pod: JsonObject, *path: str) -> str:
    return (
        text(entries(pod, "status", "containerStatuses")[0], *path)
        if entries(pod, "status", "containerStatuses")
        else ""
    )


async def reasons(cluster: RealCluster, pod: JsonObject) -> dict[str, str]:
    uid = text(pod, "metadata", "uid")
    found = await cluster.client.request(
        "GET", "/api/v1/namespaces/default/events", query={"fieldSelector": f"involvedObject.uid={uid}"}
    )
    return {text(event, "reason"): text(event, "message") for event in entries(found, "items")}


async def until_said(cluster: RealCluster, pod: JsonObject, reason: str) -> dict[str, str]:
    async with asyncio.timeout(20):
        while True:
            said = await reasons(cluster, pod)
            if reason in said:
                return said
            await asyncio.sleep(0.05)


async def test_a_pod_has_its_configuration_and_says_so(cluster: RealCluster) -> None:
    await cluster.put_config("settings", {"greeting": "hello", "file.txt": "content"})
    shown = (
        "echo $GREETING $ALL $POD_IP $LIMIT $KUBERNETES_SERVICE_HOST; cat /etc/settings/file.txt /etc/me/labels; echo; "
    )
    env: list[Json] = [
        {"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "greeting"}}},
        {"name": "ALL", "value": "$(GREETING)-$$(GREETING)"},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
    ]
    main = container(
        shown + "test -s /var/run/secrets/kubernetes.io/serviceaccount/token && sleep 100",
        env=env,
        resources={"limits": {"memory": "64Mi"}},
        volumeMounts=[{"name": "settings", "mountPath": "/etc/settings"}, {"name": "me", "mountPath": "/etc/me"}],
    )
    volumes: list[Json] = [
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "me", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]
    init = container("echo first > /dev/termination-log") | {"name": "init"}
    async with cluster.pod("configured", main, volumes=volumes, initContainers=[init]) as name:
        pod = await cluster.until(name, running)
        address = text(pod, "status", "podIP")
        assert address.startswith("10.244.0.")
        logs = ""
        async with asyncio.timeout(20):
            while 'app="configured"' not in logs:
                logs = await cluster.kubectl("logs", name)
        assert logs.startswith(f"hello hello-$(GREETING) {address} 64 127.0.0.1\n")
        assert "content" in logs
        first = entries(pod, "status", "initContainerStatuses")[0]
        assert text(first, "state", "terminated", "message") == "first\n"
        assert state(pod, "containerID").startswith("windtunnel://")
        assert state(pod, "imageID") == f"machine@sha256:{'a' * 64}"
        assert text(pod, "status", "hostIP") == cluster.agent.definition.address
        said = await reasons(cluster, pod)
        assert said["Started"] == "Started container main"
        assert said["Created"] == "Created container: main"


async def test_a_mounted_configuration_changes_in_place(cluster: RealCluster) -> None:
    await cluster.put_config("changing", {"value": "one"})
    main = container("sleep 100", volumeMounts=[{"name": "v", "mountPath": "/v"}])
    async with cluster.pod("changing", main, volumes=[{"name": "v", "configMap": {"name": "changing"}}]) as name:
        await cluster.until(name, running)
        assert await cluster.kubectl("exec", name, "--", "cat", "/v/value") == "one"
        await cluster.put_config("changing", {"value": "two"})
        async with asyncio.timeout(20):
            while await cluster.kubectl("exec", name, "--", "cat", "/v/value") != "two":
                pass
        code, _, err = await cluster.try_kubectl("exec", name, "--", "sh", "-c", "echo x > /v/value")
        assert code != 0
        assert "Read-only" in err


async def test_a_crash_backs_off_and_keeps_its_last_words(cluster: RealCluster) -> None:
    async with cluster.pod("crash", container("echo words > /dev/termination-log; echo out; exit 3")) as name:
        pod = await cluster.until(name, lambda p: state(p, "state", "waiting", "reason") == "CrashLoopBackOff")
        ended = dig(entries(pod, "status", "containerStatuses")[0], "lastState", "terminated")
        assert (number(ended, "exitCode"), text(ended, "message"), text(ended, "reason")) == (3, "words\n", "Error")
        uid = text(pod, "metadata", "uid")
        assert state(pod, "state", "waiting", "message").endswith(
            f"restarting failed container=main pod=crash_default({uid})"
        )
        assert await cluster.kubectl("logs", name, "--previous") == "out\n"


async def test_an_image_that_is_not_there_backs_off(cluster: RealCluster) -> None:
    async with cluster.pod("unpulled", container("true") | {"image": "missing/image:1"}) as name:
        pod = await cluster.until(name, lambda p: state(p, "state", "waiting", "reason") == "ImagePullBackOff")
        assert text(pod, "status", "phase") == "Pending"
        assert 'Back-off pulling image "missing/image:1": ErrImagePull:' in state(pod, "state", "waiting", "message")
        code, _, err = await cluster.try_kubectl("logs", name)
        assert code == 1
        assert 'container "main" in pod "unpulled" is waiting to start' in err
        assert (await reasons(cluster, pod))["BackOff"] == 'Back-off pulling image "missing/image:1"'


async def test_a_missing_key_is_waited_for(cluster: RealCluster) -> None:
    await cluster.put_config("keys", {"one": "1"})
    main = container(
        "sleep 100", env=[{"name": "K", "valueFrom": {"configMapKeyRef": {"name": "keys", "key": "late"}}}]
    )
    async with cluster.pod("late", main) as name:
        pod = await cluster.until(
            name, lambda p: state(p, "state", "waiting", "reason") == "CreateContainerConfigError"
        )
        assert state(pod, "state", "waiting", "message") == "couldn't find key late in ConfigMap default/keys"
        await cluster.put_config("keys", {"late": "2"})
        await cluster.until(name, running)


async def test_a_volume_of_the_machine_is_refused(cluster: RealCluster) -> None:
    volumes: list[Json] = [{"name": "host", "hostPath": {"path": "/etc"}}]
    main = container("true", volumeMounts=[{"name": "host", "mountPath": "/host"}])
    async with cluster.pod("hostpath", main, volumes=volumes) as name:
        pod = await cluster.until(name, lambda p: state(p, "state", "waiting", "reason") == "ContainerCreating")
        said = await until_said(cluster, pod, "FailedMount")
        assert said["FailedMount"].startswith(
            'MountVolume.SetUp failed for volume "host" : pods of this cluster see nothing'
        )


async def test_too_much_memory_ends_a_container(cluster: RealCluster) -> None:
    eater = container("x=a; while true; do x=$x$x; done", resources={"limits": {"memory": "24Mi"}})
    async with cluster.pod("eater", eater, restartPolicy="Never") as name:
        pod = await cluster.until(name, lambda p: text(p, "status", "phase") == "Failed")
        assert state(pod, "state", "terminated", "reason") == "OOMKilled"
        assert number(entries(pod, "status", "containerStatuses")[0], "state", "terminated", "exitCode") == 137


async def test_a_sidecar_starts_first_and_ends_last(cluster: RealCluster) -> None:
    loop = "trap 'echo ends; exit 0' TERM; echo begins; while true; do sleep 0.05; done"
    sidecar = container(loop, restartPolicy="Always") | {"name": "sidecar"}
    async with cluster.pod("job", container("echo work"), restartPolicy="Never", initContainers=[sidecar]) as name:
        pod = await cluster.until(name, lambda p: text(p, "status", "phase") == "Succeeded")
        assert await cluster.kubectl("logs", name, "-c", "sidecar") == "begins\nends\n"
        initialized = condition(pod, "Initialized")
        assert initialized is not None
        assert initialized.get("reason") == "PodCompleted"


async def test_a_liveness_probe_restarts_and_readiness_is_told(cluster: RealCluster) -> None:
    main = container(
        "touch /tmp/alive; sleep 100",
        livenessProbe={"exec": {"command": ["cat", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 1},
        readinessProbe={"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1},
    )
    async with cluster.pod("probed", main, terminationGracePeriodSeconds=0) as name:
        await cluster.until(name, lambda p: state(p, "state", "running", "startedAt") != "" and not ready(p))
        await cluster.kubectl("exec", name, "--", "touch", "/tmp/ready")
        pod = await cluster.until(name, ready)
        await cluster.kubectl("exec", name, "--", "rm", "/tmp/alive")
        pod = await cluster.until(
            name, lambda p: number(entries(p, "status", "containerStatuses")[0], "restartCount") > 0
        )
        said = await reasons(cluster, pod)
        assert said["Killing"] == "Container main failed liveness probe, will be restarted"


async def test_a_deletion_runs_the_hook_then_ends_within_the_grace(cluster: RealCluster) -> None:
    main = container(
        "trap 'cat /tmp/hook > /dev/termination-log; exit 0' TERM; while true; do sleep 0.05; done",
        lifecycle={"preStop": {"exec": {"command": ["sh", "-c", "echo hook > /tmp/hook"]}}},
    )
    async with cluster.pod("graceful", main) as name:
        pod = await cluster.until(name, running)
        watching = asyncio.create_task(_last_seen(cluster, name))
        await cluster.objects.delete(POD, "default", name)
        last = await watching
        ended = dig(entries(last, "status", "containerStatuses")[0], "state", "terminated")
        assert (number(ended, "exitCode"), text(ended, "message")) == (0, "hook\n")
        assert text(last, "status", "phase") == "Succeeded"
        assert text(last, "metadata", "uid") == text(pod, "metadata", "uid")


async def _last_seen(cluster: RealCluster, name: str) -> JsonObject:
    query = {"fieldSelector": f"metadata.name={name}", "timeoutSeconds": "20"}
    async for event in cluster.client.watch(POD.path("default"), query=query):
        if event.type == "DELETED":
            return event.object
    raise AssertionError("it was not deleted in time")


async def test_a_deadline_ends_a_pod(cluster: RealCluster) -> None:
    async with cluster.pod("deadline", container("sleep 100"), activeDeadlineSeconds=1) as name:
        pod = await cluster.until(name, lambda p: text(p, "status", "phase") == "Failed")
        assert text(pod, "status", "reason") == "DeadlineExceeded"
        assert text(pod, "status", "message") == "Pod was active on the node longer than the specified deadline"


async def test_a_pod_without_room_is_rejected(cluster: RealCluster) -> None:
    huge = container("true", resources={"requests": {"cpu": "100"}})
    async with cluster.pod("huge", huge) as name:
        pod = await cluster.until(name, lambda p: text(p, "status", "phase") == "Failed")
        assert text(pod, "status", "reason") == "OutOfcpu"


async def test_privileges_are_refused(cluster: RealCluster) -> None:
    async with cluster.pod("privileged", container("true", securityContext={"privileged": True})) as name:
        pod = await cluster.until(
            name, lambda p: state(p, "state", "waiting", "reason") == "CreateContainerConfigError"
        )
        assert "privileged containers are not possible here" in state(pod, "state", "waiting", "message")


async def test_pods_run_again_after_the_node_was_away(cluster: RealCluster) -> None:
    async with cluster.pod("survivor", container("sleep 100")) as name:
        before = await cluster.until(name, running)
        await cluster.agent.stop()
        cluster.agents[0] = cluster.new_agent()
        await cluster.agent.start()
        pod = await cluster.until(
            name, lambda p: ready(p) and number(entries(p, "status", "containerStatuses")[0], "restartCount") == 1
        )
        assert text(pod, "status", "podIP") == text(before, "status", "podIP")
        assert text(pod, "metadata", "uid") == text(before, "metadata", "uid")
        assert text(entries(pod, "status", "containerStatuses")[0], "lastState", "terminated", "reason") == "Error"


async def test_the_node_says_what_it_is_and_keeps_its_lease(cluster: RealCluster) -> None:
    node = await cluster.client.request("GET", f"/api/v1/nodes/{cluster.agent.definition.name}")
    assert text(node, "status", "nodeInfo", "kubeletVersion") == "v1.34.4"
    assert text(node, "status", "nodeInfo", "containerRuntimeVersion") == "windtunnel://process"
    assert text(node, "status", "capacity", "cpu") == "8"
    assert text(node, "status", "allocatable", "cpu") == "7820m"
    found = condition(node, "Ready")
    assert found is not None
    assert found.get("status") == "True"
    async with asyncio.timeout(20):
        while True:
            try:
                path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{cluster.agent.definition.name}"
                lease = await cluster.client.request("GET", path)
                break
            except KubernetesProblem:
                await asyncio.sleep(0.1)
    assert text(lease, "spec", "holderIdentity") == cluster.agent.definition.name
    assert text(lease, "spec", "renewTime")[:4] == timestamp(cluster.agent.clock.now())[:4]
