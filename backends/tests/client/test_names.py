"""Names: the rules of Azure ML and ARM."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel import names
from windtunnel.errors import InvalidSpec


@given(st.from_regex(r"[a-z]([-a-z0-9]{1,30}[a-z0-9])", fullmatch=True))
def test_a_service_may_have_every_name_of_the_rule(name: str) -> None:
    assert names.check_service(name) == name


@given(st.text(max_size=40))
def test_a_service_name_is_taken_exactly_when_the_rule_allows_it(name: str) -> None:
    allowed = re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) is not None and 3 <= len(name) <= 32
    if allowed:
        assert names.check_service(name) == name
    else:
        with pytest.raises(InvalidSpec, match="Error, provided service name is invalid"):
            names.check_service(name)


@pytest.mark.parametrize("name", ["abc\n", "ab", "a" * 33, "Abc", "a_b", "1abc", "abc-", "-abc", "äbc"])
def test_a_service_name_that_breaks_the_rule_is_refused_with_the_name(name: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        names.check_service(name)
    assert repr(name) in (refused.value.way_out or "")


@given(st.text(max_size=300))
def test_any_file_name_gives_a_valid_model_name_and_repository(stem: str) -> None:
    name = names.model_name_of(stem)
    assert names.check_model(name) == name
    assert re.fullmatch(r"windtunnel/[a-z0-9]+(-[a-z0-9]+)*", names.repository_of(name).rstrip("-")), name


@pytest.mark.parametrize("label", ["abcd", "Abcde", "abcde-", "a" * 64])
def test_dns_labels_that_arm_would_refuse_are_refused(label: str) -> None:
    with pytest.raises(InvalidSpec):
        names.check_dns_label(label)


@pytest.mark.parametrize("name", ["abcd", "a-b-c", "a" * 51, "abc de"])
def test_registry_names_that_arm_would_refuse_are_refused(name: str) -> None:
    with pytest.raises(InvalidSpec):
        names.check_registry(name)


@pytest.mark.parametrize(("name", "value"), [("", "x"), ("a/b", "x"), ("a", "x" * 257), ("a" * 513, "")])
def test_tags_that_arm_would_refuse_are_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidSpec):
        names.check_tag(name, value)
