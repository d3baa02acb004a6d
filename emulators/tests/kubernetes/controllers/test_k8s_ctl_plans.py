"""What controllers decide, without an API: endpoints, garbage, jobs, schedules, budgets, quotas, taints, order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.kubernetes.client.interface import Kind
from windtunnel_emulators.kubernetes.client.meta import entries, mapping, name_of, number, text
from windtunnel_emulators.kubernetes.client.selectors import matches, written
from windtunnel_emulators.kubernetes.controllers import disruption, quotas, roles
from windtunnel_emulators.kubernetes.controllers.claims import classify
from windtunnel_emulators.kubernetes.controllers.endpoints import legacy, slices
from windtunnel_emulators.kubernetes.controllers.endpoints.backends import backends_of
from windtunnel_emulators.kubernetes.controllers.garbage.graph import Fate, Graph, Item, Owner, OwnerState, fate
from windtunnel_emulators.kubernetes.controllers.jobs import indexes, plan
from windtunnel_emulators.kubernetes.controllers.jobs.cron import due
from windtunnel_emulators.kubernetes.controllers.jobs.schedule import ScheduleError, parse
from windtunnel_emulators.kubernetes.controllers.nodes.taints import taints_for, tolerated_for
from windtunnel_emulators.kubernetes.controllers.replicas.ranking import to_delete
from windtunnel_emulators.kubernetes.controllers.volumes import fitting

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

NOW = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
KIND = Kind(group="", version="v1", plural="things", name="Thing")


# Endpoints


def service(**spec: Any) -> JsonObject:
    port: JsonObject = {"name": "web", "port": 80, "targetPort": "http"}
    return {
        "metadata": {"name": "web", "namespace": "n", "uid": "s", "labels": {"team": "a"}},
        "spec": {"selector": {"app": "web"}, "ports": [port], **spec},
    }


def backend(number: int, *, ready: bool = True, deleting: bool = False, port: int = 8080) -> dict[str, Any]:
    metadata: JsonObject = {"name": f"p{number:03}", "namespace": "n", "uid": f"u{number}", "labels": {"app": "web"}}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "metadata": metadata,
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": port}]}]},
        "status": {
            "podIP": f"10.244.{number // 250}.{number % 250 + 1}",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


@pytest.mark.parametrize(
    ("ready", "deleting", "publish", "expected"),
    [
        (True, False, False, (True, True, False)),
        (False, False, False, (False, False, False)),
        (True, True, False, (False, True, True)),
        (False, False, True, (True, False, False)),
    ],
)
def test_an_endpoint_is_ready_when_it_serves_and_stays(
    ready: bool, deleting: bool, publish: bool, expected: Any
) -> None:
    (found,) = backends_of(service(publishNotReadyAddresses=publish), [backend(1, ready=ready, deleting=deleting)])
    assert (found.ready, found.serving, found.terminating) == expected


def test_a_pod_without_address_or_port_or_that_ended_is_no_endpoint() -> None:
    ended = backend(1)
    ended["status"] = {**ended["status"], "phase": "Succeeded"}
    without = backend(2)
    without["status"] = {}
    assert backends_of(service(), [ended, without]) == []
    portless = backend(3)
    portless["spec"] = {"containers": []}
    changes = slices.plan_service(service(), backends_of(service(), [portless]), [], {})
    assert [entries(each, "endpoints") for each in changes.create] == [[]]


@given(st.sets(st.integers(0, 400)), st.sets(st.integers(0, 400)))
def test_slices_show_every_pod_once_and_hold_a_hundred_at_most(before: set[int], after: set[int]) -> None:
    first = slices.plan_service(service(), backends_of(service(), map(backend, sorted(before))), [], {})
    existing: list[JsonObject] = [
        {**each, "metadata": {**mapping(each, "metadata"), "name": str(i)}} for i, each in enumerate(first.create)
    ]
    changes = slices.plan_service(service(), backends_of(service(), map(backend, sorted(after))), existing, {})
    gone, changed = {name_of(each) for each in changes.delete}, {name_of(each): each for each in changes.update}
    result = [changed.get(name_of(each), each) for each in existing if name_of(each) not in gone] + changes.create
    shown = [text(e, "targetRef", "uid") for each in result for e in entries(each, "endpoints")]
    assert sorted(shown) == sorted(f"u{number}" for number in after)
    assert all(len(entries(each, "endpoints")) <= 100 for each in result)
    assert result


def test_what_is_right_is_left_alone() -> None:
    found = backends_of(service(), [backend(1), backend(2)])
    (made,) = slices.plan_service(service(), found, [], {}).create
    again = slices.plan_service(service(), found, [made], {})
    assert (again.create, again.update, again.delete) == ([], [], [])
    endpoints = legacy.endpoints_for(service(), found, None)
    assert legacy.endpoints_for(service(), found, endpoints) is None


def test_pods_with_other_numbers_for_a_named_port_are_apart() -> None:
    found = backends_of(service(), [backend(1), backend(2, port=9090)])
    made = slices.plan_service(service(), found, [], {}).create
    assert sorted(number(entries(each, "ports")[0], "port") for each in made) == [8080, 9090]


# Ownership


def item(uid: str, *owners: str, deleting: bool = False, finalizers: tuple[str, ...] = ()) -> Item:
    return Item(
        kind=KIND,
        namespace="n",
        name=uid,
        uid=uid,
        owners=tuple(Owner(api_version="v1", kind="Thing", name=each, uid=each, blocks=True) for each in owners),
        deleting=deleting,
        finalizers=frozenset(finalizers),
    )


@pytest.mark.parametrize(
    ("states", "dependants", "expected"),
    [
        ("", False, Fate.STAYS),
        ("s", False, Fate.STAYS),
        ("sa", False, Fate.LOSES_OWNERS),
        ("sw", True, Fate.LOSES_OWNERS),
        ("a", True, Fate.GOES),
        ("w", False, Fate.GOES),
        ("w", True, Fate.GOES_IN_FOREGROUND),
        ("aw", True, Fate.GOES_IN_FOREGROUND),
    ],
)
def test_an_object_stays_as_long_as_one_owner_is_there(states: str, dependants: bool, expected: Any) -> None:
    names = {"s": OwnerState.SOLID, "a": OwnerState.ABSENT, "w": OwnerState.WAITING}
    owners = {str(i): names[each] for i, each in enumerate(states)}
    assert fate(item("x", *owners), owners, [item("y", "x")] if dependants else []) == expected


def test_the_graph_follows_changes_of_owners() -> None:
    graph = Graph()
    graph.put(item("child", "a", "b"))
    assert [each.uid for each in graph.dependants("a")] == ["child"]
    graph.put(item("child", "b"))
    assert graph.dependants("a") == []
    assert [each.uid for each in graph.blockers("b")] == ["child"]
    graph.remove("child")
    assert graph.dependants("b") == []


def test_claims_keep_adopt_and_release() -> None:
    owner: JsonObject = {"metadata": {"uid": "o"}}

    def thing(name: str, app: str, owner_uid: str | None = None) -> dict[str, Any]:
        references: list[Json] = [{"uid": owner_uid, "controller": True}] if owner_uid else []
        return {"metadata": {"name": name, "labels": {"app": app}, "ownerReferences": references}}

    things = [thing("mine", "x", "o"), thing("strayed", "y", "o"), thing("orphan", "x"), thing("theirs", "x", "z")]
    found = classify(owner, {"matchLabels": {"app": "x"}}, things)
    assert [[name_of(each) for each in part] for part in found] == [["mine"], ["orphan"], ["strayed"]]


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        (None, {}, False),
        ({}, {"a": "b"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "b", "c": "d"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Nonsense"}]}, {"a": "b"}, False),
    ],
)
def test_selectors_select(selector: Json, labels: dict[str, str], expected: Any) -> None:
    assert matches(selector, labels) is expected


def test_a_selector_is_written_as_lists_take_it() -> None:
    expressions: list[Json] = [
        {"key": "t", "operator": "In", "values": ["b", "a"]},
        {"key": "x", "operator": "DoesNotExist"},
    ]
    assert written({"matchLabels": {"a": "1"}, "matchExpressions": expressions}) == "!x,a=1,t in (a,b)"


# Order of deletion


def test_pods_that_are_missed_least_go_first() -> None:
    def pod(name: str, *, node: str = "n1", phase: str = "Running", ready: bool = True, cost: str = "0") -> JsonObject:
        return {
            "metadata": {
                "name": name,
                "uid": name,
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {"controller.kubernetes.io/pod-deletion-cost": cost},
            },
            "spec": {"nodeName": node},
            "status": {
                "phase": phase,
                "conditions": [
                    {
                        "type": "Ready",
                        "status": "True" if ready else "False",
                        "lastTransitionTime": "2026-01-01T00:00:00Z",
                    }
                ],
            },
        }

    pods = [
        pod("good", node="n2"),
        pod("crowded"),
        pod("dear", cost="10"),
        pod("unready", ready=False),
        pod("pending", phase="Pending", ready=False),
        pod("nowhere", node="", phase="Pending", ready=False),
    ]
    order = [name_of(each) for each in to_delete(pods, 6, pods, NOW)]
    assert order == ["nowhere", "pending", "unready", "crowded", "good", "dear"]


# Jobs


@given(st.sets(st.integers(0, 60)))
def test_indexes_are_read_as_they_are_written(numbers: set[int]) -> None:
    assert indexes.parse(indexes.write(numbers), 61) == numbers


def test_indexes_are_written_short() -> None:
    assert indexes.write([0, 1, 3, 4, 5, 9]) == "0,1,3-5,9"


@pytest.mark.parametrize(
    ("spec", "good", "bad", "going", "expected"),
    [
        ({"completions": 3}, 2, 0, 1, None),
        ({"completions": 3}, 3, 0, 0, plan.REACHED),
        ({}, 1, 0, 1, None),
        ({}, 1, 0, 0, plan.REACHED),
        ({"completions": 1, "backoffLimit": 1}, 0, 1, 0, None),
        ({"completions": 1, "backoffLimit": 1}, 0, 2, 0, plan.TOO_MANY),
        ({"completions": 1, "activeDeadlineSeconds": 60}, 0, 0, 1, plan.TOO_LONG),
        ({"completions": 1, "activeDeadlineSeconds": 60, "suspend": True}, 0, 0, 0, None),
    ],
)
def test_a_job_ends_for_one_reason(spec: JsonObject, good: int, bad: int, going: int, expected: Any) -> None:
    job: JsonObject = {"spec": spec, "status": {"startTime": "2026-01-01T11:00:00Z"}}
    assert plan.verdict(job, good=good, bad=bad, going=going, pods=[], now=NOW) == expected


@pytest.mark.parametrize(
    ("spec", "good", "going", "expected"),
    [
        ({"parallelism": 3, "completions": 10}, 0, 0, 3),
        ({"parallelism": 3, "completions": 10}, 9, 1, 1),
        ({"parallelism": 3}, 0, 1, 3),
        ({"parallelism": 3}, 1, 2, 2),
        ({"parallelism": 3, "suspend": True}, 0, 3, 0),
    ],
)
def test_a_job_wants_as_many_pods_as_are_left_to_do(spec: JsonObject, good: int, going: int, expected: Any) -> None:
    assert plan.wanted_pods({"spec": spec}, good=good, going=going) == expected


def failed_pod(code: int, ended: str = "2026-01-01T12:00:20Z") -> JsonObject:
    terminated: JsonObject = {"exitCode": code, "finishedAt": ended}
    return {
        "metadata": {"name": "p", "namespace": "n"},
        "status": {"phase": "Failed", "containerStatuses": [{"name": "c", "state": {"terminated": terminated}}]},
    }


def test_a_rule_about_exit_codes_fails_the_job_or_forgives_the_pod() -> None:
    def rule(action: str, code: int) -> JsonObject:
        return {"action": action, "onExitCodes": {"operator": "In", "values": [code]}}

    job: JsonObject = {"spec": {"podFailurePolicy": {"rules": [rule("Ignore", 7), rule("FailJob", 42)]}}}
    assert plan.policy_action(job, failed_pod(7))[0] == "Ignore"
    assert plan.policy_action(job, failed_pod(1))[0] == "Count"
    found = plan.failure_policy(job, [failed_pod(42)])
    assert found is not None
    assert found.message == "Container c for pod n/p failed with exit code 42 matching FailJob rule at index 1"


def test_a_pod_is_replaced_later_after_each_failure() -> None:
    assert plan.retry_in({}, [], 10, NOW) == 0
    assert plan.retry_in({}, [failed_pod(1)], 10, NOW) == 0
    assert plan.retry_in({}, [failed_pod(1, "2026-01-01T12:00:25Z"), failed_pod(1)], 10, NOW) == 15


# Schedules


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("* * * * *", "2026-01-01T12:01:00+00:00"),
        ("*/15 * * * *", "2026-01-01T12:15:00+00:00"),
        ("5 0 * * *", "2026-01-02T00:05:00+00:00"),
        ("0 9 * * mon-fri", "2026-01-02T09:00:00+00:00"),
        ("0 0 13 * 5", "2026-01-02T00:00:00+00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00:00+00:00"),
        ("0 12 1 jan sun", "2026-01-04T12:00:00+00:00"),
        ("@hourly", "2026-01-01T13:00:00+00:00"),
        ("@every 90s", "2026-01-01T12:02:00+00:00"),
        ("0 0 31 2 *", None),
    ],
)
def test_the_next_time_of_a_schedule(schedule: str, expected: Any) -> None:
    found = parse(schedule).after(NOW)
    assert (None if found is None else found.isoformat()) == expected


def test_a_schedule_is_in_its_time_zone() -> None:
    found = parse("0 9 * * *", "America/New_York").after(NOW)
    assert found == datetime(2026, 1, 1, 14, 0, tzinfo=UTC)


@pytest.mark.parametrize("schedule", ["", "* * * *", "60 * * * *", "*/0 * * * *", "a * * * *", "5-1 * * * *", "@never"])
def test_what_is_no_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(ScheduleError):
        parse(schedule)
    with pytest.raises(ScheduleError, match="unknown time zone Moon/Base"):
        parse("* * * * *", "Moon/Base")


@given(st.sampled_from(["* * * * *", "*/7 3 * * *", "0 0 1 * *", "30 4 * * 1-5"]), st.integers(0, 10**8))
def test_a_time_is_later_and_none_is_left_out(schedule: str, offset: int) -> None:
    start = NOW + timedelta(seconds=offset)
    found = parse(schedule)
    following = found.after(start)
    assert following is not None
    assert following > start
    assert found.after(following - timedelta(seconds=1)) == following


def test_what_was_missed_is_counted_within_the_deadline() -> None:
    cron: JsonObject = {"metadata": {"creationTimestamp": "2026-01-01T11:00:00Z"}, "spec": {}}
    latest, missed = due(cron, parse("*/10 * * * *"), NOW)
    assert (latest, missed) == (datetime(2026, 1, 1, 12, 0, tzinfo=UTC), 6)
    cron["spec"] = {"startingDeadlineSeconds": 10}
    assert due(cron, parse("*/10 * * * *"), NOW) == (None, 0)


# Budgets, quotas, taints, roles, volumes


@pytest.mark.parametrize(
    ("spec", "pods", "expected", "result"),
    [
        ({"minAvailable": 2}, 3, 9, (3, 2)),
        ({"minAvailable": "50%"}, 3, 5, (5, 3)),
        ({"maxUnavailable": 1}, 3, 5, (5, 4)),
        ({"maxUnavailable": "30%"}, 3, 5, (5, 3)),
        ({"maxUnavailable": 9}, 3, 5, (5, 0)),
    ],
)
def test_a_budget_wants_so_many_healthy(spec: JsonObject, pods: int, expected: Any, result: tuple[int, int]) -> None:
    assert disruption.desired({"spec": spec}, pods, expected) == result


def test_a_quota_sums_what_its_scopes_take_in() -> None:
    def pod(cpu: str | None, **more: Any) -> dict[str, Any]:
        resources = {"requests": {"cpu": cpu}, "limits": {"cpu": "1"}} if cpu else {}
        return {"spec": {"containers": [{"name": "c", "resources": resources}], **more}, "status": {}}

    pods = [pod("100m"), pod("250m", activeDeadlineSeconds=5), pod(None)]
    hard: JsonObject = {"pods": "9", "requests.cpu": "9", "cpu": "9", "limits.cpu": "9"}
    used = quotas.used_of({"spec": {"hard": hard}}, pods, {})
    assert {key: str(value) for key, value in used.items()} == {
        "pods": "3",
        "requests.cpu": "350m",
        "cpu": "350m",
        "limits.cpu": "2",
    }
    for scope, count in (("Terminating", "1"), ("NotTerminating", "2"), ("BestEffort", "1"), ("NotBestEffort", "2")):
        found = quotas.used_of({"spec": {"hard": {"pods": "9"}, "scopes": [scope]}}, pods, {})
        assert str(found["pods"]) == count


def test_taints_follow_conditions_and_leave_others_alone() -> None:
    node: JsonObject = {
        "spec": {"unschedulable": True, "taints": [{"key": "mine", "effect": "NoSchedule"}]},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown"}, {"type": "DiskPressure", "status": "True"}]},
    }
    keys = [
        (text(each, "key").rpartition("/")[2], text(each, "effect")) for each in taints_for(node, evict=True, now=NOW)
    ]
    assert keys == [
        ("mine", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
        ("disk-pressure", "NoSchedule"),
        ("unreachable", "NoSchedule"),
        ("unreachable", "NoExecute"),
    ]
    assert ("unreachable", "NoExecute") not in [
        (text(each, "key").rpartition("/")[2], text(each, "effect")) for each in taints_for(node, evict=False, now=NOW)
    ]


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        ([], 0.0),
        ([{"operator": "Exists"}], None),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": 30}], 30.0),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": -5}], 0.0),
        ([{"key": "other", "operator": "Exists"}], 0.0),
    ],
)
def test_a_taint_is_tolerated_for_so_long(tolerations: list[Json], expected: Any) -> None:
    taint: JsonObject = {"key": "k", "effect": "NoExecute"}
    assert tolerated_for({"spec": {"tolerations": tolerations}}, [taint]) == expected


def test_an_aggregated_role_names_each_rule_once() -> None:
    rule: JsonObject = {"verbs": ["get"], "resources": ["x"]}
    part: JsonObject = {"metadata": {"name": "part", "labels": {"in": "yes"}}, "rules": [rule, rule]}
    other: JsonObject = {"metadata": {"name": "other", "labels": {}}, "rules": [{"verbs": ["*"]}]}
    whole: JsonObject = {
        "metadata": {"name": "whole", "labels": {"in": "yes"}},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"in": "yes"}}]},
        "rules": [{"verbs": ["old"]}],
    }
    assert roles.aggregated(whole, [part, other, whole]) == [rule]


def test_a_claim_takes_the_smallest_volume_it_fits() -> None:
    def volume(name: str, size: str, **spec: Any) -> dict[str, Any]:
        shown = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], **spec}
        return {"metadata": {"name": name}, "spec": shown}

    claim: JsonObject = {
        "metadata": {"name": "c", "namespace": "n", "uid": "u"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}},
    }
    volumes = [
        volume("large", "100Gi"),
        volume("right", "6Gi"),
        volume("small", "1Gi"),
        volume("taken", "5Gi", claimRef={"name": "x", "namespace": "n"}),
        volume("other", "5Gi", storageClassName="fast"),
    ]
    assert name_of(fitting(claim, volumes) or {}) == "right"
    assert fitting(claim, volumes[2:]) is None
