"""The verbs, through a client in this process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.jsontypes import JsonObject, as_list, as_object
from windtunnel_emulators.kubernetes.client.interface import (
    APPLY_PATCH,
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_MERGE_PATCH,
    Client,
    StatusError,
)

if TYPE_CHECKING:
    from windtunnel_emulators.clock import ManualClock
    from windtunnel_emulators.kubernetes.client.interface import WatchEvent

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
POD_SPEC: JsonObject = {"containers": [{"name": "c", "image": "i"}]}


def named(name: str, **more: JsonObject) -> JsonObject:
    return {"metadata": {"name": name}, **more}


def deployment(name: str) -> JsonObject:
    labels: JsonObject = {"app": name}
    spec: JsonObject = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": POD_SPEC},
    }
    return named(name, spec=spec)


def meta(whole: JsonObject) -> JsonObject:
    return as_object(whole["metadata"])


def version(whole: JsonObject) -> int:
    return int(str(meta(whole)["resourceVersion"]))


def names(listed: JsonObject) -> list[str]:
    return [str(meta(as_object(item))["name"]) for item in as_list(listed["items"])]


async def refused(client: Client, code: int, method: str, path: str, **rest: object) -> JsonObject:
    with pytest.raises(StatusError) as problem:
        await client.request(method, path, **rest)  # type: ignore[arg-type]
    assert problem.value.code == code, problem.value.status
    return problem.value.status


async def test_an_object_is_made_read_changed_and_deleted(client: Client) -> None:
    made = await client.request("POST", MAPS, body=named("x", data={"a": "1"}))
    assert (made["kind"], made["apiVersion"], made["data"]) == ("ConfigMap", "v1", {"a": "1"})
    assert meta(made)["namespace"] == "default"
    assert meta(made)["uid"]
    assert await client.request("GET", f"{MAPS}/x") == made
    changed = await client.request("PUT", f"{MAPS}/x", body={**made, "data": {"a": "2"}})
    assert version(changed) > version(made)
    assert meta(changed)["uid"] == meta(made)["uid"]
    done = await client.request("DELETE", f"{MAPS}/x")
    assert done["status"] == "Success"
    assert as_object(done["details"])["uid"] == meta(made)["uid"]
    assert (await refused(client, 404, "GET", f"{MAPS}/x"))["message"] == 'configmaps "x" not found'


async def test_a_write_that_changes_nothing_keeps_the_version(client: Client) -> None:
    made = await client.request("POST", MAPS, body=named("x", data={"a": "1"}))
    again = await client.request("PUT", f"{MAPS}/x", body=made)
    assert version(again) == version(made)


async def test_a_stale_write_is_a_conflict_and_an_unconditional_one_is_not(client: Client) -> None:
    made = await client.request("POST", MAPS, body=named("x"))
    await client.request("PUT", f"{MAPS}/x", body=named("x", data={"a": "2"}))
    status = await refused(client, 409, "PUT", f"{MAPS}/x", body={**made, "data": {"a": "3"}})
    assert status["reason"] == "Conflict"
    assert status["message"] == (
        'Operation cannot be fulfilled on configmaps "x": the object has been modified; please apply your changes to'
        " the latest version and try again"
    )


async def test_patches_of_one_object_at_once_all_take_effect(client: Client) -> None:
    await client.request("POST", MAPS, body=named("x", data={"a": "1"}))

    async def patch(key: str) -> None:
        body: JsonObject = {"data": {key: "1"}}
        await client.request("PATCH", f"{MAPS}/x", body=body, content_type=MERGE_PATCH)

    await asyncio.gather(*(patch(f"k{number}") for number in range(20)))
    found = await client.request("GET", f"{MAPS}/x")
    assert len(as_object(found["data"])) == 21


async def test_patches_of_every_kind(client: Client) -> None:
    await client.request("POST", DEPLOYMENTS, body=deployment("d"))
    path = f"{DEPLOYMENTS}/d"
    image: JsonObject = {"spec": {"template": {"spec": {"containers": [{"name": "d", "image": "second"}]}}}}
    strategic = await client.request("PATCH", path, body=image, content_type=STRATEGIC_MERGE_PATCH)
    containers = as_list(as_object(as_object(as_object(strategic["spec"])["template"])["spec"])["containers"])
    assert {str(as_object(one)["name"]) for one in containers} == {"c", "d"}
    assert meta(strategic)["generation"] == 2
    operations: list[object] = [{"op": "replace", "path": "/spec/replicas", "value": 4}]
    patched = await client.request("PATCH", path, body=operations, content_type=JSON_PATCH)  # type: ignore[arg-type]
    assert as_object(patched["spec"])["replicas"] == 4
    applied: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}}
    query = {"fieldManager": "me"}
    made = await client.request("PATCH", f"{MAPS}/m", query=query, body=applied, content_type=APPLY_PATCH)
    assert as_object(as_list(meta(made)["managedFields"])[0])["operation"] == "Apply"
    other: JsonObject = {**applied, "data": {"a": "2"}}
    status = await refused(
        client, 409, "PATCH", f"{MAPS}/m", query={"fieldManager": "you"}, body=other, content_type=APPLY_PATCH
    )
    assert status["reason"] == "Conflict"


async def test_dry_run_changes_nothing(client: Client) -> None:
    query = {"dryRun": "All"}
    made = await client.request("POST", MAPS, query=query, body=named("x"))
    assert "resourceVersion" not in meta(made)
    await refused(client, 404, "GET", f"{MAPS}/x")
    real = await client.request("POST", MAPS, body=named("x", data={"a": "1"}))
    await client.request("PUT", f"{MAPS}/x", query=query, body={**real, "data": {"a": "2"}})
    await client.request("DELETE", f"{MAPS}/x", query=query)
    assert await client.request("GET", f"{MAPS}/x") == real


async def test_names_are_generated(client: Client) -> None:
    body: JsonObject = {"metadata": {"generateName": "x-"}}
    made = [await client.request("POST", MAPS, body=body) for _ in range(5)]
    found = {str(meta(one)["name"]) for one in made}
    assert len(found) == 5
    assert all(name.startswith("x-") and len(name) == 7 for name in found)


async def test_pages_show_the_list_as_it_was_when_the_first_was_read(client: Client) -> None:
    for number in range(7):
        await client.request("POST", MAPS, body=named(f"n{number}"))
    first = await client.request("GET", MAPS, query={"limit": "3"})
    assert names(first) == ["n0", "n1", "n2"]
    assert meta(first)["remainingItemCount"] == 4
    await client.request("DELETE", f"{MAPS}/n4")
    await client.request("POST", MAPS, body=named("n35"))
    seen = names(first)
    page = first
    while token := meta(page).get("continue"):
        page = await client.request("GET", MAPS, query={"limit": "3", "continue": str(token)})
        assert meta(page)["resourceVersion"] == meta(first)["resourceVersion"]
        seen += names(page)
    assert seen == [f"n{number}" for number in range(7)]
    exact = {"resourceVersion": str(meta(first)["resourceVersion"]), "resourceVersionMatch": "Exact"}
    assert names(await client.request("GET", MAPS, query=exact)) == seen


async def test_an_expired_page_says_how_to_go_on(client: Client) -> None:
    for name in ("a", "b", "c"):
        await client.request("POST", MAPS, body=named(name))
    first = await client.request("GET", MAPS, query={"limit": "1"})
    for turn in range(1100):
        body: JsonObject = {"data": {"turn": str(turn)}}
        await client.request("PATCH", f"{MAPS}/b", body=body, content_type=MERGE_PATCH)
    query = {"limit": "1", "continue": str(meta(first)["continue"])}
    status = await refused(client, 410, "GET", MAPS, query=query)
    assert status["reason"] == "Expired"
    query["continue"] = str(as_object(status["metadata"])["continue"])
    assert names(await client.request("GET", MAPS, query=query)) == ["b"]
    with pytest.raises(StatusError) as problem:
        async for _ in client.watch(MAPS, query={"resourceVersion": str(meta(first)["resourceVersion"])}):
            pass
    assert problem.value.code == 410


async def test_selectors(client: Client) -> None:
    for name, label in (("a", "x"), ("b", "y"), ("c", "x")):
        await client.request("POST", MAPS, body={"metadata": {"name": name, "labels": {"l": label}}})
    assert names(await client.request("GET", MAPS, query={"labelSelector": "l in (x)"})) == ["a", "c"]
    assert names(await client.request("GET", MAPS, query={"fieldSelector": "metadata.name!=a"})) == ["b", "c"]
    assert names(await client.request("DELETE", MAPS, query={"labelSelector": "l=x"})) == ["a", "c"]
    assert names(await client.request("GET", MAPS)) == ["b"]
    await refused(client, 400, "GET", MAPS, query={"fieldSelector": "data.a=b"})


async def collect(client: Client, path: str, count: int, query: dict[str, str]) -> list[WatchEvent]:
    found: list[WatchEvent] = []
    async with asyncio.timeout(5):
        async for event in client.watch(path, query=query):
            found.append(event)
            if len(found) == count:
                return found
    return found


async def test_a_watch_goes_on_from_a_version(client: Client) -> None:
    made = await client.request("POST", MAPS, body=named("a"))
    await client.request("PUT", f"{MAPS}/a", body=named("a", data={"k": "v"}))
    await client.request("DELETE", f"{MAPS}/a")
    query = {"resourceVersion": str(meta(made)["resourceVersion"])}
    found = await collect(client, MAPS, 2, query)
    assert [event.type for event in found] == ["MODIFIED", "DELETED"]
    assert version(found[1].object) > version(found[0].object)


async def test_a_watch_without_a_version_begins_with_what_there_is(client: Client) -> None:
    await client.request("POST", MAPS, body=named("a"))
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    found = await collect(client, MAPS, 2, query)
    assert [event.type for event in found] == ["ADDED", "BOOKMARK"]
    assert meta(found[1].object)["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert [event.type for event in await collect(client, MAPS, 1, {})] == ["ADDED"]


async def test_a_watch_ends_when_its_time_is_over(client: Client, clock: ManualClock) -> None:
    watching = asyncio.create_task(collect(client, MAPS, 9, {"timeoutSeconds": "7", "resourceVersion": "0"}))
    await clock.advance(6)
    assert not watching.done()
    await clock.advance(2)
    assert await watching == []


async def test_a_pod_is_given_time_to_end(client: Client) -> None:
    spec: JsonObject = {**POD_SPEC, "nodeName": "n", "terminationGracePeriodSeconds": 40}
    await client.request("POST", PODS, body=named("p", spec=spec))
    ending = await client.request("DELETE", f"{PODS}/p")
    assert meta(ending)["deletionGracePeriodSeconds"] == 40
    shorter = await client.request("DELETE", f"{PODS}/p", query={"gracePeriodSeconds": "5"})
    assert meta(shorter)["deletionGracePeriodSeconds"] == 5
    longer = await client.request("DELETE", f"{PODS}/p", query={"gracePeriodSeconds": "50"})
    assert meta(longer)["deletionGracePeriodSeconds"] == 5
    await client.request("DELETE", f"{PODS}/p", body={"gracePeriodSeconds": 0})
    await refused(client, 404, "GET", f"{PODS}/p")


async def test_finalizers_hold_an_object(client: Client) -> None:
    await client.request("POST", MAPS, body={"metadata": {"name": "x", "finalizers": ["a.b/c"]}})
    held = await client.request("DELETE", f"{MAPS}/x")
    assert meta(held)["deletionTimestamp"]
    body: JsonObject = {"metadata": {"finalizers": None}}
    await client.request("PATCH", f"{MAPS}/x", body=body, content_type=MERGE_PATCH)
    await refused(client, 404, "GET", f"{MAPS}/x")


@pytest.mark.parametrize(("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
async def test_what_becomes_of_dependents_is_kept_as_a_finalizer(client: Client, policy: str, finalizer: str) -> None:
    await client.request("POST", DEPLOYMENTS, body=deployment("d"))
    held = await client.request("DELETE", f"{DEPLOYMENTS}/d", body={"propagationPolicy": policy})
    assert meta(held)["finalizers"] == [finalizer]


async def test_preconditions_of_a_deletion(client: Client) -> None:
    await client.request("POST", MAPS, body=named("x"))
    body: JsonObject = {"preconditions": {"uid": "another"}}
    status = await refused(client, 409, "DELETE", f"{MAPS}/x", body=body)
    assert "does not match the UID in record" in str(status["message"])


async def test_a_namespace_goes_when_its_finalizer_is_taken(client: Client) -> None:
    await client.request("POST", "/api/v1/namespaces", body=named("n"))
    ending = await client.request("DELETE", "/api/v1/namespaces/n")
    assert as_object(ending["status"])["phase"] == "Terminating"
    assert as_object(ending["spec"])["finalizers"] == ["kubernetes"]
    await client.request("PUT", "/api/v1/namespaces/n/finalize", body={**ending, "spec": {}})
    await refused(client, 404, "GET", "/api/v1/namespaces/n")


async def test_status_and_spec_are_written_apart(client: Client) -> None:
    await client.request("POST", DEPLOYMENTS, body=deployment("d"))
    path = f"{DEPLOYMENTS}/d"
    both: JsonObject = {"spec": {"replicas": 5}, "status": {"replicas": 3}}
    by_status = await client.request("PATCH", f"{path}/status", body=both, content_type=MERGE_PATCH)
    assert (as_object(by_status["spec"])["replicas"], as_object(by_status["status"])["replicas"]) == (1, 3)
    assert meta(by_status)["generation"] == 1
    by_spec = await client.request("PATCH", path, body={**both, "status": {"replicas": 9}}, content_type=MERGE_PATCH)
    assert (as_object(by_spec["spec"])["replicas"], as_object(by_spec["status"])["replicas"]) == (5, 3)
    assert meta(by_spec)["generation"] == 2


async def test_scale(client: Client) -> None:
    await client.request("POST", DEPLOYMENTS, body=deployment("d"))
    path = f"{DEPLOYMENTS}/d/scale"
    scale = await client.request("GET", path)
    assert (scale["kind"], as_object(scale["status"])["selector"]) == ("Scale", "app=d")
    changed = await client.request("PUT", path, body={**scale, "spec": {"replicas": 3}})
    assert as_object(changed["spec"])["replicas"] == 3
    await client.request("PATCH", path, body={"spec": {"replicas": 2}}, content_type=MERGE_PATCH)
    assert as_object((await client.request("GET", f"{DEPLOYMENTS}/d"))["spec"])["replicas"] == 2
    assert (await refused(client, 409, "PUT", path, body=scale))["reason"] == "Conflict"


async def test_two_versions_of_one_autoscaler(client: Client) -> None:
    path = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers"
    target: JsonObject = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    spec: JsonObject = {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50, "scaleTargetRef": target}
    await client.request("POST", path.format("v1"), body=named("h", spec=spec))
    second = await client.request("GET", path.format("v2") + "/h")
    metric = as_object(as_list(as_object(second["spec"])["metrics"])[0])
    assert as_object(as_object(metric["resource"])["target"])["averageUtilization"] == 50
    first = await client.request("GET", path.format("v1") + "/h")
    assert as_object(first["spec"])["targetCPUUtilizationPercentage"] == 50
    listed = await client.request("GET", path.format("v1"))
    assert as_list(listed["items"]) == [first]


async def test_an_event_is_the_same_in_both_groups(client: Client) -> None:
    body = named("e", involvedObject={"kind": "Pod", "name": "p", "namespace": "default"})
    await client.request("POST", "/api/v1/namespaces/default/events", body={**body, "message": "m", "reason": "r"})
    other = await client.request("GET", "/apis/events.k8s.io/v1/namespaces/default/events/e")
    assert other["note"] == "m"
    assert as_object(other["regarding"])["name"] == "p"


DEFINITION: JsonObject = {
    "metadata": {"name": "foos.example.org"},
    "spec": {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"plural": "foos", "kind": "Foo", "shortNames": ["fo"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"size": {"type": "integer", "default": 1}},
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FOOS = "/apis/example.org/v1/namespaces/default/foos"


async def test_a_defined_kind_is_served_at_once_and_goes_with_its_definition(client: Client) -> None:
    await refused(client, 404, "GET", FOOS)
    made = await client.request("POST", DEFINITIONS, body=DEFINITION)
    conditions = [as_object(one) for one in as_list(as_object(made["status"])["conditions"])]
    assert {str(one["type"]): one["status"] for one in conditions} == {"NamesAccepted": "True", "Established": "True"}
    foo: JsonObject = {"apiVersion": "example.org/v1", "kind": "Foo", "metadata": {"name": "f"}}
    stored = await client.request("POST", FOOS, body={**foo, "spec": {"unknown": 1}, "status": {"a": 1}})
    assert stored["spec"] == {"size": 1}
    assert "status" not in stored
    told = await refused(client, 404, "GET", f"{FOOS}/f/scale")
    assert told["message"] == 'foos.example.org "f" not found'
    listed = await client.request("GET", "/apis/example.org/v1")
    assert [as_object(one)["name"] for one in as_list(listed["resources"])] == ["foos", "foos/status"]
    await client.request("DELETE", f"{DEFINITIONS}/foos.example.org")
    async with asyncio.timeout(5):
        while True:
            try:
                await client.request("GET", f"{DEFINITIONS}/foos.example.org")
            except StatusError as problem:
                if problem.code != 404:
                    raise
                break
            await asyncio.sleep(0)
    await refused(client, 404, "GET", FOOS)


async def test_stored_objects_are_seen_with_the_defaults_of_today(client: Client) -> None:
    await client.request("POST", DEFINITIONS, body=DEFINITION)
    foo: JsonObject = {"apiVersion": "example.org/v1", "kind": "Foo", "metadata": {"name": "f"}, "spec": {}}
    before = await client.request("POST", FOOS, body=foo)
    operations: list[object] = [
        {
            "op": "add",
            "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/color",
            "value": {"type": "string", "default": "red"},
        }
    ]
    path = f"{DEFINITIONS}/foos.example.org"
    await client.request("PATCH", path, body=operations, content_type=JSON_PATCH)  # type: ignore[arg-type]
    after = await client.request("GET", f"{FOOS}/f")
    assert after["spec"] == {"size": 1, "color": "red"}
    assert version(after) == version(before)


async def test_unknown_paths_and_methods(client: Client) -> None:
    await refused(client, 404, "GET", "/nothing")
    await refused(client, 404, "GET", "/apis/nothing/v1")
    await refused(client, 404, "GET", "/apis/apps/v1/nothings")
    for method, path in (("POST", f"{MAPS}/x"), ("PUT", MAPS), ("DELETE", "/api/v1/namespaces")):
        assert (await refused(client, 405, method, path, body={}))["reason"] == "MethodNotAllowed"
    await refused(client, 415, "PATCH", f"{MAPS}/x", body={}, content_type="application/json")
    await refused(client, 503, "GET", f"{PODS}/p/log")
