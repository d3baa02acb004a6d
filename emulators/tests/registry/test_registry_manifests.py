"""Manifests are read whatever they are: as one of five types, or refused with the place that is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.registry.errors import RegistryError
from windtunnel_emulators.registry.manifests import MEDIA_TYPES, OCI_ARTIFACT, OCI_IMAGE, OCI_INDEX, parse_manifest

if TYPE_CHECKING:
    from tests.registry.conftest import Oci

SHA512 = "sha512:" + "ab" * 64
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.just("sha256:" + "0" * 64),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["schemaVersion", "mediaType", "config", "layers", "manifests", "digest", "size", "subject"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@given(value=JSON, content_type=st.sampled_from([*MEDIA_TYPES, "", "text/plain"]))
def test_any_json_is_a_manifest_or_a_refusal(value: object, content_type: str) -> None:
    codes: list[tuple[int, str]] = []
    try:
        parse_manifest(json.dumps(value).encode(), content_type)
    except RegistryError as refused:
        codes.append((refused.status, refused.code))
    assert codes in ([], [(400, "MANIFEST_INVALID")])


@given(body=st.binary(max_size=60))
def test_any_bytes_are_refused_when_they_are_no_json(body: bytes) -> None:
    with pytest.raises(RegistryError) as refused:
        parse_manifest(body, OCI_IMAGE)
    assert refused.value.code == "MANIFEST_INVALID"


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(RegistryError, match="not JSON"):
        parse_manifest(b'{"a":' + b"[" * 200_000, OCI_IMAGE)


def test_an_artifact_type_stands_in_for_a_missing_one(oci: Oci) -> None:
    assert parse_manifest(oci.image(b"{}"), OCI_IMAGE).artifact_type == "application/vnd.oci.image.config.v1+json"
    assert parse_manifest(oci.image(b"{}", artifactType="application/x"), OCI_IMAGE).artifact_type == "application/x"


def test_sizes_are_added_up(oci: Oci) -> None:
    assert parse_manifest(oci.image(b"{}", b"12345", b"678"), OCI_IMAGE).size == 10


def test_an_artifact_manifest_has_blobs(oci: Oci) -> None:
    body = json.dumps({"mediaType": OCI_ARTIFACT, "blobs": [oci.descriptor(b"x", "text/plain")]}).encode()
    assert parse_manifest(body, OCI_ARTIFACT).blobs == (oci.sha256(b"x"),)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"schemaVersion": 1}, "schemaVersion"),
        ({"mediaType": OCI_INDEX}, "mediaType"),
        ({"config": None}, "config is not a descriptor"),
        ({"config": {"size": 1}}, "config has no digest"),
        ({"config": {"digest": "md5:00", "size": 1}}, "config: the digest algorithm 'md5'"),
        ({"config": {"digest": SHA512, "size": -1}}, "config.size"),
        ({"layers": {}}, "layers is not a list"),
        ({"layers": [{"digest": SHA512, "size": True}]}, r"layers\[0\].size"),
        ({"subject": {"digest": "sha256:zz"}}, "subject"),
    ],
)
def test_what_is_wrong_is_named(oci: Oci, change: dict[str, object], place: str) -> None:
    with pytest.raises(RegistryError, match=place) as refused:
        parse_manifest(json.dumps({**json.loads(oci.image(b"{}")), **change}).encode(), OCI_IMAGE)
    assert refused.value.code == "MANIFEST_INVALID"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"schemaVersion": 1, "fsLayers": []}, "schema version 1"),
        ({"schemaVersion": 2, "mediaType": "application/x"}, "'application/x' is not supported"),
        ([], "not a JSON object"),
    ],
)
def test_other_things_than_manifests_are_refused(body: object, sentence: str) -> None:
    with pytest.raises(RegistryError, match=sentence):
        parse_manifest(json.dumps(body).encode(), "")
