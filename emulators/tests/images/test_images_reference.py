from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel_emulators.images.errors import ReferenceProblem
from windtunnel_emulators.images.reference import Reference

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "name", "tag", "digest", "familiar"),
    [
        ("python", "docker.io/library/python", None, None, "python"),
        ("python:3.11-slim", "docker.io/library/python", "3.11-slim", None, "python:3.11-slim"),
        ("docker.io/library/python:3.11", "docker.io/library/python", "3.11", None, "python:3.11"),
        ("index.docker.io/python", "docker.io/library/python", None, None, "python"),
        ("acme/model:v1", "docker.io/acme/model", "v1", None, "acme/model:v1"),
        ("localhost/model", "localhost/model", None, None, "localhost/model"),
        ("localhost:5001/a/b:v1", "localhost:5001/a/b", "v1", None, "localhost:5001/a/b:v1"),
        ("Registry/model", "Registry/model", None, None, "Registry/model"),
        ("wt.azurecr.io/digits:1", "wt.azurecr.io/digits", "1", None, "wt.azurecr.io/digits:1"),
        ("[::1]:5000/x", "[::1]:5000/x", None, None, "[::1]:5000/x"),
        ("python@sha256:" + HEX, "docker.io/library/python", None, "sha256:" + HEX, "python@sha256:" + HEX),
        ("a/b:t@sha256:" + HEX, "docker.io/a/b", "t", "sha256:" + HEX, "a/b:t@sha256:" + HEX),
        ("docker.io/foo.bar/x", "docker.io/foo.bar/x", None, None, "docker.io/foo.bar/x"),
        ("a__b-c--d.e", "docker.io/library/a__b-c--d.e", None, None, "a__b-c--d.e"),
    ],
)
def test_a_reference_is_read_as_docker_reads_it(
    text: str, name: str, tag: str | None, digest: str | None, familiar: str
) -> None:
    reference = Reference.parse(text)
    assert (reference.name, reference.tag, reference.digest, reference.familiar) == (name, tag, digest, familiar)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "names no repository"),
        (":tag", "names no repository"),
        ("Python", "must be lower case"),
        ("a/Model", "must be lower case"),
        ("localhost:5001/", "names no repository"),
        ("a//b", "parts of lower-case letters"),
        ("a___b", "parts of lower-case letters"),
        ("-a", "parts of lower-case letters"),
        ("a/../b", "parts of lower-case letters"),
        ("-x.io/a", "is not a registry's host"),
        ("x.io:port/a", "is not a registry's host"),
        ("a:", "the tag ''"),
        ("a:.b", "the tag '.b'"),
        ("a:" + "t" * 129, "the tag"),
        ("a@", "after '@' comes a digest"),
        ("a@sha256:abc", "after '@' comes a digest"),
        ("a@sha256:" + HEX.upper(), "after '@' comes a digest"),
        ("a@md5:" + "0" * 32, "after '@' comes a digest"),
        (HEX, "64 hexadecimal digits"),
        ("a/" * 200 + "a", "at most 255 characters"),
        ("a" * 5000, "over 1000 characters"),
        ("a b", "parts of lower-case letters"),
        ("a\n", "parts of lower-case letters"),
        ("x.io/a:1\n", "the tag '1\\n'"),
    ],
)
def test_what_is_no_reference_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ReferenceProblem) as problem:
        Reference.parse(text)
    assert why in str(problem.value)


def test_the_default_tag_is_latest_unless_there_is_a_digest() -> None:
    assert Reference.parse("a").with_default_tag().tag == "latest"
    assert Reference.parse("a:b").with_default_tag().tag == "b"
    assert Reference.parse("a@sha256:" + HEX).with_default_tag().tag is None


@settings(deadline=None)
@given(st.text(max_size=40) | st.text("aA0.:/@_-[]", max_size=30))
def test_any_text_is_a_reference_that_prints_to_an_equal_one_or_is_refused(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except ReferenceProblem:
        return
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar) == reference
