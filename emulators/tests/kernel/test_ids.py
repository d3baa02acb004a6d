"""Resource ids and addresses: one meaning, many spellings."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.ids import ResourceId
from windtunnel_emulators.arm.paths import parse, plain_location, resource_id

words = st.text(st.characters(exclude_characters="/", codec="utf-8"), min_size=1, max_size=8)
names = words.filter(lambda word: word.lower() != "providers")
ids = st.integers(1, 3).flatmap(
    lambda depth: st.builds(
        ResourceId,
        subscription=words,
        group=words,
        namespace=words,
        types=st.tuples(*[names] * depth),
        names=st.tuples(*[words] * depth),
    )
)


@given(ids)
def test_an_id_is_read_as_it_is_printed(id: ResourceId) -> None:
    assert resource_id(str(id)) == id
    assert id.key == str(id).lower()


@given(ids)
def test_a_path_says_the_same_as_the_id_in_it(id: ResourceId) -> None:
    address = parse(quote(str(id)).encode())
    assert (address.subscription, address.group, address.namespace) == (id.subscription, id.group, id.namespace)
    assert address.rest == tuple(part for pair in zip(id.types, id.names, strict=True) for part in pair)
    assert address.scope is None


@given(ids)
def test_the_spelling_of_a_path_does_not_matter(id: ResourceId) -> None:
    def spelled(part: str) -> str:
        fixed = part.lower() in ("subscriptions", "resourcegroups", "providers")
        encoded = "".join(f"%{byte:02X}" for byte in part.encode())
        return part.upper() if fixed else encoded

    plain = parse(quote(str(id)).encode())
    odd = parse(("//" + "//".join(spelled(part) for part in str(id).strip("/").split("/")) + "/").encode())
    assert odd.rest == plain.rest
    assert (odd.subscription, odd.group, odd.namespace) == (plain.subscription, plain.group, plain.namespace)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_path_or_are_refused(raw: bytes) -> None:
    try:
        address = parse(b"/" + raw)
    except ArmError as refused:
        result = refused.status
    else:
        result = len(address.segments) == len(address.lowered)
    assert result in (True, 400)


@given(ids, words, words, words)
def test_an_extension_is_told_from_what_it_extends(id: ResourceId, namespace: str, type_: str, name: str) -> None:
    address = parse(quote(f"{id}/providers/{namespace}/{type_}/{name}").encode())
    assert address.scope == 6 + 2 * len(id.types)
    assert "/" + "/".join(address.segments[: address.scope]) == str(id)


def test_children_and_parents() -> None:
    id = ResourceId(subscription="s", group="g", namespace="N.S", types=("a",), names=("x",))
    child = id.child("b", "y")
    assert str(child) == "/subscriptions/s/resourceGroups/g/providers/N.S/a/x/b/y"
    assert (child.type, child.name, child.type_and_name) == ("N.S/a/b", "y", "N.S/a/x/b/y")
    assert child.parent == id
    assert id.parent is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/subscriptions/s",
        "/subscriptions/s/resourceGroups/g",
        "/subscriptions/s/resourceGroups/g/providers/N/t",
        "/subscriptions/s/resourceGroups/g/providers/N//n",
        "/a/s/b/g/c/N/t/n",
    ],
)
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match="is not the id of a resource"):
        resource_id(text)


def test_locations_are_compared_without_case_and_spaces() -> None:
    assert plain_location("West US 2") == plain_location("westus2") == "westus2"
