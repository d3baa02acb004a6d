"""Addresses, balancing and names without a cluster."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.kubernetes.network.addresses import NoAddress, PodAddresses, PodRange, ServiceBlock
from windtunnel_emulators.kubernetes.network.balancing import Balancer, Endpoints, endpoints
from windtunnel_emulators.kubernetes.network.listener import PortListener
from windtunnel_emulators.kubernetes.node.environment import service_variables

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject

LIMIT_S = 20


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=60))
def test_no_two_pods_have_one_address(steps: list[tuple[bool, int]]) -> None:
    pods, held = PodRange("10.244.3.0/28"), dict[str, str]()
    for takes, number in steps:
        uid = str(number)
        if takes:
            address = pods.take(uid, preferred=held.get(uid))
            assert held.setdefault(uid, address) == address
        else:
            pods.release(uid)
            held.pop(uid, None)
        assert len(set(held.values())) == len(held)


def test_a_full_range_says_so() -> None:
    pods = PodRange("10.0.0.0/30")
    pods.take("only")
    with pytest.raises(NoAddress, match=r"10\.0\.0\.0/30"):
        pods.take("more")


def test_a_pod_keeps_the_address_it_had() -> None:
    assert PodRange("10.244.0.0/24").take("a", "10.244.0.77") == "10.244.0.77"
    assert PodRange("10.244.0.0/24").take("a", "10.9.9.9") == "10.244.0.2"


def test_two_clusters_have_blocks_of_their_own() -> None:
    one, other = ServiceBlock("same"), ServiceBlock("same")
    try:
        assert one.prefix is not None
        assert one.prefix != other.prefix
        assert one.loopback("10.0.12.34") == f"{one.prefix}.12.34"
    finally:
        one.close()
        other.close()


def _slice(*found: tuple[str, dict[str, bool]], port: int = 8080, name: str = "") -> JsonObject:
    return {
        "ports": [{"name": name, "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {**conditions}} for address, conditions in found],
    }


def test_only_ready_endpoints_count_and_ending_ones_help_out() -> None:
    found = endpoints(
        [
            _slice(
                ("10.244.0.2", {"ready": True}),
                ("10.244.0.3", {"ready": False}),
                ("10.244.0.4", {"ready": False, "serving": True, "terminating": True}),
            )
        ],
        "",
    )
    assert found == Endpoints(ready=(("10.244.0.2", 8080),), serving=(("10.244.0.4", 8080),))


def test_connections_go_round_and_stick_where_asked() -> None:
    balancer = Balancer()
    balancer.set(Endpoints(ready=(("a", 1), ("b", 1), ("c", 1))))
    assert {next(balancer.choices("client", 0)) for _ in range(3)} == {("a", 1), ("b", 1), ("c", 1)}
    balancer.set(Endpoints(ready=(("a", 1), ("b", 1), ("c", 1))), sticky_s=10)
    balancer.chosen("client", ("b", 1), 0)
    assert [next(balancer.choices("client", 5)) for _ in range(4)] == [("b", 1)] * 4
    assert {next(balancer.choices("client", 50)) for _ in range(3)} == {("a", 1), ("b", 1), ("c", 1)}


def test_a_pod_that_is_about_to_end_is_the_last_resort() -> None:
    balancer = Balancer()
    balancer.set(Endpoints(ready=(("a", 1), ("b", 1))))
    assert list(balancer.choices("client", 0, frozenset({"a"}))) == [("b", 1)]
    assert ("a", 1) in list(balancer.choices("client", 0, frozenset({"a", "b"})))


def test_leaving_is_forgotten_with_the_pod() -> None:
    pods = PodAddresses()
    pods.set("10.244.0.2", "127.64.0.2")
    pods.leave("10.244.0.2")
    assert pods.all_leaving() == {"10.244.0.2"}
    pods.set("10.244.0.2", "127.64.0.9")
    assert pods.all_leaving() == frozenset()
    assert pods.loopback("10.244.0.2") == "127.64.0.9"


def test_service_variables_are_docker_s() -> None:
    service: JsonObject = {
        "metadata": {"name": "my-db"},
        "spec": {"ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}]},
    }
    assert service_variables([(service, "127.130.0.1")]) == {
        "MY_DB_SERVICE_HOST": "127.130.0.1",
        "MY_DB_SERVICE_PORT": "5432",
        "MY_DB_SERVICE_PORT_SQL": "5432",
        "MY_DB_PORT": "tcp://127.130.0.1:5432",
        "MY_DB_PORT_5432_TCP": "tcp://127.130.0.1:5432",
        "MY_DB_PORT_5432_TCP_PROTO": "tcp",
        "MY_DB_PORT_5432_TCP_PORT": "5432",
        "MY_DB_PORT_5432_TCP_ADDR": "127.130.0.1",
    }


async def test_a_refused_connection_is_tried_elsewhere() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    chosen: list[tuple[str, int]] = []
    listener = PortListener(
        "127.0.0.1",
        0,
        choices=lambda client: [("dead", 1), ("unknown", 1), ("live", port)],
        resolve=lambda endpoint: {"dead": ("127.0.0.1", 1), "live": ("127.0.0.1", port)}.get(endpoint[0]),
        chosen=lambda client, endpoint: chosen.append(endpoint),
    )
    await listener.open()
    try:
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.bound_port)
            writer.write(b"hello")
            writer.write_eof()
            assert await reader.read() == b"hello"
            writer.close()
        assert chosen == [("live", port)]
    finally:
        await listener.close()
        server.close()


async def test_without_endpoints_a_connection_is_reset() -> None:
    listener = PortListener(
        "127.0.0.1", 0, choices=lambda client: [], resolve=lambda endpoint: None, chosen=lambda client, endpoint: None
    )
    await listener.open()
    try:
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.bound_port)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
    finally:
        await listener.close()
