"""The cloud for everybody behind an edge device: who has a connection when, what is sent, what comes back."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from edge_cloud import LocalHub, firsts, numbered, until
from windtunnel_emulators.edge.interface import Message, Outcome, Unreachable
from windtunnel_emulators.edge.upstream.sink import UpstreamSink
from windtunnel_emulators.iot.hub import twins
from windtunnel_emulators.iot.hub.identity import Keys, Who, new_key
from windtunnel_emulators.iot.hub.methods import Call
from windtunnel_emulators.iot.hub.topics import Feed

if TYPE_CHECKING:
    from edge_cloud import Cloud, Edge

A, B = Who("edge1", "a"), Who("edge1", "b")


def message(who: Who, body: bytes, bag: str = "") -> Message:
    return Message(sender=who, body=body, bag=bag, enqueued=0.0)


async def test_messages_of_many_go_over_their_own_connections_in_order(cloud: Cloud, edge: Edge) -> None:
    scope = cloud.add_edge("edge1", "a", "b")
    leaf = cloud.add("leaf", scope=scope, parents=(scope,))
    sink = UpstreamSink(await edge.reached())
    senders = [A, B, leaf]
    batch = [message(senders[number % 3], b"%d" % number, "n=1") for number in range(300)]
    for start in range(0, 300, sink.batch):
        assert set(await sink.send(batch[start : start + sink.batch])) == {Outcome.DONE}
    for place, who in enumerate(senders):
        assert cloud.bodies(who) == [b"%d" % number for number in range(place, 300, 3)]


async def test_what_the_hub_never_takes_is_dropped_and_the_rest_delivered(cloud: Cloud, edge: Edge) -> None:
    cloud.add_edge("edge1", "a", "b")
    upstream = await edge.reached()
    await until(lambda: edge.scope.is_current)
    sent = [
        message(A, b"1"),
        message(A, b"x" * 262_145),
        message(Who("edge1", "gone"), b"2"),
        message(A, b"3"),
        message(B, b"4"),
    ]
    assert await upstream.send(sent) == [Outcome.DONE, Outcome.DROP, Outcome.DROP, Outcome.DONE, Outcome.DONE]
    assert (cloud.bodies(A), cloud.bodies(B)) == ([b"1", b"3"], [b"4"])
    assert (upstream.dropped, upstream.acknowledged) == (2, 3)


@pytest.mark.parametrize("seed", range(3))
async def test_cuts_at_random_moments_lose_nothing_and_keep_the_order_of_each_sender(
    cloud: Cloud, edge: Edge, seed: int
) -> None:
    cloud.add_edge("edge1", "a", "b")
    upstream = await edge.reached()
    sink = UpstreamSink(upstream)
    chance = random.Random(seed)
    waiting = [message((A, B)[number % 2], b"%d" % number) for number in range(4000)]

    async def pump() -> None:
        at = 0
        while at < len(waiting):
            await sink.ready()
            outcomes = await sink.send(waiting[at : at + sink.batch])
            assert Outcome.DROP not in outcomes
            done = outcomes.index(Outcome.RETRY) if Outcome.RETRY in outcomes else len(outcomes)
            at += done

    pumping = asyncio.ensure_future(pump())
    while not pumping.done():
        # Each time after some progress, whatever the machine's speed.
        aim = upstream.acknowledged + chance.randrange(400)
        await until(lambda aim=aim: pumping.done() or upstream.acknowledged > aim, "messages stand still")  # type: ignore[misc]  # bound now
        if chance.random() < 0.2:
            await cloud.stop()
            await cloud.start()
        else:
            edge.link.cut()
            await asyncio.sleep(0)
            edge.link.restore()
    await pumping
    assert list(firsts(cloud.bodies(A))) == [b"%d" % number for number in range(0, 4000, 2)]
    assert list(firsts(cloud.bodies(B))) == [b"%d" % number for number in range(1, 4000, 2)]


async def test_reachability_is_that_of_the_hubs_own_connection(cloud: Cloud, edge: Edge) -> None:
    cloud.add_edge("edge1", "a")
    local = LocalHub()
    upstream = edge.upstream()
    upstream.listen(local)
    await until(lambda: "reachable" in local.events)
    assert await upstream.report(A, {"x": 1}) == 2
    edge.link.cut()
    await until(lambda: "unreachable" in local.events)
    assert not upstream.is_reachable
    with pytest.raises(Unreachable, match="cut"):
        await upstream.twin(A)
    edge.link.restore()
    await until(lambda: upstream.is_reachable)
    found = await upstream.twin(A)
    assert found["reported"] == {"x": 1, "$version": 2}


async def test_what_the_cloud_has_for_somebody_reaches_the_local_hub(cloud: Cloud, edge: Edge) -> None:
    scope = cloud.add_edge("edge1", "a")
    leaf = cloud.add("leaf", scope=scope, parents=(scope,))
    local = LocalHub()
    upstream = await edge.reached()
    upstream.listen(local)
    upstream.attend(A, frozenset((Feed.METHODS, Feed.DESIRED, Feed.INPUTS)))
    upstream.attend(leaf, frozenset((Feed.COMMANDS,)))
    result = await cloud.hub.calls.invoke(A, Call(name="ping", payload=b"1", connect_s=10, response_s=10))
    assert result.payload == ["edge1/a", "ping", "1"]
    cloud.hub.command("leaf", {}, b"go")
    await until(lambda: local.commands == [(leaf, b"go")])
    twin = cloud.hub.twin(A)
    desired = twins.patched(twin.desired, {"p": 1}, cloud.clock.now(), versions=True)
    cloud.hub.change_twin(A, msgspec.structs.replace(twin, desired=desired), {"p": 1})
    await until(lambda: local.patches == [(A, {"p": 1, "$version": 2})])
    upstream.leave(leaf)
    await upstream.twin(leaf)
    cloud.hub.command("leaf", {}, b"stays")
    await upstream.twin(leaf)
    assert cloud.hub.commands.count("leaf") == 1
    assert len(local.commands) == 1


async def test_a_key_that_was_changed_in_the_cloud_is_learned(cloud: Cloud, edge: Edge) -> None:
    cloud.add_edge("edge1", "a")
    upstream = await edge.reached()
    await until(lambda: edge.scope.is_current)
    key = new_key()
    for who in (A, Who("edge1", "$edgeHub")):
        identity = cloud.hub.identities.get(who)
        assert identity is not None
        cloud.hub.identities.save(identity, Keys(key, key))
    assert await upstream.send([message(A, b"1")]) == [Outcome.DONE]
    assert edge.scope.keys(A).primary == key
    edge.link.cut()
    edge.link.restore()
    await until(lambda: upstream.is_reachable)


async def test_what_a_disabled_device_has_sent_does_not_hold_up_others(cloud: Cloud, edge: Edge) -> None:
    scope = cloud.add_edge("edge1", "a")
    leaf = cloud.add("leaf", scope=scope, parents=(scope,), enabled=False)
    upstream = await edge.reached()
    await until(lambda: edge.scope.is_current)
    assert await upstream.send([message(leaf, b"1"), message(A, b"2")]) == [Outcome.DROP, Outcome.DONE]


async def test_connections_nobody_uses_are_closed(cloud: Cloud, edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("windtunnel_emulators.edge.upstream.cloud._IDLE_S", 0.0)
    monkeypatch.setattr("windtunnel_emulators.edge.upstream.cloud._CHECK_S", 0.01)
    cloud.add_edge("edge1", "a", "b")
    upstream = await edge.reached()
    upstream.attend(B, frozenset())
    assert await upstream.send([message(A, body) for body in numbered(0, 5)]) == [Outcome.DONE] * 5
    await until(lambda: cloud.hub.connected(A) is None)
    await until(lambda: cloud.hub.connected(B) is not None)
    assert upstream.connections == 2
