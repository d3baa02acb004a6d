"""One identity's connection to a real hub: what it sends and receives, and how it comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from edge_cloud import Told, firsts, numbered, until
from windtunnel_emulators.edge.interface import Refused, Unreachable
from windtunnel_emulators.edge.upstream.faults import Faults
from windtunnel_emulators.edge.upstream.place import Signer
from windtunnel_emulators.iot.hub import topics, twins
from windtunnel_emulators.iot.hub.identity import Keys, Who, new_key
from windtunnel_emulators.iot.hub.methods import Call
from windtunnel_emulators.iot.hub.topics import Feed

if TYPE_CHECKING:
    from edge_cloud import Cloud, Edge


async def test_telemetry_is_acknowledged_after_the_hub_has_it(cloud: Cloud, edge: Edge) -> None:
    who = cloud.add_module()
    client = await edge.connected(who)
    await asyncio.gather(*(client.publish(f"{topics.events_of(who)}/n=1", body) for body in numbered(0, 3000)))
    assert cloud.bodies(who) == numbered(0, 3000)
    assert client.is_idle


async def test_nothing_acknowledged_is_lost_and_the_order_stays_when_the_hub_is_killed(
    cloud: Cloud, edge: Edge
) -> None:
    who = cloud.add_module()
    told = Told()
    client = await edge.connected(who, told)
    topic = topics.events_of(who)
    sent = [client.publish(topic, body) for body in numbered(0, 2000)]
    await sent[500]
    await cloud.stop()
    sent += [client.publish(topic, body) for body in numbered(2000, 100)]
    await until(lambda: "disconnected" in told.events)
    assert not client.is_connected
    acknowledged = sum(done.done() for done in sent)
    assert 500 < acknowledged < 2100
    await cloud.start()
    await asyncio.gather(*sent)
    assert list(firsts(cloud.bodies(who))) == numbered(0, 2100)
    assert told.events == ["connected", "disconnected", "connected"]


async def test_a_cut_with_messages_in_flight_loses_nothing(cloud: Cloud, edge: Edge) -> None:
    who = cloud.add_module()
    client = await edge.connected(who)
    topic = topics.events_of(who)
    for round_ in range(5):
        sent = [client.publish(topic, body) for body in numbered(1000 * round_, 1000)]
        await sent[100]
        edge.link.cut()
        await until(lambda: not client.is_connected)
        with pytest.raises(Unreachable):
            await client.twin_get()
        edge.link.restore()
        await asyncio.gather(*sent)
    assert list(firsts(cloud.bodies(who))) == numbered(0, 5000)
    assert edge.link.traffic.lost >= 5


async def test_a_message_that_is_withdrawn_is_not_sent_again(cloud: Cloud, edge: Edge) -> None:
    who = cloud.add_module()
    client = await edge.connected(who)
    topic = topics.events_of(who)
    edge.link.cut()
    await until(lambda: not client.is_connected)
    sent = [client.publish(topic, body) for body in numbered(0, 10)]
    for done in sent[3:]:
        done.cancel()
    edge.link.restore()
    await asyncio.gather(*sent[:3])
    await client.publish(topic, b"last")
    assert cloud.bodies(who) == [*numbered(0, 3), b"last"]
    assert client.is_idle


async def test_what_is_too_large_is_refused_and_nothing_else_disturbed(cloud: Cloud, edge: Edge) -> None:
    who = cloud.add_module()
    client = await edge.connected(who)
    topic = topics.events_of(who)
    for large in (
        (f"{topic}/a=b", b"x" * (256 * 1024 - 2)),
        (topic, b"x" * (256 * 1024 + 1)),
        (topic + "/" + "y" * 65536, b""),
    ):
        with pytest.raises(Refused) as refusal:
            client.publish(*large)
        assert refusal.value.status == 413
    await client.publish(f"{topic}/a=b", b"x" * (256 * 1024 - 3))
    assert [len(body) for body in cloud.bodies(who)] == [256 * 1024 - 3]
    assert client.is_connected


async def test_twins_are_read_reported_and_patched(cloud: Cloud, edge: Edge) -> None:
    who = cloud.add_module()
    told = Told()
    client = await edge.connected(who, told, Feed.DESIRED)
    assert await client.report({"a": {"b": 1}}) == 2
    assert await client.report({"a": None, "c": "x"}) == 3
    found = await client.twin_get()
    assert found == {"desired": {"$version": 1}, "reported": {"c": "x", "$version": 3}}
    with pytest.raises(Refused) as refusal:
        await client.report({"a": "x" * 5000})
    assert refusal.value.status == 400
    with pytest.raises(Refused) as refusal:
        await client.report({"a": "x" * 300_000})
    assert refusal.value.status == 413
    twin = cloud.hub.twin(who)
    desired = twins.patched(twin.desired, {"limit": 3}, cloud.clock.now(), versions=True)
    cloud.hub.change_twin(who, msgspec.structs.replace(twin, desired=desired), {"limit": 3})
    await until(lambda: told.patches)
    assert told.patches == [{"limit": 3, "$version": 2}]
    client.want(frozenset())
    await client.twin_get()
    cloud.hub.change_twin(who, msgspec.structs.replace(twin, desired=desired), {"limit": 4})
    await client.twin_get()
    assert len(told.patches) == 1


async def test_methods_are_called_and_answered(cloud: Cloud, edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    who = cloud.add_module()
    told = Told()
    await edge.connected(who, told, Feed.METHODS)
    await until(lambda: _takes(cloud, who, Feed.METHODS))
    result = await cloud.hub.calls.invoke(who, Call(name="ping it", payload=b"[1]", connect_s=0, response_s=5))
    assert (result.status, told.calls) == (200, [("ping it", b"[1]")])
    told.problem = Unreachable("nobody")
    unanswered = asyncio.ensure_future(
        cloud.hub.calls.invoke(who, Call(name="ping", payload=b"", connect_s=0, response_s=5))
    )
    await until(lambda: "has no answer: nobody" in caplog.text)
    assert not unanswered.done()
    unanswered.cancel()


async def test_commands_are_acknowledged_once_they_are_delivered(cloud: Cloud, edge: Edge) -> None:
    who = cloud.add("leaf")
    told = Told(problem=Unreachable("the device is away"))
    client = await edge.connected(who, told, Feed.COMMANDS)
    await until(lambda: _takes(cloud, who, Feed.COMMANDS))
    for number in range(15):
        cloud.hub.command("leaf", {"n": str(number)}, b"go")
    await client.twin_get()
    assert cloud.hub.commands.count("leaf") == 15
    told.problem = None
    edge.link.cut()
    edge.link.restore()
    await until(lambda: cloud.hub.commands.count("leaf") == 0)
    assert [properties["n"] for properties, _ in told.commands] == [str(number) for number in range(15)]


async def test_who_is_refused_is_let_in_once_the_key_is_right(cloud: Cloud, edge: Edge) -> None:
    who = cloud.add_module()
    told = Told()
    key = new_key()
    client = edge.client(who, told, signer=lambda: Signer(who=who, key=key))
    await until(lambda: told.events == ["refused 401"])
    identity = cloud.hub.identities.get(who)
    assert identity is not None
    cloud.hub.identities.save(identity, Keys(key, key))
    client.wake()
    await until(lambda: client.is_connected)
    none = Told()
    edge.client(Who("edge1", "other"), none, signer=lambda: None)
    bad = Told()
    edge.client(who, bad, signer=lambda: Signer(who=who, key="no key"))
    await until(lambda: none.events == ["refused 401"] == bad.events)


async def test_the_edge_speaks_for_children_without_a_key(cloud: Cloud, edge: Edge) -> None:
    scope = cloud.add_edge("edge1")
    child = cloud.add("leaf", scope=scope, parents=(scope,), authentication="selfSigned")
    speaker = Who("edge1", "$edgeHub")
    client = edge.client(child, Told(), signer=lambda: Signer(who=speaker, key=cloud.keys[speaker]))
    await until(lambda: client.is_connected)
    await client.publish(topics.events_of(child), b"hello")
    assert cloud.bodies(child) == [b"hello"]


async def test_everything_works_over_a_slow_link_and_nothing_is_overtaken(cloud: Cloud, edge: Edge) -> None:
    who = cloud.add_module()
    edge.link.set_faults(Faults(latency_ms=5, jitter_ms=20, seed=7))
    client = await edge.connected(who)
    sent = [client.publish(topics.events_of(who), body) for body in numbered(0, 500)]
    assert (await client.twin_get())["reported"] == {"$version": 1}
    await asyncio.gather(*sent)
    assert cloud.bodies(who) == numbered(0, 500)


async def test_a_closed_client_fails_what_it_had(cloud: Cloud, edge: Edge) -> None:
    who = cloud.add_module()
    edge.link.cut()
    client = edge.client(who, Told())
    sent = client.publish(topics.events_of(who), b"x")
    await client.close()
    with pytest.raises(Unreachable):
        await sent


def _takes(cloud: Cloud, who: Who, feed: Feed) -> bool:
    connected = cloud.hub.connected(who)
    return connected is not None and connected.takes(feed)
