"""How replica sets are sized: whatever the sizes, a rollout stays within its bounds and comes to an end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.kubernetes.controllers.deployments.revisions import (
    annotations_for,
    same_template,
    template_hash,
)
from windtunnel_emulators.kubernetes.controllers.deployments.rollout import (
    Bounds,
    ReplicaCounts,
    bounds_of,
    new_size,
    old_sizes,
    proportional_sizes,
    share,
)


@pytest.mark.parametrize(
    ("value", "whole", "up", "expected"),
    [
        (3, 10, True, 3),
        ("25%", 10, True, 3),
        ("25%", 10, False, 2),
        ("100%", 7, False, 7),
        ("0%", 7, True, 0),
        ("nonsense", 7, True, 0),
        (None, 7, True, 0),
        (True, 7, True, 0),
    ],
)
def test_shares_are_rounded_as_asked(value: Any, whole: int, up: bool, expected: int) -> None:
    assert share(value, whole, up=up) == expected


@pytest.mark.parametrize(
    ("rolling", "replicas", "surge", "unavailable"),
    [
        ({"maxSurge": "25%", "maxUnavailable": "25%"}, 10, 3, 2),
        ({"maxSurge": "25%", "maxUnavailable": "25%"}, 1, 1, 0),
        ({"maxSurge": 0, "maxUnavailable": "10%"}, 3, 0, 1),
        ({"maxSurge": 0, "maxUnavailable": 9}, 3, 0, 3),
    ],
)
def test_bounds_are_never_such_that_nothing_could_move(
    rolling: dict[str, Any], replicas: int, surge: int, unavailable: int
) -> None:
    found = bounds_of({"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}})
    assert (found.surge, found.unavailable) == (surge, unavailable)


@st.composite
def bounds(draw: st.DrawFn) -> Bounds:
    replicas = draw(st.integers(0, 30))
    surge = draw(st.integers(0, 10))
    unavailable = draw(st.integers(0 if surge else 1, 10))
    return Bounds(replicas=replicas, surge=surge, unavailable=min(unavailable, replicas))


@given(bounds(), st.lists(st.integers(0, 30), max_size=4), st.integers(0, 30), st.data())
def test_a_rollout_stays_within_its_bounds_and_ends(
    limits: Bounds, olds: list[int], new: int, data: st.DataObject
) -> None:
    """Step by step, with any of the pods ready in any order."""
    sizes = dict(enumerate(olds))
    ready = dict(sizes)
    start = new + sum(olds)
    new_ready = new
    for _ in range(300):
        total = new + sum(sizes.values())
        grown = new_size(limits, new, total)
        if grown != new:
            assert grown < new or grown + sum(sizes.values()) <= max(limits.maximum, start)
            new, new_ready = grown, min(new_ready, grown)
        else:
            counts = [
                ReplicaCounts(name=str(name), wanted=size, available=ready[name], created=str(name))
                for name, size in sizes.items()
            ]
            found = old_sizes(limits, ReplicaCounts(name="new", wanted=new, available=new_ready), counts)
            available = new_ready + sum(ready.values())
            for name, size in found.items():
                lost = max(ready[int(name)] - size, 0)
                available -= lost
                sizes[int(name)] = size
                ready[int(name)] -= lost
            if found:
                assert available >= min(limits.minimum_available, new_ready + sum(ready.values()))
        if new_ready < new:
            new_ready += data.draw(st.integers(1, new - new_ready))
        if new == limits.replicas and not any(sizes.values()):
            return
    pytest.fail(f"no end: {new} new, old {sizes}")


def test_unhealthy_pods_of_old_sets_go_before_healthy_ones() -> None:
    limits = Bounds(replicas=4, surge=1, unavailable=0)
    olds = [
        ReplicaCounts(name="sick", wanted=2, available=0, created="2"),
        ReplicaCounts(name="well", wanted=3, available=3, created="1"),
    ]
    assert old_sizes(limits, ReplicaCounts(name="new", wanted=1, available=1), olds) == {"sick": 0}


@given(st.integers(1, 40), st.integers(0, 5), st.lists(st.integers(1, 20), min_size=2, max_size=4))
def test_a_change_of_replicas_amid_a_rollout_is_shared_out_whole(replicas: int, surge: int, sizes: list[int]) -> None:
    limits = Bounds(replicas=replicas, surge=surge, unavailable=0)
    counts = [
        ReplicaCounts(name=str(i), wanted=size, created=str(i), maximum_before=sum(sizes))
        for i, size in enumerate(sizes)
    ]
    found = proportional_sizes(limits, counts, sum(sizes))
    assert sum(found.values()) == limits.maximum
    assert all(size >= 0 for size in found.values())


def test_nothing_is_left_when_scaled_to_zero_amid_a_rollout() -> None:
    limits = Bounds(replicas=0, surge=0, unavailable=0)
    counts = [ReplicaCounts(name="a", wanted=3), ReplicaCounts(name="b", wanted=2)]
    assert proportional_sizes(limits, counts, 5) == {"a": 0, "b": 0}


def test_templates_are_alike_whatever_hash_they_carry() -> None:
    one: dict[str, Any] = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": []}}
    other: dict[str, Any] = {"metadata": {"labels": {"app": "a", "pod-template-hash": "x"}}, "spec": {"containers": []}}
    assert same_template(one, other)
    assert not same_template(one, {**other, "spec": {"containers": [{}]}})


@given(st.dictionaries(st.text(max_size=5), st.integers(), max_size=3), st.integers(1, 5))
def test_a_hash_is_a_label_value_and_differs_by_collision(spec: dict[str, Any], collisions: int) -> None:
    plain, other = template_hash(spec, None), template_hash(spec, collisions)
    assert plain != other
    assert plain.isalnum()
    assert plain == plain.lower()
    assert not set(plain) & set("aeiou013")


def test_a_revision_that_is_taken_up_again_is_remembered() -> None:
    known: dict[str, Any] = {"metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}}}
    found = annotations_for({}, known, 3, 2, 3)
    assert found["deployment.kubernetes.io/revision"] == "3"
    assert found["deployment.kubernetes.io/revision-history"] == "1"
