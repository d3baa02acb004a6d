"""Signed tokens in compact form, with PyJWT as the judge of what is one."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.identity import jws
from windtunnel_emulators.identity.keys import SigningKey

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_emulators.jsontypes import JsonObject

CLAIMS: JsonObject = {"sub": "somebody", "list": [1, None, True], "text": "\u00fc\U0001f600"}


@pytest.fixture(scope="module")
def key(key_folder: Path) -> SigningKey:
    return SigningKey.load_or_create(key_folder)


def test_pyjwt_reads_what_is_signed_here(key: SigningKey) -> None:
    token = jws.sign(CLAIMS, key.private, key.id)
    assert jwt.decode(token, key.public, algorithms=["RS256"]) == CLAIMS
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "JWT", "kid": key.id}


def test_what_pyjwt_signs_is_read_here(key: SigningKey) -> None:
    token = jwt.encode(CLAIMS, key.private, algorithm="RS256", headers={"kid": key.id})
    assert jws.verify(token, key.public, key.id) == CLAIMS
    assert jws.claimed(token) == CLAIMS


@pytest.mark.parametrize("algorithm", ["RS384", "PS256"])
def test_another_algorithm_of_the_same_key_is_refused(key: SigningKey, algorithm: str) -> None:
    token = jwt.encode(CLAIMS, key.private, algorithm=algorithm, headers={"kid": key.id})
    with pytest.raises(jws.NotSigned, match="not signed with RS256"):
        jws.verify(token, key.public, key.id)


def test_extensions_that_must_be_understood_are_not(key: SigningKey) -> None:
    token = jwt.encode(CLAIMS, key.private, algorithm="RS256", headers={"kid": key.id, "crit": ["b64"], "b64": True})
    with pytest.raises(jws.NotSigned):
        jws.verify(token, key.public, key.id)


def test_another_keys_id_is_told_apart_from_a_broken_signature(key: SigningKey) -> None:
    with pytest.raises(jws.NotSigned, match="another state folder"):
        jws.verify(jws.sign(CLAIMS, key.private, "another"), key.public, key.id)
    head, body, signature = jws.sign(CLAIMS, key.private, key.id).split(".")
    other = jws.sign({"sub": "somebody else"}, key.private, key.id).split(".")[1]
    for token in (f"{head}.{other}.{signature}", f"{head}.{body}.{jws.encode(bytes(256))}", f"{head}.{body}.AA"):
        with pytest.raises(jws.NotSigned, match="does not fit"):
            jws.verify(token, key.public, key.id)


@pytest.mark.parametrize("change", ["", ".", "..", "...", "a.b", "\u00e9.a.b", "a b.c.d", "====.a.b", "A.A.A"])
def test_what_is_no_token(key: SigningKey, change: str) -> None:
    with pytest.raises(jws.NotSigned, match="no JSON Web Token"):
        jws.verify(change, key.public, key.id)


def test_parts_that_are_not_objects_or_nest_without_end(key: SigningKey) -> None:
    head, body, signature = jws.sign(CLAIMS, key.private, key.id).split(".")
    for value in (b"[]", b"1", b"null", b"{", b"\xff", b'{"a":' * 2000, b"[" * 5000 + b"]" * 5000):
        part = jws.encode(value)
        for token in (f"{part}.{body}.{signature}", f"{head}.{part}.{signature}"):
            with pytest.raises(jws.NotSigned):
                jws.verify(token, key.public, key.id)


def test_a_very_long_token_is_not_looked_at(key: SigningKey) -> None:
    with pytest.raises(jws.NotSigned, match="too long"):
        jws.verify("a." * 20_000, key.public, key.id)


PART = st.text(alphabet=st.characters(codec="latin-1")) | st.binary().map(
    lambda data: base64.urlsafe_b64encode(data).decode().rstrip("=")
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(token=st.text() | st.lists(PART, min_size=2, max_size=4).map(".".join))
def test_no_text_raises_anything_else(key: SigningKey, token: str) -> None:
    with pytest.raises(jws.NotSigned):
        jws.verify(token, key.public, key.id)
