"""Which node a pod gets, and what is said when it gets none; the sentences are those of kube-scheduler 1.34.4."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.kubernetes.scheduler.cycle import Placed, Unplaced, place
from windtunnel_emulators.kubernetes.scheduler.nodes import Cluster, PodInfo, ports_clash, requests_of

_UID = iter(range(10**9))


def node(
    name: str,
    *,
    cpu: str = "2",
    memory: str = "4Gi",
    labels: dict[str, str] | None = None,
    taints: Any = (),
    unschedulable: bool = False,
    **extended: Any,
) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": {"taints": list(taints), "unschedulable": unschedulable},
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": "110", **extended}},
    }


def pod(
    name: str = "p",
    *,
    cpu: str | None = "100m",
    labels: dict[str, str] | None = None,
    priority: int = 0,
    containers: Any = None,
    on: str = "",
    **spec: Any,
) -> dict[str, Any]:
    resources = {"requests": {"cpu": cpu}} if cpu else {}
    return {
        "metadata": {"name": name, "namespace": "n", "uid": str(next(_UID)), "labels": labels or {"app": name}},
        "spec": {
            "containers": containers or [{"name": "c", "resources": resources}],
            "priority": priority,
            **({"nodeName": on} if on else {}),
            **spec,
        },
    }


def cluster(*nodes: dict[str, Any], pods: tuple[dict[str, Any], ...] = ()) -> Cluster:
    made = Cluster()
    for each in nodes:
        made.put_node(each)
    for each in pods:
        made.place(each, each["spec"]["nodeName"])
    return made


def decided(on: Cluster, wanted: dict[str, Any], **changes: Any) -> Placed | Unplaced:
    return place(
        PodInfo.of(wanted),
        on.nodes(),
        {"n": {"team": "a"}, "m": {"team": "b"}},
        changes.pop("nominated", {}),
        **changes,
    )


NO_CLAIMS = "no new claims to deallocate, preemption: "


def required(part: str, term: dict[str, Any]) -> dict[str, Any]:
    return {part: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def apart(app: str) -> dict[str, Any]:
    term: dict[str, Any] = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": app}}}
    return required("podAntiAffinity", term)


def near(app: str) -> dict[str, Any]:
    term: dict[str, Any] = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": app}}}
    return required("podAffinity", term)


SPREAD = {
    "maxSkew": 1,
    "topologyKey": "zone",
    "whenUnsatisfiable": "DoNotSchedule",
    "labelSelector": {"matchLabels": {"app": "s"}},
}
A, B = {"zone": "a"}, {"zone": "b"}
HELPLESS = "Preemption is not helpful for scheduling."
VICTIMS = "No preemption victims found for incoming pod."


@pytest.mark.parametrize(
    ("wanted", "there", "reason", "preemption"),
    [
        (pod(cpu="4"), (), "Insufficient cpu", HELPLESS),
        (pod(cpu="1500m"), (pod(on="x", cpu="1"),), "Insufficient cpu", VICTIMS),
        (pod(nodeSelector={"disk": "ssd"}), (), "node(s) didn't match Pod's node affinity/selector", HELPLESS),
        (
            pod(containers=[{"name": "c", "ports": [{"containerPort": 1, "hostPort": 80}]}]),
            (pod(on="x", containers=[{"name": "c", "ports": [{"containerPort": 2, "hostPort": 80}]}]),),
            "node(s) didn't have free ports for the requested pod ports",
            VICTIMS,
        ),
        (pod(affinity=near("none")), (), "node(s) didn't match pod affinity rules", HELPLESS),
        (
            pod(affinity=apart("other")),
            (pod("other", on="x"),),
            "node(s) didn't match pod anti-affinity rules",
            VICTIMS,
        ),
        (
            pod("me"),
            (pod("other", on="x", affinity=apart("me")),),
            "node(s) didn't satisfy existing pods anti-affinity rules",
            VICTIMS,
        ),
        (
            pod("s", topologySpreadConstraints=[{**SPREAD, "topologyKey": "rack"}]),
            (),
            "node(s) didn't match pod topology spread constraints (missing required label)",
            HELPLESS,
        ),
        (
            pod(cpu=None, containers=[{"name": "c", "resources": {"requests": {"microsoft.com/fpga": "1"}}}]),
            (),
            "Insufficient microsoft.com/fpga",
            HELPLESS,
        ),
    ],
)
def test_one_node_refuses_with_its_reason(
    wanted: dict[str, Any], there: tuple[dict[str, Any], ...], reason: str, preemption: str
) -> None:
    found = decided(cluster(node("x", labels=A), pods=there), wanted)
    said = f"0/1 nodes are available: 1 {reason}. {NO_CLAIMS}0/1 nodes are available: 1 {preemption}"
    assert found == Unplaced(said)


def test_reasons_are_counted_over_nodes() -> None:
    nodes = cluster(
        node("a"), node("b", unschedulable=True), node("c", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}])
    )
    found = decided(nodes, pod(cpu="9"))
    assert isinstance(found, Unplaced)
    assert found.message == (
        "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), "
        "1 node(s) were unschedulable. "
        f"{NO_CLAIMS}0/3 nodes are available: 3 {HELPLESS}"
    )


def test_no_node_and_no_claim_are_said() -> None:
    assert decided(cluster(), pod()) == Unplaced("no nodes available to schedule pods")
    found = decided(cluster(node("a")), pod(), problem='persistentvolumeclaim "x" not found')
    assert found == Unplaced('0/1 nodes are available: persistentvolumeclaim "x" not found. not found')


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"key": "k", "operator": "Equal", "value": "v"}, True),
        ({"key": "k", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_taints_are_tolerated_as_said(toleration: dict[str, Any], fits: bool) -> None:
    nodes = cluster(node("a", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}]))
    assert isinstance(decided(nodes, pod(tolerations=[toleration])), Placed) is fits


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ({"key": "n", "operator": "In", "values": ["1", "2"]}, "ab"),
        ({"key": "n", "operator": "NotIn", "values": ["1"]}, "bc"),
        ({"key": "n", "operator": "Exists"}, "ab"),
        ({"key": "n", "operator": "DoesNotExist"}, "c"),
        ({"key": "n", "operator": "Gt", "values": ["1"]}, "b"),
        ({"key": "n", "operator": "Lt", "values": ["2"]}, "a"),
    ],
)
def test_node_affinity_selects_by_expression(expression: dict[str, Any], names: str) -> None:
    given_nodes = {"a": node("a", labels={"n": "1"}), "b": node("b", labels={"n": "2"}), "c": node("c")}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    fitting = [
        n for n, each in given_nodes.items() if isinstance(decided(cluster(each), pod(affinity=affinity)), Placed)
    ]
    assert "".join(fitting) == names


def test_the_emptier_node_is_better_and_a_preferred_one_better_still() -> None:
    nodes = cluster(node("a", labels=A), node("b", labels=B), pods=(pod("x", on="a", cpu="1"),))
    assert decided(nodes, pod()) == Placed("b")
    preference = {
        "weight": 100,
        "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]},
    }
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preference]}}
    assert decided(nodes, pod(affinity=affinity)) == Placed("a")


def test_pods_are_spread_over_domains() -> None:
    nodes = cluster(node("a", labels=A), node("b", labels=B), pods=(pod("s", on="a"),))
    assert decided(nodes, pod("s", topologySpreadConstraints=[SPREAD])) == Placed("b")


def test_the_first_of_a_group_that_wants_to_be_together_may_be_anywhere() -> None:
    nodes = cluster(node("a", labels=A), node("b", labels=B))
    assert isinstance(decided(nodes, pod("g", affinity=near("g"))), Placed)
    nodes.place(pod("g", on="b"), "b")
    assert decided(nodes, pod("g", affinity=near("g"))) == Placed("b")


def test_affinity_looks_into_the_namespaces_it_names() -> None:
    other = pod("db", on="b")
    other["metadata"]["namespace"] = "m"
    nodes = cluster(node("a", labels=A), node("b", labels=B), pods=(other,))
    term: dict[str, Any] = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "db"}}}
    assert isinstance(decided(nodes, pod(affinity=required("podAffinity", term))), Unplaced)
    by_label: dict[str, Any] = {**term, "namespaceSelector": {"matchLabels": {"team": "b"}}}
    assert decided(nodes, pod(affinity=required("podAffinity", by_label))) == Placed("b")


def test_a_more_important_pod_takes_the_place_of_the_least_important() -> None:
    low, middle = pod("low", on="a", cpu="1", priority=1), pod("middle", on="a", cpu="1", priority=5)
    found = decided(cluster(node("a"), pods=(low, middle)), pod(cpu="1", priority=10))
    assert isinstance(found, Unplaced)
    assert found.nominated == "a"
    assert [each.key for each in found.victims] == ["n/low"]


def test_nothing_is_preempted_by_its_equal_or_by_policy() -> None:
    nodes = cluster(node("a"), pods=(pod("low", on="a", cpu="2", priority=5),))
    equal = decided(nodes, pod(cpu="1", priority=5))
    assert isinstance(equal, Unplaced)
    assert not equal.victims
    never = decided(nodes, pod(cpu="1", priority=9, preemptionPolicy="Never"))
    assert isinstance(never, Unplaced)
    assert never.message.endswith("preemption: not eligible due to preemptionPolicy=Never.")


def test_room_that_was_made_for_another_is_not_taken() -> None:
    nodes = cluster(node("a"))
    other = PodInfo.of(pod("vip", cpu="2", priority=9))
    assert isinstance(decided(nodes, pod(cpu="1"), nominated={"a": [other]}), Unplaced)
    assert decided(nodes, pod(cpu="1", priority=10), nominated={"a": [other]}) == Placed("a")


def test_init_containers_and_sidecars_count_as_they_run() -> None:
    def asking(cpu: str, **more: Any) -> dict[str, Any]:
        return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}

    spec: dict[str, Any] = {"initContainers": [asking("300m", restartPolicy="Always"), asking("900m")]}
    assert requests_of(pod(containers=[asking("100m"), asking("200m")], **spec))["cpu"] == 1200
    assert requests_of(pod(containers=[asking("2")], **spec))["cpu"] == 2300


def test_ports_clash_at_one_address_or_at_all() -> None:
    everywhere, one, two = ("0.0.0.0", "TCP", 80), ("10.0.0.1", "TCP", 80), ("10.0.0.2", "TCP", 80)
    assert ports_clash([one], [everywhere])
    assert ports_clash([everywhere], [one])
    assert not ports_clash([one], [two])
    assert not ports_clash([one], [("10.0.0.1", "UDP", 80)])


@given(
    st.lists(st.integers(1, 8), min_size=1, max_size=5),
    st.lists(st.integers(100, 3000), min_size=1, max_size=25),
)
def test_no_node_is_ever_given_more_than_it_has(nodes: list[int], pods: list[int]) -> None:
    world = cluster(*(node(f"n{i}", cpu=str(cpu)) for i, cpu in enumerate(nodes)))
    for milli in pods:
        wanted = pod(cpu=f"{milli}m")
        found = decided(world, wanted)
        if isinstance(found, Placed):
            world.place(wanted, found.node)
        else:
            assert all(each.allocatable["cpu"] - each.requested.get("cpu", 0) < milli for each in world.nodes())
    for each in world.nodes():
        assert each.requested.get("cpu", 0) <= each.allocatable["cpu"]
