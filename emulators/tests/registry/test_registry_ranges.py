"""Byte ranges: what a client asks of a blob, and what it says of a chunk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.registry.errors import RegistryError
from windtunnel_emulators.registry.ranges import sent_range, wanted_range


@given(data=st.binary(min_size=1, max_size=50), first=st.integers(0, 60), last=st.integers(0, 60))
def test_a_range_is_the_slice_that_it_names(data: bytes, first: int, last: int) -> None:
    expected = data[first : last + 1] if first <= last else b""
    if not expected:
        with pytest.raises(RegistryError) as refused:
            wanted_range(f"bytes={first}-{last}", len(data))
        assert refused.value.status == 416
        assert refused.value.headers == {"Content-Range": f"bytes */{len(data)}"}
    else:
        found = wanted_range(f"bytes={first}-{last}", len(data))
        assert found is not None
        start, length = found
        assert data[start : start + length] == expected


@given(data=st.binary(min_size=1, max_size=50), count=st.integers(1, 60))
def test_a_suffix_is_the_end_of_the_blob(data: bytes, count: int) -> None:
    found = wanted_range(f"bytes=-{count}", len(data))
    assert found is not None
    assert data[found[0] : found[0] + found[1]] == data[-count:]


@pytest.mark.parametrize("header", [None, "", "bytes", "bytes=-", "bytes=1-2,4-5", "items=0-1", "bytes=a-b"])
def test_what_is_not_understood_gets_the_whole_blob(header: str | None) -> None:
    assert wanted_range(header, 10) is None


@given(first=st.integers(0, 10**12), count=st.integers(1, 10**6))
def test_a_chunk_is_read_in_each_published_form(first: int, count: int) -> None:
    last = first + count - 1
    for header in (f"{first}-{last}", f"bytes {first}-{last}/*", f"bytes={first}-{last}"):
        assert sent_range(header) == (first, count)


@pytest.mark.parametrize("header", ["", "5-4", "-5", "5-", "a-b", "0-1-2", "0x0-0x9", "\u0660-\u0669"])
def test_a_chunk_without_a_place_is_refused(header: str) -> None:
    with pytest.raises(RegistryError) as refused:
        sent_range(header)
    assert refused.value.status == 400


@given(header=st.text(max_size=40), size=st.integers(0, 100))
def test_any_header_is_a_range_or_a_refusal(header: str, size: int) -> None:
    found, status = None, 416
    try:
        found = wanted_range(header, size)
    except RegistryError as refused:
        status = refused.status
    assert status == 416
    assert found is None or (found[1] > 0 and found[0] + found[1] <= size)
