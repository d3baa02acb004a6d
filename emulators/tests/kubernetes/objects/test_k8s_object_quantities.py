"""Quantities: canonical forms (of a real API server), order, sums."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.kubernetes.objects.quantities import QuantityError, canonical_text, parse


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1", "1"),
        ("1000m", "1"),
        ("0.1", "100m"),
        ("1.5", "1500m"),
        ("1.5Gi", "1536Mi"),
        ("1024Mi", "1Gi"),
        ("1000", "1k"),
        ("1000000", "1M"),
        ("1e3", "1e3"),
        ("0", "0"),
        ("-1", "-1"),
        ("100Ki", "100Ki"),
        ("0.5Mi", "512Ki"),
        ("123456789", "123456789"),
        ("1u", "1u"),
    ],
)
def test_canonical_forms(text: str, canonical: str) -> None:
    assert canonical_text(text) == canonical


@pytest.mark.parametrize("text", ["", "x", "1x", "1.2.3", "Gi", "1 Gi", "--1", "1KiB", "1,5"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(QuantityError):
        parse(text)


def test_numbers_are_quantities() -> None:
    assert canonical_text(2) == "2"
    assert canonical_text(0.5) == "500m"


@given(st.integers(-(10**6), 10**6), st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "Gi"]))
def test_canonical_forms_mean_the_same_and_stay(number: int, suffix: str) -> None:
    found = parse(f"{number}{suffix}")
    shown = str(found)
    assert parse(shown).amount == found.amount
    assert str(parse(shown)) == shown


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_sums_and_order_are_those_of_numbers(one: int, other: int) -> None:
    left, right = parse(f"{one}m"), parse(f"{other}m")
    assert (left + right).amount == Decimal(one + other) / 1000
    assert (left - right).amount == Decimal(one - other) / 1000
    assert (left < right) == (one < other)
    assert left.milli == one
