from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel_emulators.images.words import WordError, expand, expand_split, raw_words

VALUES = {"A": "one", "B": "two words", "EMPTY": ""}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("plain", "plain"),
        ("$A", "one"),
        ("${A}x", "onex"),
        ("$Ax", ""),
        ("a$A-b", "aone-b"),
        ("'$A'", "$A"),
        ('"$A b"', "one b"),
        ("\\$A", "$A"),
        ('"\\$A"', "$A"),
        ('"a\\nb"', "a\\nb"),
        ('"a\\"b"', 'a"b'),
        ("a\\ b", "a b"),
        ("a\\", "a"),
        ("$", "$"),
        ("a$-b", "ab"),
        ("$1x", "x"),
        ("5$", "5$"),
        ("${A:-none}", "one"),
        ("${NO:-none}", "none"),
        ("${NO-none}", "none"),
        ("${EMPTY:-none}", "none"),
        ("${EMPTY-none}", ""),
        ("${A:+set}", "set"),
        ("${NO:+set}", ""),
        ("${EMPTY:+set}", ""),
        ("${EMPTY+set}", "set"),
        ("${A:?}", "one"),
        ("${NO:-${A:-x}$B}", "onetwo words"),
        ("${NO:-'}'}", "}"),
        ("", ""),
    ],
)
def test_quotes_and_variables_are_replaced(word: str, value: str) -> None:
    assert expand(word, VALUES.get) == value


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("'a", "closing single quote"),
        ('"a', "closing double quote"),
        ("${A", "ends before the '}'"),
        ("${A:-b", "ends before the '}'"),
        ("${}", "without the name"),
        ("${A%x}", "uses the expansion '%x'"),
        ("${A:1}", "uses the expansion ':1'"),
        ("${NO:?is needed}", "NO: is needed"),
        ("${EMPTY:?}", "EMPTY: not set"),
        ("${a:-" * 60, "deep"),
    ],
)
def test_a_word_that_cannot_be_replaced_is_refused(word: str, why: str) -> None:
    with pytest.raises(WordError) as error:
        expand(word, VALUES.get)
    assert why in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a  b\tc", ["a", "b", "c"]),
        ("$B", ["two", "words"]),
        ('"$B"', ["two words"]),
        ("x$B'y z'", ["xtwo", "wordsy z"]),
        ("'' a $EMPTY", ["", "a"]),
        ("  ", []),
        ("a\\ b", ["a b"]),
    ],
)
def test_splitting_goes_by_blanks_that_are_not_quoted(text: str, words: list[str]) -> None:
    assert expand_split(text, VALUES.get) == words


def test_raw_words_keep_quotes_and_escapes() -> None:
    assert raw_words("a=\"b c\" d='e \\' f\\ g ''") == ['a="b c"', "d='e \\'", "f\\ g", "''"]
    assert raw_words("a` b c\\ d", "`") == ["a` b", "c\\", "d"]


ANY = st.text("aB1_${}:-+?'\"\\` \t=#%", max_size=25) | st.text(max_size=25)


@settings(deadline=None)
@given(ANY, st.sampled_from("\\`"))
def test_any_text_is_replaced_or_refused(text: str, escape: str) -> None:
    try:
        value = expand(text, VALUES.get, escape)
    except WordError:
        with pytest.raises(WordError):
            expand_split(text, VALUES.get, escape)
        return
    # Splitting only takes blanks away.
    words = expand_split(text, VALUES.get, escape)
    assert "".join("".join(words).split()) == "".join(value.split())


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="'"), max_size=8), max_size=5))
def test_single_quotes_keep_everything(parts: list[str]) -> None:
    text = " ".join(f"'{part}'" for part in parts)
    assert expand_split(text, VALUES.get) == parts
    assert raw_words(text) == [f"'{part}'" for part in parts]
