"""Images of pods on a node: changed in place, and not to be had for a reason that is no image's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.kinds import POD
from windtunnel_emulators.kubernetes.client.meta import dig, entries, number, text

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject

    from .conftest import RealCluster


def container(image: str, command: str = "trap 'exit 7' TERM; while true; do sleep 0.05; done") -> JsonObject:
    return {"name": "main", "image": image, "command": ["sh", "-c", command]}


def status(pod: JsonObject) -> JsonObject:
    found = entries(pod, "status", "containerStatuses")
    return found[0] if found else {}


def runs(pod: JsonObject, image: str) -> bool:
    return text(status(pod), "image") == image and dig(status(pod), "state", "running") is not None


async def said(cluster: RealCluster, pod: JsonObject) -> list[tuple[str, str]]:
    query = {"fieldSelector": f"involvedObject.uid={text(pod, 'metadata', 'uid')}"}
    found = await cluster.client.request("GET", "/api/v1/namespaces/default/events", query=query)
    return [(text(event, "reason"), text(event, "message")) for event in entries(found, "items")]


async def test_a_container_whose_image_is_changed_is_started_again(cluster: RealCluster) -> None:
    async with cluster.pod("changed", container("machine:1"), restartPolicy="Never") as name:
        await cluster.until(name, lambda pod: runs(pod, "machine:1"))
        await cluster.kubectl("set", "image", f"pod/{name}", "main=machine:2")
        seen: list[str] = []

        def renewed(pod: JsonObject) -> bool:
            seen.append(text(pod, "status", "phase"))
            return runs(pod, "machine:2")

        pod = await cluster.until(name, renewed)
        assert set(seen) == {"Running"}
        assert number(status(pod), "restartCount") == 1
        ended = dig(status(pod), "lastState", "terminated")
        assert (number(ended, "exitCode"), text(ended, "reason")) == (7, "Error")
        events = await said(cluster, pod)
        assert ("Killing", "Container main definition changed, will be restarted") in events
        assert [reason for reason, _ in events if reason == "BackOff"] == []


async def test_an_image_that_cannot_be_had_is_replaced_at_once(cluster: RealCluster) -> None:
    async with cluster.pod("corrected", container("missing:1")) as name:
        await cluster.until(name, lambda p: text(status(p), "state", "waiting", "reason") == "ImagePullBackOff")
        await cluster.kubectl("set", "image", f"pod/{name}", "main=machine:1")
        pod = await cluster.until(name, lambda pod: runs(pod, "machine:1"))
        assert number(status(pod), "restartCount") == 0


async def test_a_crashing_image_is_replaced_at_once(cluster: RealCluster) -> None:
    async with cluster.pod("crashing", container("machine:1", "exit 3")) as name:
        await cluster.until(name, lambda p: text(status(p), "state", "waiting", "reason") == "CrashLoopBackOff")
        before = number(status(await cluster.objects.get(POD, "default", name)), "restartCount")
        await cluster.kubectl("set", "image", f"pod/{name}", "main=machine:2")
        pod = await cluster.until(name, lambda pod: text(status(pod), "image") == "machine:2")
        assert number(status(pod), "restartCount") >= before


async def test_a_disk_that_is_full_is_told_of_a_pull(cluster: RealCluster) -> None:
    async with cluster.pod("unlucky", container("broken:1")) as name:
        pod = await cluster.until(name, lambda p: text(status(p), "state", "waiting", "reason") == "ImagePullBackOff")
        why = "[Errno 28] No space left on device"
        assert text(status(pod), "state", "waiting", "message").endswith(f"ErrImagePull: {why}")
        events = await said(cluster, pod)
        assert ("Failed", f'Failed to pull image "broken:1": {why}') in events
        assert ("Failed", "Error: ErrImagePull") in events
        await cluster.kubectl("set", "image", f"pod/{name}", "main=machine:1")
        await cluster.until(name, lambda pod: runs(pod, "machine:1"))
