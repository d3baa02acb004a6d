"""Direct methods between modules and from the cloud, and messages from the cloud to child devices."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import pytest

from edge_fakes import DEVICE, OWN
from mqtt_peers import HOST, KEY, token
from windtunnel_emulators.edge.hub.api import EdgeApi
from windtunnel_emulators.edge.interface import Unreachable
from windtunnel_emulators.iot.hub import bags
from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.iot.mqtt.packets import PubAck, Publish, SubAck

if TYPE_CHECKING:
    from mqtt_peers import Peer
    from tests.edge.hub.conftest import Edge

METHODS = "$iothub/methods/POST/#"
COMMANDS = "devices/leaf/messages/devicebound/#"
M, CALLER, LEAF = Who(DEVICE, "m"), Who(DEVICE, "caller"), Who("leaf")


@dataclass
class Answer:
    """What an HTTP request was answered."""

    status: int
    body: Any


async def post(
    edge: Edge,
    body: object,
    *,
    path: str = f"/twins/{DEVICE}/modules/m/methods",
    caller: str = str(CALLER),
    key: str = KEY,
    query: bytes = b"api-version=2019-10-01",
    method: str = "POST",
) -> Answer:
    """A request of a module, as the API sees it."""
    edge.identities.add(CALLER)
    now = edge.clock.now().timestamp()
    shown = token(f"{HOST}/devices/{caller.replace('/', '/modules/')}", key, expires=now + 60)
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": quote(path, safe="/%").encode(),
        "query_string": query,
        "headers": [(b"x-ms-edge-moduleId", caller.encode()), (b"authorization", shown.encode())],
        "client": ("127.0.0.1", 1),
    }
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await EdgeApi(edge.hub)(scope, receive, send)
    return Answer(sent[0]["status"], msgspec.json.decode(sent[1]["body"]))


async def callee(edge: Edge, who: Who = M) -> Peer:
    peer = await edge.connected(*who)
    peer.subscribe(METHODS)
    await peer.until(SubAck)
    return peer


def answer(peer: Peer, call: Publish, status: int, payload: bytes) -> None:
    peer.publish(f"$iothub/methods/res/{status}/{call.topic.partition('/?')[2].join(('?', ''))}", payload)


PING = {"methodName": "ping", "payload": [1], "responseTimeoutInSeconds": 5, "connectTimeoutInSeconds": 2}


@pytest.mark.parametrize(
    ("who", "path"), [(M, "/twins/edge/modules/m/methods"), (LEAF, "/twins/leaf/methods")], ids=["module", "device"]
)
async def test_a_module_calls_a_module_or_a_device(edge: Edge, who: Who, path: str) -> None:
    peer = await callee(edge, who)
    edge.cloud.cut()  # none of this needs it
    asked = asyncio.ensure_future(post(edge, PING, path=path))
    call = await peer.until(Publish)
    assert call.topic.startswith("$iothub/methods/POST/ping/?$rid=")
    assert call.payload == b"[1]"
    answer(peer, call, 418, b'{"tea": true}')
    assert await asked == Answer(200, {"status": 418, "payload": {"tea": True}})


async def test_a_call_waits_for_its_module_as_long_as_it_says(edge: Edge) -> None:
    asked = asyncio.ensure_future(post(edge, PING))
    await edge.clock.advance(1)
    peer = await callee(edge)
    call = await peer.until(Publish)
    answer(peer, call, 200, b"")
    assert await asked == Answer(200, {"status": 200, "payload": None})
    peer.leave()
    edge.peers.clear()
    asked = asyncio.ensure_future(post(edge, PING))
    await edge.clock.advance(3)
    found = await asked
    assert (found.status, found.body["message"]) == (404, "Client edge/m not found")
    assert (await post(edge, {"methodName": "ping"})).status == 404  # at once, without a wait


async def test_a_call_that_is_not_answered_is_given_up(edge: Edge) -> None:
    await callee(edge)
    asked = asyncio.ensure_future(post(edge, PING))
    await edge.clock.advance(6)
    assert (await asked).status == 504


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"caller": "edge"}, 400),
        ({"caller": ""}, 400),
        ({"caller": "edge/a/b"}, 400),
        ({"caller": "other/m"}, 401),
        ({"caller": "edge/stranger"}, 401),
        ({"key": "cG9saWN5cG9saWN5cG9saWN5cG9saWN5cG9saWN5MTI="}, 401),
        ({"query": b""}, 400),
        ({"path": "/twins/edge"}, 404),
        ({"path": "/twins/edge/modules/a/b/methods"}, 404),
        ({"method": "GET"}, 405),
        ({"body": b"{"}, 400),
        ({"body": b"[]"}, 400),
        ({"body": {}}, 400),
        ({"body": {**PING, "methodName": "x" * 101}}, 400),
        ({"body": {**PING, "payload": "x" * 131072}}, 400),
        ({"body": {**PING, "responseTimeoutInSeconds": 4}}, 400),
        ({"body": {**PING, "responseTimeoutInSeconds": 301}}, 400),
        ({"body": {**PING, "connectTimeoutInSeconds": 301}}, 400),
        ({"body": {**PING, "connectTimeoutInSeconds": "soon"}}, 400),
        ({"body": b"[" * 100_000}, 400),
    ],
)
async def test_a_bad_call_is_refused(edge: Edge, change: dict[str, Any], status: int) -> None:
    await callee(edge)
    asked: dict[str, Any] = {"body": PING, **change}
    found = await post(edge, **asked)
    assert found.status == status
    assert found.body["Message"]


async def test_who_may_not_call_is_told_so_in_edge_hubs_words(edge: Edge) -> None:
    found = await post(edge, PING, caller="other/m")
    assert found.body["Message"].endswith("Only modules on the same device can invoke DirectMethods")


async def test_the_hub_has_a_method_of_its_own(edge: Edge) -> None:
    own = "/twins/edge/modules/$edgeHub/methods"
    call = {"methodName": "refreshserviceidentities", "payload": {"deviceIds": ["leaf", "edge/m"]}}
    assert await post(edge, call, path=own) == Answer(200, {"status": 200, "payload": None})
    assert edge.identities.asked == [LEAF, M]
    assert (await post(edge, {**call, "payload": [1]}, path=own)).body["status"] == 400
    assert (await post(edge, PING, path=own)).body["status"] == 404
    assert await edge.hub.method(OWN, "nothing", b"null") == (404, b'{"message":"Method nothing is not supported"}')


async def test_the_cloud_calls_a_client_also_one_that_subscribes_only_then(edge: Edge) -> None:
    asked = asyncio.ensure_future(edge.hub.method(M, "ping", b'{"a":1}'))
    await edge.clock.advance(5)
    peer = await callee(edge)
    call = await peer.until(Publish)
    assert call.payload == b'{"a":1}'
    answer(peer, call, 201, b"[2]")
    assert await asked == (201, b"[2]")
    peer.leave()
    edge.peers.clear()
    missed = asyncio.ensure_future(edge.hub.method(M, "ping", b"null"))
    await edge.clock.advance(31)
    with pytest.raises(Unreachable, match="edge/m"):
        await missed


async def test_a_message_from_the_cloud_is_passed_on_and_acknowledged_by_the_device(edge: Edge) -> None:
    bag = "%24.to=%2Fdevices%2Fleaf%2Fmessages%2FdeviceBound&p=q%20r"
    with pytest.raises(Unreachable):
        await edge.hub.command(LEAF, bag, b"order")  # not kept at the edge
    peer = await edge.connected("leaf")
    peer.subscribe(COMMANDS)
    await peer.until(SubAck)
    given = asyncio.ensure_future(edge.hub.command(LEAF, bag, b"order"))
    message = await peer.until(Publish)
    topic, _, rest = message.topic.rpartition("/")
    assert (topic, message.payload, message.qos) == ("devices/leaf/messages/devicebound", b"order", 1)
    assert bags.decode(rest) == {"$.to": "/devices/leaf/messages/deviceBound", "p": "q r"}
    assert not given.done()
    peer.feed(PubAck(message.packet_id))
    await given
    lost = asyncio.ensure_future(edge.hub.command(LEAF, bag, b"order"))
    await peer.until(Publish)
    peer.leave()
    edge.peers.clear()
    with pytest.raises(Unreachable):
        await lost
    peer = await edge.connected("leaf")
    late = asyncio.ensure_future(edge.hub.command(LEAF, bag, b"order"))
    await edge.clock.advance(31)
    with pytest.raises(Unreachable):
        await late
