"""The router and the cluster: what it learns from the Kubernetes API, an API that fails, pods that come and go."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from windtunnel_scoring.router import objects
from windtunnel_scoring.router.definition import VersionDefinition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    import pytest

    from tests.router.conftest import FakeApi, Reply, Town

    Send = Callable[..., Coroutine[None, None, Reply]]
    Eventually = Callable[[Callable[[], bool], str], Awaitable[None]]


async def test_services_come_and_go(town: Town, eventually: Eventually) -> None:
    router = await town.router()
    assert (await town.score()).status == 404
    await town.service()
    await town.replica("a")
    await town.ready(1)
    assert (await town.score()).status == 200
    await town.api.delete("configmaps", "azureml/svc")
    await eventually(lambda: not router.directory.services, "the service is gone")
    assert (await town.score()).status == 404


async def test_every_call_carries_the_token(town: Town, api: FakeApi) -> None:
    await town.router()
    assert set(api.authorizations) == {"Bearer sesame"}


async def test_lists_are_read_page_by_page(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("windtunnel_scoring.router.api._PAGE", 2)
    for number in range(5):
        await town.service(name=f"svc-{number}")
    router = await town.router()
    assert sorted(router.directory.services) == [f"svc-{number}" for number in range(5)]


async def test_a_version_that_is_too_old_leads_to_a_new_list(town: Town, api: FakeApi, eventually: Eventually) -> None:
    await town.service()
    await town.replica("a")
    await town.router()
    await town.ready(1)
    await api.forget()
    # Changed while nobody watches: only a list can tell.
    api.objects["pods"].clear()
    await town.ready(0)
    await town.replica("b")
    await town.ready(1)
    assert (await town.score()).headers["x-replica"] == "b"


async def test_an_outage_of_the_api_is_survived(town: Town, api: FakeApi) -> None:
    await town.service()
    await town.replica("a")
    await town.router()
    await town.ready(1)
    await api.stop()
    assert [(await town.score()).status for _ in range(5)] == [200] * 5
    await api.start()
    await town.replica("b")
    await town.ready(2)


async def test_settings_that_cannot_be_read_change_nothing(
    town: Town, api: FakeApi, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    await town.service()
    await town.replica("a")
    await town.router()
    await town.ready(1)
    config = api.objects["configmaps"]["azureml/svc"]
    caplog.clear()
    await api.put("configmaps", {**config, "data": {"service.json": '{"name": "svc", "versions": []}'}})
    await eventually(lambda: "svc has 0 versions; 1 to 6 are needed" in caplog.text, "the log says why")
    assert (await town.score()).status == 200


async def test_only_the_named_namespaces_are_looked_at(town: Town) -> None:
    await town.service(name="here", namespace="one")
    await town.service(name="there", namespace="two")
    await town.service(name="elsewhere", namespace="three")
    router = await town.router(namespaces=("one", "two"))
    assert sorted(router.directory.services) == ["here", "there"]


async def test_a_second_namespace_does_not_take_a_name(town: Town, eventually: Eventually) -> None:
    await town.service(namespace="azureml")
    router = await town.router()
    await town.service(namespace="another")
    await eventually(lambda: len(router.directory.definitions.of("svc")) == 2, "both are seen")
    assert router.directory.services["svc"].namespace == "azureml"


async def test_a_terminating_pod_finishes_and_gets_nothing_new(town: Town, eventually: Eventually) -> None:
    await town.service()
    old = await town.replica("old")
    await town.router()
    await town.ready(1)
    assert (await town.score()).status == 200
    old.gate.clear()
    running = asyncio.create_task(town.score())
    await eventually(lambda: old.working == 1, "a request works")
    await town.replica("new")
    await town.ready(2)
    await town.pod("old", terminating=True)
    await town.ready(1)
    assert {(await town.score()).headers["x-replica"] for _ in range(5)} == {"new"}
    old.gate.set()
    assert (await running).headers["x-replica"] == "old"
    await eventually(lambda: not old.open, "its connections are closed")


async def test_a_rolling_update_under_load_loses_nothing(town: Town, eventually: Eventually) -> None:
    """Ten replicas replaced one after another, 8 clients all the time; a pod refuses as soon as the router was told."""
    await town.service(VersionDefinition(name="svc", is_default=True, max_queue_wait_ms=10_000))
    await town.replica("pod-0")
    await town.router()
    await town.ready(1)
    ends, statuses = asyncio.Event(), list[int]()

    async def client() -> None:
        while not ends.is_set():
            statuses.append((await town.score()).status)

    clients = [asyncio.create_task(client()) for _ in range(8)]
    for number in range(10):
        old = town.replicas[f"pod-{number}"]
        await eventually(lambda old=old: old.answered > 5, "it answers")  # type: ignore[misc]  # bound per turn
        await town.replica(f"pod-{number + 1}")
        await town.ready(2)
        await town.pod(f"pod-{number}", terminating=True)
        await town.ready(1)
        await eventually(lambda old=old: not old.working and not old.open, "it has finished")  # type: ignore[misc]
        old.refuse()
        await town.api.delete("pods", f"azureml/pod-{number}")
    ends.set()
    await asyncio.gather(*clients)
    assert set(statuses) == {200}
    assert len(statuses) == sum(replica.answered for replica in town.replicas.values())
    assert max(replica.most for replica in town.replicas.values()) == 1


async def test_services_are_at_home_at_one_router(town: Town, send: Send, eventually: Eventually) -> None:
    """The limit of a replica holds over all routers, since one of them keeps the places."""
    await town.service()
    replica = await town.replica("a")
    routers = [await town.router(f"router-{number}") for number in range(3)]
    for number, (_, inner) in enumerate(town.ports):
        await town.peer(f"router-{number}", inner)
    await eventually(lambda: sum(router.peers.is_home("svc") for router in routers) == 1, "one home")
    home = next(router for router in routers if router.peers.is_home("svc"))
    replica.gate.clear()
    await town.service(VersionDefinition(name="svc", is_default=True, max_queue_wait_ms=10_000))
    await eventually(
        lambda: all(r.directory.services["svc"].definition.default.max_queue_wait_ms == 10_000 for r in routers),
        "all know the new wait",
    )
    requests = [
        asyncio.create_task(send(outer, "POST", "/api/v1/service/svc/score", b"x", {"authorization": "Bearer first"}))
        for outer, _ in town.ports
        for _ in range(2)
    ]
    slots = home.directory.services["svc"].versions["svc"].slots
    await eventually(lambda: slots.busy + slots.queued == 6, "all are at home")
    assert slots.busy == 1
    replica.gate.set()
    assert [reply.status for reply in await asyncio.gather(*requests)] == [200] * 6
    assert replica.most == 1


async def test_a_home_that_is_gone_is_passed_over(town: Town, eventually: Eventually) -> None:
    await town.service()
    await town.replica("a")
    router = await town.router("router-1")
    name = next(name for name in (f"ghost-{n}" for n in range(100)) if _prefers(name, "router-1"))
    await town.peer("router-1", town.ports[0][1])
    await town.peer(name, 1)
    await eventually(lambda: router.peers.home("svc") is not None, "another home")
    assert (await town.score()).status == 200


def _prefers(one: str, other: str) -> bool:
    """Whether the service's home would be the first of the two."""
    return max((one, other), key=lambda name: hashlib.sha256(f"{name}/svc".encode()).digest()) == one


async def test_the_inner_port_shows_counts_and_no_keys(town: Town, send: Send) -> None:
    await town.service()
    await town.deployment(replicas=3)
    await town.replica("a")
    await town.router()
    await town.ready(1)
    inner = town.ports[0][1]
    shown = (await send(inner, "GET", "/services")).text
    assert '"ready": 1' in shown
    assert '"replicas": 3' in shown
    metrics = (await send(inner, "GET", "/metrics")).text
    assert 'windtunnel_router_ready{service="svc",version="svc"} 1\n' in metrics
    assert "first" not in shown + metrics
    assert (await send(inner, "POST", "/api/v1/service/svc/score", b"x")).status == 401, "the key is checked here too"


async def test_a_watch_that_fails_makes_the_router_unhealthy(
    town: Town, send: Send, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    """Kubernetes then restarts it: a router that no longer hears of changes must not look well."""
    router = await town.router()
    inner = town.ports[0][1]
    assert (await send(inner, "GET", "/")).status == 200

    def broken(item: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(router.directory.pods, "put", broken)
    await town.replica("a")
    replies = [await send(inner, "GET", "/")]
    while replies[-1].status == 200:
        assert len(replies) < 1000
        replies.append(await send(inner, "GET", "/"))
    assert replies[-1].status == 500
    assert "a defect" in caplog.text


def test_names_of_deployments_are_legal_and_differ() -> None:
    pairs = [("a", "b-c"), ("a-b", "c"), ("a", "a"), ("s" * 32, "v" * 32), ("s" * 32, "v" * 31 + "w")]
    names = [objects.deployment_name(*pair) for pair in pairs]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 46
