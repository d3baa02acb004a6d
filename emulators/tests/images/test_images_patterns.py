from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel_emulators.images.patterns import Ignore, PatternError, compile_glob, has_magic


@pytest.mark.parametrize(
    ("text", "excluded", "kept"),
    [
        ("*.pyc", ["a.pyc"], ["d/a.pyc", "a.py"]),
        ("**/*.pyc", ["a.pyc", "d/a.pyc", "d/e/a.pyc"], ["a.py"]),
        ("node_modules", ["node_modules", "node_modules/x/y"], ["a/node_modules"]),
        ("/tmp/", ["tmp", "tmp/a"], ["a/tmp"]),
        ("*/temp*", ["a/temporary", "a/temp/x"], ["temp", "a/b/temp"]),
        ("temp?", ["tempa", "tempa/x"], ["temp", "tempab"]),
        ("*.md\n!README.md", ["a.md"], ["README.md"]),
        ("!README.md\n*.md", ["README.md"], []),
        ("data\n!data/keep", ["data/x", "data/keeper"], ["data/keep", "data/keep/x"]),
        ("*\n!app/**", ["a", "b/c", "app"], ["app/x", "app/y/z"]),
        ("# comment\n\n  a  ", ["a"], ["# comment", "b"]),
        ("a/**", ["a/b", "a/b/c"], ["b"]),
        ("**/x/**", ["x/a", "b/x/a"], ["y/a"]),
        ("a/./b/../c", ["a/c"], ["a/b"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "-x"]),
        ("[^a]x", ["bx"], ["ax", "/x"]),
        ("\\*", ["*"], ["a"]),
        (".", [], ["a", "a/b"]),
        ("a+(b)|{c}$", ["a+(b)|{c}$"], ["aab"]),
        ("\ufeffa", ["a"], []),
        ("***", ["a", "a/b"], []),
    ],
)
def test_a_dockerignore_file_decides_as_docker_does(text: str, excluded: list[str], kept: list[str]) -> None:
    ignore = Ignore(text)
    assert [path for path in excluded if not ignore.excludes(path)] == []
    assert [path for path in kept if ignore.excludes(path)] == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a\n!", "line 2: '!' takes nothing back"),
        ("[", "not closed"),
        ("[]", "empty class"),
        ("[z-a]", "which is empty"),
        ("a\\", "escapes nothing"),
        ("*a" * 40, "over the limit"),
        ("a" * 2000, "over the limit"),
        ("a\n" * 20_000, "more than 10000 patterns"),
    ],
)
def test_a_dockerignore_file_that_is_wrong_is_refused_with_the_line(text: str, why: str) -> None:
    with pytest.raises(PatternError) as error:
        Ignore(text)
    assert why in str(error.value)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.whl", "a.whl", True),
        ("*.whl", "d/a.whl", False),
        ("d/*.whl", "d/a.whl", True),
        ("**", "a/b", False),
        ("?", "é", True),
        ("[ab][0-9]", "b7", True),
        ("[\\]]", "]", True),
        ("a*b*c", "aXbYc", True),
        ("a*b*c", "a/b/c", False),
    ],
)
def test_a_pattern_of_copy_matches_within_one_part(pattern: str, path: str, *, matches: bool) -> None:
    assert (compile_glob(pattern).fullmatch(path) is not None) == matches
    assert has_magic(pattern)


@settings(deadline=None)
@given(st.text("ab/", min_size=1, max_size=12))
def test_a_pattern_without_magic_matches_itself_alone(path: str) -> None:
    assert not has_magic(path)
    assert compile_glob(path).fullmatch(path)
    assert not compile_glob(path).fullmatch(path + "x")


@settings(deadline=None)
@given(st.text("ab*?[]^-\\/!.# \n", max_size=30), st.text("ab/.", min_size=1, max_size=12))
def test_any_text_is_a_dockerignore_file_or_refused(text: str, path: str) -> None:
    try:
        ignore = Ignore(text)
    except PatternError:
        return
    # A folder that stays out takes with it what no later line takes back.
    assert not ignore.excludes(path) or "!" in text or ignore.excludes(f"{path}/below")


@settings(deadline=None)
@given(st.text("ab*?/", max_size=14), st.text("ab/", min_size=1, max_size=10))
def test_a_pattern_without_double_stars_agrees_with_a_plain_reading(pattern: str, path: str) -> None:
    plain = re.sub(r"\*+", r"[^/]*", pattern).replace("?", "[^/]")
    assert bool(compile_glob(pattern).fullmatch(path)) == bool(re.fullmatch(plain, path))
