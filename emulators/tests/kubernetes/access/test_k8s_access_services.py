"""Addresses and ports of Services: given, kept, given back; messages are those of the real server (1.34)."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.kubernetes.access.allocation.pools import Pool, pick

if TYPE_CHECKING:
    from tests.kubernetes.access.conftest import Lab

SERVICES = "/api/v1/namespaces/lab/services"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"


async def _service(lab: Lab, name: str, **spec: Any) -> Any:
    spec.setdefault("ports", [{"port": 80}])
    made: Any = await lab.post(SERVICES, {"metadata": {"name": name}, "spec": spec})
    return made["spec"]


@given(st.sets(st.integers(0, 99)), st.integers(0, 120))
def test_what_is_picked_is_free_and_something_is_picked_while_there_is_any(taken: set[int], first: int) -> None:
    found = pick(range(100), lambda value: value not in taken, first)
    assert (found is None) == (len(taken) == 100)
    assert found not in taken


@given(
    st.lists(
        st.tuples(st.sampled_from([("n", "a"), ("n", "b"), ("m", "a")]), st.sets(st.integers(0, 5), max_size=3)),
        max_size=12,
    )
)
def test_a_pool_knows_who_has_what(steps: list[tuple[tuple[str, str], set[int]]]) -> None:
    pool: Pool[int] = Pool(lambda: 0.0)
    held: dict[tuple[str, str], set[int]] = {}
    for owner, values in steps:
        wanted = {value for value in values if pool.free(value, owner)}
        pool.hold(owner, wanted)
        held[owner] = wanted
        for value in range(6):
            owners = [who for who, values_ in held.items() if value in values_]
            assert len(owners) <= 1
            assert pool.owner(value) == (owners[0] if owners else None)


def test_what_is_reserved_comes_back_when_nothing_comes_of_it() -> None:
    now = 0.0
    pool: Pool[int] = Pool(lambda: now)
    pool.reserve(("n", "a"), 1)
    assert not pool.free(1, ("n", "b"))
    now = 61.0
    assert pool.free(1, ("n", "b"))


async def test_a_service_has_an_address_of_the_range_and_an_object_for_it(lab: Lab) -> None:
    spec = await _service(lab, "a")
    assert ipaddress.ip_address(spec["clusterIP"]) in ipaddress.ip_network("10.0.0.0/16")
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    await lab.clock.advance(0)
    found: Any = await lab.get(f"{ADDRESSES}/{spec['clusterIP']}")
    assert found["spec"]["parentRef"] == {"resource": "services", "namespace": "lab", "name": "a"}
    await lab.delete(f"{SERVICES}/a")
    await lab.clock.advance(0)
    assert (await lab.refused("GET", f"{ADDRESSES}/{spec['clusterIP']}")).code == 404
    again = await _service(lab, "b", clusterIP=spec["clusterIP"])
    assert again["clusterIP"] == spec["clusterIP"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"clusterIP": "10.0.0.1"},
            'spec.clusterIPs: Invalid value: ["10.0.0.1"]: failed to allocate IP 10.0.0.1: provided IP is already'
            " allocated",
        ),
        (
            {"clusterIP": "10.9.0.1"},
            'spec.clusterIPs: Invalid value: ["10.9.0.1"]: failed to allocate IP 10.9.0.1: the provided network does'
            " not match the current range",
        ),
        (
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]},
            "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid"
            " ports is 30000-32767",
        ),
        (
            {"ipFamilyPolicy": "RequireDualStack"},
            'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack'
            " services",
        ),
        ({"ipFamilies": ["IPv6"]}, 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'),
    ],
)
async def test_what_cannot_be_had_is_refused(lab: Lab, spec: Any, message: str) -> None:
    body: Any = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], **spec}}
    refused = await lab.refused("POST", SERVICES, body)
    assert (refused.code, str(refused)) == (422, f'Service "s" is invalid: {message}')


async def test_headless_and_external_services_have_no_address(lab: Lab) -> None:
    assert (await _service(lab, "h", clusterIP="None", selector={"a": "b"}))["clusterIPs"] == ["None"]
    free = await _service(lab, "f", clusterIP="None", ports=[])
    assert (free["ipFamilies"], free["ipFamilyPolicy"]) == (["IPv4", "IPv6"], "RequireDualStack")
    external = await _service(lab, "e", type="ExternalName", externalName="x.y", ports=[])
    assert "clusterIP" not in external


async def test_node_ports_are_one_per_port_and_given_back_with_the_type(lab: Lab) -> None:
    ports: Any = [{"name": "t", "port": 80}, {"name": "u", "port": 80, "protocol": "UDP"}, {"name": "o", "port": 81}]
    spec = await _service(lab, "n", type="NodePort", ports=ports)
    numbers = [port["nodePort"] for port in spec["ports"]]
    assert numbers[0] == numbers[1] != numbers[2]
    taken = await lab.refused(
        "POST",
        SERVICES,
        {"metadata": {"name": "m"}, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": numbers[0]}]}},
    )
    assert str(taken).endswith(f"Invalid value: {numbers[0]}: provided port is already allocated")
    changed: Any = await lab.patch(f"{SERVICES}/n", {"spec": {"type": "ClusterIP"}})
    assert all("nodePort" not in port for port in changed["spec"]["ports"])
    await _service(lab, "m", type="NodePort", ports=[{"port": 80, "nodePort": numbers[0]}])


async def test_a_change_keeps_what_was_given(lab: Lab) -> None:
    spec = await _service(lab, "a", type="LoadBalancer", externalTrafficPolicy="Local")
    assert spec["healthCheckNodePort"] != spec["ports"][0]["nodePort"]
    changed: Any = await lab.patch(f"{SERVICES}/a", {"spec": {"ports": [{"port": 81}]}})
    assert changed["spec"]["clusterIP"] == spec["clusterIP"]
    assert changed["spec"]["ports"][0]["nodePort"] == spec["ports"][0]["nodePort"]
    changed = await lab.patch(f"{SERVICES}/a", {"spec": {"externalTrafficPolicy": "Cluster"}})
    assert "healthCheckNodePort" not in changed["spec"]


async def test_a_dry_run_takes_nothing(lab: Lab) -> None:
    body: Any = {"metadata": {"name": "a"}, "spec": {"clusterIP": "10.0.7.7", "ports": [{"port": 80}]}}
    made: Any = await lab.post(SERVICES, body, dryRun="All")
    assert made["spec"]["clusterIP"] == "10.0.7.7"
    assert (await _service(lab, "b", clusterIP="10.0.7.7"))["clusterIP"] == "10.0.7.7"


async def test_services_made_at_the_same_time_have_different_addresses(lab: Lab) -> None:
    import asyncio

    specs = await asyncio.gather(*(_service(lab, f"s{number}", type="NodePort") for number in range(40)))
    assert len({spec["clusterIP"] for spec in specs}) == 40
    assert len({spec["ports"][0]["nodePort"] for spec in specs}) == 40
