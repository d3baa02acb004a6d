"""What admission makes of writes, and what it refuses: messages are those of the real server (1.34)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_emulators.kubernetes.access.users import node

if TYPE_CHECKING:
    from tests.kubernetes.access.conftest import Lab

LAB = "/api/v1/namespaces/lab"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"


async def test_a_namespace_has_to_be_there_and_to_stay(lab: Lab) -> None:
    missing = await lab.refused("POST", "/api/v1/namespaces/nope/configmaps", {"metadata": {"name": "x"}})
    assert (missing.code, str(missing)) == (404, 'namespaces "nope" not found')
    for name in ("default", "kube-system", "kube-public"):
        kept = await lab.refused("DELETE", f"/api/v1/namespaces/{name}")
        assert str(kept) == f'namespaces "{name}" is forbidden: this namespace may not be deleted'
    await lab.delete("/api/v1/namespaces/lab")
    ending = await lab.refused("POST", f"{LAB}/configmaps", {"metadata": {"name": "x"}})
    assert str(ending) == (
        'configmaps "x" is forbidden: unable to create new content in namespace lab because it is being terminated'
    )
    assert ending.status["details"] == {
        "name": "x",
        "kind": "configmaps",
        "causes": [
            {
                "reason": "NamespaceTerminating",
                "message": "namespace lab is being terminated",
                "field": "metadata.namespace",
            }
        ],
    }


async def test_a_pod_is_given_its_account_token_priority_and_tolerations(lab: Lab) -> None:
    made: Any = await lab.post(f"{LAB}/pods", lab.pod("p"))
    spec = made["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    volume, mount = spec["volumes"][0], spec["containers"][0]["volumeMounts"][0]
    assert volume["name"].startswith("kube-api-access-")
    assert mount == {
        "name": volume["name"],
        "readOnly": True,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    }
    assert [next(iter(source)) for source in volume["projected"]["sources"]] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    assert [(one["key"], one["tolerationSeconds"]) for one in spec["tolerations"]] == [
        ("node.kubernetes.io/not-ready", 300),
        ("node.kubernetes.io/unreachable", 300),
    ]


async def test_a_token_is_not_mounted_where_pod_or_account_say_so(lab: Lab) -> None:
    made: Any = await lab.post(f"{LAB}/pods", lab.pod("p", automountServiceAccountToken=False))
    assert "volumes" not in made["spec"]
    await lab.post(f"{LAB}/serviceaccounts", {"metadata": {"name": "s"}, "automountServiceAccountToken": False})
    made = await lab.post(f"{LAB}/pods", lab.pod("q", serviceAccountName="s"))
    assert "volumes" not in made["spec"]
    made = await lab.post(f"{LAB}/pods", lab.pod("r", serviceAccountName="s", automountServiceAccountToken=True))
    assert len(made["spec"]["volumes"]) == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"serviceAccountName": "nope"},
            'error looking up service account lab/nope: serviceaccount "nope" not found',
        ),
        ({"priorityClassName": "nope"}, "no PriorityClass with name nope was found"),
        (
            {"priority": 5},
            "the integer value of priority (5) must not be provided in pod spec; priority admission controller"
            " computed 0 from the given PriorityClass name",
        ),
        ({"runtimeClassName": "nope"}, 'pod rejected: RuntimeClass "nope" not found'),
    ],
)
async def test_what_a_pod_names_has_to_be_there(lab: Lab, spec: Any, message: str) -> None:
    refused = await lab.refused("POST", f"{LAB}/pods", lab.pod("p", **spec))
    assert (refused.code, str(refused)) == (403, f'pods "p" is forbidden: {message}')


async def test_the_default_priority_class_counts(lab: Lab) -> None:
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    await lab.post(classes, {"metadata": {"name": "usual"}, "value": 7, "globalDefault": True})
    made: Any = await lab.post(f"{LAB}/pods", lab.pod("p"))
    assert (made["spec"]["priorityClassName"], made["spec"]["priority"]) == ("usual", 7)
    second = await lab.refused("POST", classes, {"metadata": {"name": "b"}, "value": 8, "globalDefault": True})
    assert str(second) == (
        'priorityclasses.scheduling.k8s.io "b" is forbidden: PriorityClass usual is already marked as default.'
        " Only one default can exist"
    )


async def _limits(lab: Lab) -> None:
    container: Any = {
        "type": "Container",
        "max": {"cpu": "2", "memory": "1Gi"},
        "min": {"cpu": "100m"},
        "default": {"cpu": "500m", "memory": "512Mi"},
        "defaultRequest": {"cpu": "200m"},
        "maxLimitRequestRatio": {"cpu": "4"},
    }
    pod: Any = {"type": "Pod", "max": {"cpu": "3"}, "min": {"memory": "100Mi"}}
    await lab.post(f"{LAB}/limitranges", {"metadata": {"name": "lr"}, "spec": {"limits": [container, pod]}})


async def test_limits_fill_in_what_containers_do_not_say(lab: Lab) -> None:
    await _limits(lab)
    made: Any = await lab.post(f"{LAB}/pods", lab.pod("p"))
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "500m", "memory": "512Mi"},
        "requests": {"cpu": "200m", "memory": "512Mi"},
    }
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c"
    )
    assert made["status"]["qosClass"] == "Burstable"


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"limits": {"cpu": "3"}}, "maximum cpu usage per Container is 2, but limit is 3"),
        (
            {"requests": {"cpu": "50m"}},
            "[minimum cpu usage per Container is 100m, but request is 50m, cpu max limit to request ratio per"
            " Container is 4, but provided ratio is 10.000000]",
        ),
        ({"limits": {"memory": "50Mi"}}, "minimum memory usage per Pod is 100Mi, but request is 50Mi"),
    ],
)
async def test_limits_refuse_too_little_and_too_much(lab: Lab, resources: Any, message: str) -> None:
    await _limits(lab)
    refused = await lab.refused("POST", f"{LAB}/pods", lab.pod("p", resources=resources))
    assert (refused.code, str(refused)) == (403, f'pods "p" is forbidden: {message}')


async def _quota(lab: Lab, name: str, hard: Any, **spec: Any) -> None:
    await lab.post(f"{LAB}/resourcequotas", {"metadata": {"name": name}, "spec": {"hard": hard, **spec}})


async def test_a_quota_is_counted_and_held(lab: Lab) -> None:
    await _quota(lab, "q", {"pods": "2", "requests.cpu": "1", "count/configmaps": "1"})
    unsaid = await lab.refused("POST", f"{LAB}/pods", lab.pod("a"))
    assert str(unsaid) == 'pods "a" is forbidden: failed quota: q: must specify requests.cpu for: c'
    half: Any = {"requests": {"cpu": "500m"}}
    await lab.post(f"{LAB}/pods", lab.pod("a", resources=half))
    much = await lab.refused("POST", f"{LAB}/pods", lab.pod("b", resources={"requests": {"cpu": "600m"}}))
    assert str(much) == (
        'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=500m,'
        " limited: requests.cpu=1"
    )
    await lab.post(f"{LAB}/configmaps", {"metadata": {"name": "x"}})
    many = await lab.refused("POST", f"{LAB}/configmaps", {"metadata": {"name": "y"}})
    assert str(many) == (
        'configmaps "y" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1,'
        " limited: count/configmaps=1"
    )
    found: Any = await lab.get(f"{LAB}/resourcequotas/q")
    assert found["status"]["used"] == {"pods": "1", "requests.cpu": "500m", "count/configmaps": "1"}
    await lab.admin.request("DELETE", f"{LAB}/pods/a", query={"gracePeriodSeconds": "0"})
    await lab.post(f"{LAB}/pods", lab.pod("b", resources={"requests": {"cpu": "600m"}}))


async def test_a_quota_of_a_scope_counts_what_is_in_it(lab: Lab) -> None:
    await _quota(lab, "best", {"pods": "0"}, scopes=["BestEffort"])
    refused = await lab.refused("POST", f"{LAB}/pods", lab.pod("a"))
    assert "exceeded quota: best, requested: pods=1, used: pods=0, limited: pods=0" in str(refused)
    await lab.post(f"{LAB}/pods", lab.pod("a", resources={"requests": {"cpu": "1"}}))


async def test_a_quota_holds_for_writes_at_the_same_time(lab: Lab) -> None:
    import asyncio

    await _quota(lab, "q", {"count/configmaps": "3"})
    writes = [lab.post(f"{LAB}/configmaps", {"metadata": {"name": f"c{number}"}}) for number in range(10)]
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert sum(isinstance(result, dict) for result in results) == 3


async def test_a_new_node_is_not_ready_and_writes_itself_only(lab: Lab) -> None:
    kubelet = lab.client(node("n1"))
    made: Any = await kubelet.request("POST", "/api/v1/nodes", body={"metadata": {"name": "n1"}})
    assert made["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    other = await lab.refused("POST", "/api/v1/nodes", {"metadata": {"name": "n2"}}, by=kubelet)
    assert str(other) == 'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"'
    label: Any = {"metadata": {"labels": {"node-restriction.kubernetes.io/x": "y"}}}
    reserved = await lab.refused("PATCH", "/api/v1/nodes/n1", label, by=kubelet)
    assert "is not allowed to modify labels: node-restriction.kubernetes.io/x" in str(reserved)
    mirror = await lab.refused("POST", f"{LAB}/pods", lab.pod("p", nodeName="n1"), by=kubelet)
    assert 'pod does not have "kubernetes.io/config.mirror" annotation' in str(mirror)


async def _policy(lab: Lab, validations: Any, actions: Any, binding: dict[str, Any] | None = None, **spec: Any) -> None:
    rule: Any = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["configmaps"],
    }
    whole: Any = {"matchConstraints": {"resourceRules": [rule]}, "validations": validations, **spec}
    await lab.post(POLICIES, {"metadata": {"name": "p"}, "spec": whole})
    bound: Any = {"policyName": "p", "validationActions": actions, **(binding or {})}
    await lab.post(BINDINGS, {"metadata": {"name": "b"}, "spec": bound})


def _map(name: str, **data: str) -> Any:
    return {"metadata": {"name": name}, "data": data}


async def test_a_policy_denies_with_its_message_and_reason(lab: Lab) -> None:
    validations: Any = [
        {"expression": "object.metadata.name != 'bad'"},
        {"expression": "object.metadata.name != 'worse'", "message": "none of it", "reason": "Forbidden"},
        {"expression": "size(object.data) < 3", "messageExpression": "'has ' + string(size(object.data))"},
    ]
    await _policy(lab, validations, ["Deny"])
    start = "is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "
    bad = await lab.refused("POST", f"{LAB}/configmaps", _map("bad", a="1"))
    assert (bad.code, bad.reason) == (422, "Invalid")
    assert str(bad) == f"configmaps \"bad\" {start}failed expression: object.metadata.name != 'bad'"
    worse = await lab.refused("POST", f"{LAB}/configmaps", _map("worse", a="1"))
    assert (worse.code, str(worse)) == (403, f'configmaps "worse" {start}none of it')
    large = await lab.refused("POST", f"{LAB}/configmaps", _map("x", a="1", b="2", c="3"))
    assert str(large) == f'configmaps "x" {start}has 3'
    await lab.post(f"{LAB}/configmaps", _map("good", a="1"))


async def test_a_policy_knows_variables_conditions_parameters_and_who_asks(lab: Lab) -> None:
    await lab.post(f"{LAB}/configmaps", _map("limit", most="1"))
    await _policy(
        lab,
        [
            {"expression": "variables.number <= int(params.data.most)"},
            {"expression": "authorizer.group('').resource('pods').check('delete').allowed()", "message": "no"},
        ],
        ["Deny"],
        {"paramRef": {"name": "limit", "namespace": "lab", "parameterNotFoundAction": "Deny"}},
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        variables=[{"name": "number", "expression": "size(object.data)"}],
        matchConditions=[{"name": "named", "expression": "!object.metadata.name.startsWith('kube')"}],
    )
    await lab.refused("POST", f"{LAB}/configmaps", _map("two", a="1", b="2"))
    await lab.post(f"{LAB}/configmaps", _map("kube-two", a="1", b="2"))
    await lab.post(f"{LAB}/configmaps", _map("one", a="1"))
    await lab.grant("bob", {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]})
    refused = await lab.refused("POST", f"{LAB}/configmaps", _map("bobs", a="1"), by=lab.as_user("bob"))
    assert str(refused).endswith("denied request: no")
    broken = await lab.refused("POST", f"{LAB}/configmaps", {"metadata": {"name": "none"}})
    assert str(broken).endswith(
        "expression 'variables.number <= int(params.data.most)' resulted in error:"
        ' composited variable "number" fails to evaluate: no such key: data'
    )


async def test_a_policy_speaks_of_nothing_that_it_cannot_know(lab: Lab) -> None:
    spec: Any = {
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
            ]
        },
        "validations": [{"expression": "params.x == 1"}],
    }
    refused = await lab.refused("POST", POLICIES, {"metadata": {"name": "p"}, "spec": spec})
    assert str(refused) == (
        'ValidatingAdmissionPolicy.admissionregistration.k8s.io "p" is invalid: spec.validations[0].expression:'
        " Invalid value: \"params.x == 1\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'params'"
        " (in container '')\n | params.x == 1\n | ^"
    )


async def test_the_class_that_is_the_default_is_filled_in(lab: Lab) -> None:
    annotations: Any = {"ingressclass.kubernetes.io/is-default-class": "true"}
    classes = "/apis/networking.k8s.io/v1/ingressclasses"
    await lab.post(classes, {"metadata": {"name": "web", "annotations": annotations}, "spec": {"controller": "a.b/c"}})
    backend: Any = {"service": {"name": "s", "port": {"number": 80}}}
    made: Any = await lab.post(
        "/apis/networking.k8s.io/v1/namespaces/lab/ingresses",
        {"metadata": {"name": "i"}, "spec": {"defaultBackend": backend}},
    )
    assert made["spec"]["ingressClassName"] == "web"
