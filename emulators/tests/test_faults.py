"""Fault rules: what they match, how often, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest

from windtunnel_emulators.faults import Fault, FaultProblem, Faults


def test_without_rules_nothing_goes_wrong() -> None:
    assert Faults().match("GET", "/subscriptions") is None


def test_a_rule_matches_by_method_and_by_part_of_the_path_in_any_case() -> None:
    faults = Faults()
    fault = Fault(path=r"/containerGroups/c\d$", method="PUT", status=503, code="ServiceUnavailable")
    faults.add(fault)
    path = "/subscriptions/s/resourcegroups/g/providers/microsoft.containerinstance/containergroups/C1"
    assert faults.match("PUT", path) is fault
    assert faults.match("GET", path) is None
    assert faults.match("PUT", path + "/restart") is None


def test_a_rule_is_used_up_and_then_the_next_one_applies() -> None:
    faults = Faults()
    twice, always = Fault(status=500, times=2), Fault(delay_ms=5)
    rule = faults.add(twice)
    faults.add(always)
    assert [faults.match("GET", "/") for _ in range(4)] == [twice, twice, always, always]
    assert [(rule.fault, rule.used) for rule in faults.rules()] == [(twice, 2), (always, 2)]
    assert faults.remove(rule.id)
    assert not faults.remove(rule.id)
    assert [rule.fault for rule in faults.rules()] == [always]
    assert faults.clear() == 1
    assert faults.match("GET", "/") is None


def test_chances_repeat_with_their_seed() -> None:
    def struck(seed: int) -> list[bool]:
        faults = Faults()
        faults.add(Fault(abort=True, probability=0.5, seed=seed))
        return [faults.match("GET", "/") is not None for _ in range(200)]

    assert struck(1) == struck(1)
    assert struck(1) != struck(2)
    assert 60 < sum(struck(1)) < 140


def test_two_rules_with_chances_do_not_share_them() -> None:
    faults = Faults()
    for _ in range(2):
        faults.add(Fault(status=500, probability=0.5, path="^/only-this$"))
    alone = Faults()
    alone.add(Fault(status=500, probability=0.5))
    for _ in range(50):
        assert faults.match("GET", "/else") is None
    assert [alone.match("GET", "/") is not None for _ in range(20)].count(True) > 0


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "nothing is to go wrong"),
        ({"status": 200}, "status 200"),
        ({"status": 600}, "status 600"),
        ({"path": "(", "status": 500}, "path '\\('"),
        ({"path": "x" * 501, "status": 500}, "path is longer"),
        ({"method": "get", "status": 500}, "method 'get'"),
        ({"delay_ms": -1}, "delay_ms -1"),
        ({"delay_ms": 600_001}, "delay_ms 600001"),
        ({"times": 0, "status": 500}, "times 0"),
        ({"probability": 0.0, "status": 500}, "probability 0.0"),
        ({"probability": 1.5, "status": 500}, "probability 1.5"),
        ({"abort": True, "status": 500}, "abort answers nothing"),
        ({"delay_ms": 5, "retry_after_s": 1}, "retry_after_s 1"),
    ],
)
def test_a_rule_that_cannot_be_one_is_refused_by_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(FaultProblem, match=named):
        Fault(**fields)


def test_rules_are_bounded_in_number() -> None:
    faults = Faults()
    for _ in range(100):
        faults.add(Fault(abort=True))
    with pytest.raises(FaultProblem, match="100 rules already"):
        faults.add(Fault(abort=True))
