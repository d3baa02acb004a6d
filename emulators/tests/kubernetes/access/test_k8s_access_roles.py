"""Roles, bindings, what may be granted, and reviews: messages are those of the real server (1.34)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.kubernetes.access.escalation import compacted, described, uncovered
from windtunnel_emulators.kubernetes.access.interface import Attributes
from windtunnel_emulators.kubernetes.access.rules import Rule
from windtunnel_emulators.kubernetes.access.users import named, node

if TYPE_CHECKING:
    from tests.kubernetes.access.conftest import Lab

LAB = "/api/v1/namespaces/lab"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
READ_PODS: Any = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}

words = st.sampled_from(["", "a", "b", "c", "*"])
plain = st.sampled_from(["", "a", "b", "c"])
some = st.lists(words, min_size=1, max_size=3, unique=True).map(tuple)
rules = st.builds(Rule, verbs=some, groups=some, resources=some)
asked = st.builds(
    Attributes, verb=plain, group=plain, resource=st.sampled_from(["a", "b"]), subresource=plain, name=plain
)


@given(rules, asked)
def test_a_rule_allows_what_each_of_its_parts_allows(rule: Rule, what: Attributes) -> None:
    resource = f"{what.resource}/{what.subresource}" if what.subresource else what.resource
    expected = (
        bool({what.verb, "*"} & {*rule.verbs})
        and bool({what.group, "*"} & {*rule.groups})
        and bool({resource, "*"} & {*rule.resources})
    )
    assert rule.allows(what) is expected


@given(st.lists(rules, max_size=3), st.lists(rules, max_size=3), asked)
def test_rules_that_are_covered_allow_nothing_more(held: list[Rule], wanted: list[Rule], what: Attributes) -> None:
    if not uncovered(held, wanted) and any(rule.allows(what) for rule in wanted):
        assert any(rule.allows(what) for rule in held)


@given(st.lists(rules, max_size=3))
def test_whoever_has_rules_may_grant_them(held: list[Rule]) -> None:
    assert uncovered(held, held) == []


def test_missing_permissions_are_told_by_resource() -> None:
    wanted = [Rule(verbs=("get", "list"), groups=("",), resources=("pods",)), Rule(verbs=("get",), paths=("/x",))]
    assert sorted(described(rule) for rule in compacted(uncovered([], wanted))) == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}',
        '{NonResourceURLs:["/x"], Verbs:["get"]}',
    ]


async def test_who_may_not_is_told_what(lab: Lab) -> None:
    bob = lab.as_user("bob")
    assert str(await lab.refused("GET", f"{LAB}/pods", by=bob)) == (
        'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "lab"'
    )
    assert str(await lab.refused("DELETE", "/api/v1/nodes/n", by=bob)) == (
        'nodes "n" is forbidden: User "bob" cannot delete resource "nodes" in API group "" at the cluster scope'
    )


async def test_a_role_counts_in_its_namespace_and_as_soon_as_it_is_bound(lab: Lab) -> None:
    bob = lab.as_user("bob")
    await lab.refused("GET", f"{LAB}/pods", by=bob)
    await lab.grant("bob", READ_PODS, namespace="lab")
    assert (await bob.request("GET", f"{LAB}/pods"))["items"] == []
    await lab.refused("GET", "/api/v1/pods", by=bob)
    await lab.refused("GET", "/api/v1/namespaces/default/pods", by=bob)
    await lab.delete(f"{RBAC}/namespaces/lab/rolebindings/granted")
    await lab.refused("GET", f"{LAB}/pods", by=bob)


async def test_a_binding_of_a_role_that_is_not_there_says_so(lab: Lab) -> None:
    binding: Any = {
        "metadata": {"name": "broken"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "nothere"},
        "subjects": [{"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await lab.post(f"{RBAC}/namespaces/lab/rolebindings", binding)
    assert str(await lab.refused("GET", f"{LAB}/pods", by=lab.as_user("bob"))).endswith(
        'in the namespace "lab": RBAC: role.rbac.authorization.k8s.io "nothere" not found'
    )


async def test_nobody_grants_more_than_they_have(lab: Lab) -> None:
    everything: Any = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["create", "get"]}
    await lab.grant("dora", everything, READ_PODS)
    dora = lab.as_user("dora")
    roles = f"{RBAC}/namespaces/lab/roles"
    secret: Any = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    assert str(
        await lab.refused("POST", roles, {"metadata": {"name": "r"}, "rules": [READ_PODS, secret]}, by=dora)
    ) == (
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "dora" (groups=["system:authenticated"]) is attempting'
        ' to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    )
    await dora.request("POST", roles, body={"metadata": {"name": "r"}, "rules": [READ_PODS]})
    binding: Any = {
        "metadata": {"name": "all"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "name": "dora", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    refused = await lab.refused("POST", f"{RBAC}/clusterrolebindings", binding, by=dora)
    assert '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}' in str(refused)


async def test_whoever_may_escalate_or_bind_may_grant(lab: Lab) -> None:
    lifted: Any = {
        "apiGroups": ["rbac.authorization.k8s.io"],
        "resources": ["roles", "clusterroles", "clusterrolebindings"],
        "verbs": ["create", "escalate", "bind"],
    }
    await lab.grant("carl", lifted)
    body: Any = {"metadata": {"name": "r"}, "rules": [READ_PODS]}
    await lab.as_user("carl").request("POST", f"{RBAC}/namespaces/lab/roles", body=body)


async def test_aggregated_roles_have_the_rules_of_those_they_select(lab: Lab) -> None:
    before: Any = await lab.get(f"{RBAC}/clusterroles/view")
    rule: Any = {"apiGroups": ["example.org"], "resources": ["widgets"], "verbs": ["get"]}
    labels: Any = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    await lab.post(f"{RBAC}/clusterroles", {"metadata": {"name": "widgets", "labels": labels}, "rules": [rule]})
    await lab.clock.advance(0)
    after: Any = await lab.get(f"{RBAC}/clusterroles/view")
    assert rule in after["rules"]
    assert len(after["rules"]) == len(before["rules"]) + 1


async def test_the_default_roles_are_there_and_put_right(lab: Lab) -> None:
    names = {one["metadata"]["name"] for one in (await _items(lab, f"{RBAC}/clusterroles"))}
    assert {"cluster-admin", "admin", "edit", "view", "system:node", "system:discovery"} <= names
    assert len(names) >= 65
    edit: Any = await lab.get(f"{RBAC}/clusterroles/edit")
    assert any("pods/exec" in rule["resources"] for rule in edit["rules"])


async def _items(lab: Lab, path: str) -> list[Any]:
    found: Any = await lab.get(path)
    return list(found["items"])


async def test_reviews_answer_who_may_do_what(lab: Lab) -> None:
    await lab.grant("bob", READ_PODS)
    reviews = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    spec: Any = {"user": "bob", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "lab"}}
    found: Any = await lab.post(reviews, {"spec": spec})
    assert found["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by ClusterRoleBinding "granted" of ClusterRole "granted" to User "bob"',
    }
    spec["resourceAttributes"]["verb"] = "delete"
    found = await lab.post(reviews, {"spec": spec})
    assert found["status"] == {"allowed": False}
    wrong = await lab.refused("POST", reviews, {"spec": {"user": "bob"}})
    assert "exactly one of nonResourceAttributes or resourceAttributes must be specified" in str(wrong)


async def test_users_see_their_own_rules_and_name(lab: Lab) -> None:
    await lab.grant("bob", READ_PODS)
    bob = lab.as_user("bob", "dev")
    found: Any = await bob.request(
        "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body={"spec": {"namespace": "lab"}}
    )
    pods = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}
    assert pods in found["status"]["resourceRules"]
    who: Any = await bob.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body={})
    assert who["status"]["userInfo"] == {"username": "bob", "groups": ["dev", "system:authenticated"]}


async def test_a_node_reads_what_its_pods_refer_to_and_no_more(lab: Lab) -> None:
    for name in ("used", "other"):
        await lab.post(f"{LAB}/secrets", {"metadata": {"name": name}})
    volume: Any = {"name": "v", "secret": {"secretName": "used"}}
    await lab.post(f"{LAB}/pods", lab.pod("p", nodeName="n1", volumes=[volume]))
    await lab.post(f"{LAB}/pods", lab.pod("q", nodeName="n2"))
    kubelet, other = lab.client(node("n1")), lab.client(node("n2"))
    await kubelet.request("GET", f"{LAB}/secrets/used")
    refused = await lab.refused("GET", f"{LAB}/secrets/other", by=kubelet)
    assert str(refused).endswith(": no relationship found between node 'n1' and this object")
    for path in (f"{LAB}/secrets", "/api/v1/nodes/n2", "/api/v1/pods"):
        assert (await lab.refused("GET", path, by=kubelet)).code == 403
    assert (await lab.refused("GET", f"{LAB}/secrets/used", by=other)).code == 403
    listed: Any = await kubelet.request("GET", "/api/v1/pods", query={"fieldSelector": "spec.nodeName=n1"})
    assert [one["metadata"]["name"] for one in listed["items"]] == ["p"]
    await lab.admin.request("DELETE", f"{LAB}/pods/p", query={"gracePeriodSeconds": "0"})
    assert (await lab.refused("GET", f"{LAB}/secrets/used", by=kubelet)).code == 403


async def test_a_decision_that_is_known_costs_microseconds(lab: Lab) -> None:
    bob, what = named("bob"), Attributes(verb="get", resource="pods", namespace="lab")
    await lab.grant("bob", READ_PODS)
    lab.access.authorize(bob, what)
    began = time.perf_counter()
    for _ in range(1000):
        lab.access.authorize(bob, what)
    assert time.perf_counter() - began < 1  # a thousandth of a second each, where microseconds are usual
