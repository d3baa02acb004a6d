"""Label and field selectors; messages are those of a real API server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.kubernetes.objects.catalogue import Catalogue, KindInfo
from windtunnel_emulators.kubernetes.objects.selectors import (
    SelectorError,
    label_selector,
    parse_fields,
    parse_labels,
)


def _info(group: str, version: str, plural: str) -> KindInfo:
    found = Catalogue().find(group, version, plural)
    assert found is not None
    return found


_LABELS = {"app": "web", "tier": "a", "n": "5"}


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier!=b", True),
        ("app in (db,web)", True),
        ("app notin (db)", True),
        ("missing notin (x)", True),
        ("app", True),
        ("!app", False),
        ("!missing", True),
        ("missing!=x", True),
        ("n>4", True),
        ("n<4", False),
        ("app=", False),
        ("app in ()", False),
    ],
)
def test_labels_are_selected(text: str, selected: bool) -> None:
    assert parse_labels(text).matches(_LABELS) is selected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a in x", "unable to parse requirement: found 'x' expected: '('"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("=", "found '=', expected: !, identifier, or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a,", "found '', expected: identifier after ','"),
        ("a=b,,c", "found ',', expected: identifier after ','"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be"
            " an integer",
        ),
    ],
)
def test_texts_that_are_no_selectors_are_refused_in_the_servers_words(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as refused:
        parse_labels(text)
    assert str(refused.value) == message


def test_structured_selectors() -> None:
    found = label_selector(
        {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]}
    )
    assert found.matches(_LABELS)
    assert not found.matches({"app": "web"})
    assert label_selector({}).matches({})
    assert not label_selector(None).matches(_LABELS)


_NAME = st.from_regex(r"[a-z]([a-z0-9]{0,5})", fullmatch=True).filter(lambda name: name not in ("in", "notin"))


@given(st.lists(st.tuples(_NAME, st.sampled_from(["=", "!=", "in", "notin", "", "!"]), _NAME), max_size=4))
def test_selectors_are_written_as_they_are_read(parts: list[tuple[str, str, str]]) -> None:
    forms = {
        "": "{0}",
        "!": "!{0}",
        "=": "{0}={1}",
        "!=": "{0}!={1}",
        "in": "{0} in ({1},z)",
        "notin": "{0} notin ({1},z)",
    }
    text = ",".join(forms[sign].format(key, value) for key, sign, value in parts)
    once = parse_labels(text)
    assert parse_labels(str(once)) == once


def test_field_selectors() -> None:
    pods = _info("", "v1", "pods")
    pod = {"metadata": {"name": "a", "namespace": "b"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}
    assert parse_fields(pods, "spec.nodeName=n,status.phase!=Failed").matches(pod)  # type: ignore[arg-type]
    assert not parse_fields(pods, "metadata.name=b").matches(pod)  # type: ignore[arg-type]
    assert parse_fields(pods, "metadata.name=a,spec.nodeName=n").exact("metadata.name") == "a"
    assert parse_fields(pods, r"metadata.name=a\,b").exact("metadata.name") == "a,b"


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (("", "v1", "pods"), "a=b", "field label not supported: a"),
        (("batch", "v1", "jobs"), "foo.bar=b", 'field label "foo.bar" not supported for Job'),
        (
            ("storage.k8s.io", "v1", "csidrivers"),
            "foo.bar=b",
            '"foo.bar" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        (("", "v1", "pods"), "metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        (("", "v1", "pods"), "metadata.name=a=b", "invalid field selector: unescaped character in value: 61"),
        (("", "v1", "namespaces"), "metadata.namespace=y", "field label not supported: metadata.namespace"),
    ],
)
def test_fields_that_cannot_be_selected_by_are_refused(kind: tuple[str, str, str], text: str, message: str) -> None:
    with pytest.raises(SelectorError) as refused:
        parse_fields(_info(*kind), text)
    assert str(refused.value) == message
