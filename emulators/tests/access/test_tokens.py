"""Access tokens: what is in them, who they are checked for, and every way in which one is refused."""

from __future__ import annotations

import base64
import hmac
import json
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.identity import audiences
from windtunnel_emulators.identity.directory import Directory
from windtunnel_emulators.identity.tokens import LIFETIME, InvalidToken, Tokens

if TYPE_CHECKING:
    from pathlib import Path

TENANT = "11111111-2222-3333-4444-555555555555"
OTHER_TENANT = "99999999-2222-3333-4444-555555555555"
ISSUER = f"https://sts.windows.net/{TENANT}/"
BASE = "https://localhost:4580"
ARM = audiences.resource_manager(BASE)
AUDIENCE = "https://management.azure.com/"

DIRECTORY = Directory.of(tenant=TENANT, subscription="s", client_id="the-app", client_secret="the-secret")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One signing key for the whole module: making one takes a tenth of a second."""
    return tmp_path_factory.mktemp("identity")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def tokens(folder: Path, clock: ManualClock) -> Tokens:
    return Tokens(folder=folder, clock=clock, directory=DIRECTORY)


def refusal(tokens: Tokens, header: str | None) -> ArmError:
    with pytest.raises(ArmError) as caught:
        tokens.verify(header, audiences=ARM)
    assert caught.value.status == 401
    assert caught.value.headers["WWW-Authenticate"].startswith(
        f'Bearer authorization_uri="https://login.windows.net/{TENANT}", error="invalid_token", error_description="'
    )
    return caught.value


def test_a_token_has_entras_claims(tokens: Tokens, clock: ManualClock) -> None:
    claims = jwt.decode(tokens.issue(DIRECTORY.application, AUDIENCE), options={"verify_signature": False})
    now = int(clock.now().timestamp())
    assert {name: claims[name] for name in ("aud", "iss", "appid", "oid", "sub", "tid", "idtyp", "ver")} == {
        "aud": AUDIENCE,
        "iss": ISSUER,
        "appid": "the-app",
        "oid": DIRECTORY.application.object_id,
        "sub": DIRECTORY.application.object_id,
        "tid": TENANT,
        "idtyp": "app",
        "ver": "1.0",
    }
    assert (claims["iat"], claims["nbf"], claims["exp"]) == (now - 300, now - 300, now + LIFETIME)
    assert "upn" not in claims
    assert "xms_mirid" not in claims


def test_a_person_and_a_managed_identity_are_told_apart(tokens: Tokens) -> None:
    person = tokens.issue(DIRECTORY.person, AUDIENCE, application="04b07795-8ddb-461a-bbee-02f9e1bf7b46")
    claims = jwt.decode(person, options={"verify_signature": False})
    assert (claims["upn"], claims["idtyp"]) == (DIRECTORY.person.name, "user")
    caller = tokens.verify(f"Bearer {person}", audiences=ARM)
    assert (caller.kind, caller.name) == ("User", DIRECTORY.person.name)
    identity = tokens.issue(DIRECTORY.managed_identity, AUDIENCE)
    assert jwt.decode(identity, options={"verify_signature": False})["xms_mirid"].endswith("/windtunnel-identity")
    assert tokens.verify(f"bearer {identity}", audiences=ARM).kind == "ManagedIdentity"


def test_the_published_key_verifies_a_token(tokens: Tokens) -> None:
    token = tokens.issue(DIRECTORY.application, AUDIENCE)
    published = tokens.key.published()
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "JWT", "kid": published["kid"]}
    assert set(published) == {"kty", "use", "alg", "kid", "n", "e"}
    key = jwt.PyJWK(dict(published))
    assert jwt.decode(token, key.key, algorithms=["RS256"], audience=AUDIENCE, options={"verify_exp": False})


@pytest.mark.parametrize(
    "audience",
    [
        "https://management.azure.com",
        "https://management.core.windows.net/",
        "https://LOCALHOST:4580//",
        "https://127.0.0.1:4580",
        "https://[::1]:4580/",
    ],
)
def test_a_token_for_any_name_of_the_resource_manager_is_accepted(tokens: Tokens, audience: str) -> None:
    token = tokens.issue(DIRECTORY.application, audience)
    caller = tokens.verify(f"Bearer {token}", audiences=ARM)
    assert (caller.tenant, caller.object_id, caller.app_id, caller.kind) == (
        TENANT,
        DIRECTORY.application.object_id,
        "the-app",
        "Application",
    )


@pytest.mark.parametrize("header", [None, ""])
def test_no_header(tokens: Tokens, header: str | None) -> None:
    error = refusal(tokens, header)
    assert (error.code, error.message) == (
        "AuthenticationFailed",
        "Authentication failed. The 'Authorization' header is missing.",
    )


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Basic dGhlLWFwcDp4", "SharedKey x:y", "eyJ0"])
def test_a_header_that_carries_no_bearer_token(tokens: Tokens, header: str) -> None:
    assert refusal(tokens, header).code == "AuthenticationFailedInvalidHeader"


def forged(claims: dict[str, object], *, key: object = "secret-of-32-bytes-or-more-is-enough", **header: str) -> str:
    return jwt.encode(claims, key, algorithm=header.pop("alg", "HS256"), headers=header)  # type: ignore[arg-type]  # any key of any algorithm


def claims_of(token: str) -> dict[str, object]:
    claims: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return claims


def test_what_is_signed_by_another_key_is_refused_even_under_our_keys_id(tokens: Tokens) -> None:
    claims = claims_of(tokens.issue(DIRECTORY.application, AUDIENCE))
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for kid in (tokens.key.id, "another"):
        error = refusal(tokens, f"Bearer {forged(claims, key=other, alg='RS256', kid=kid)}")
        assert error.code == "InvalidAuthenticationToken"
        assert error.message.startswith("The access token is invalid. ")


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_the_algorithm_is_not_the_tokens_to_choose(tokens: Tokens) -> None:
    claims = part(claims_of(tokens.issue(DIRECTORY.application, AUDIENCE)))
    # The known confusion: the public key, which anybody has, as the secret of an HMAC.
    public = tokens.key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    content = part({"alg": "HS256", "typ": "JWT", "kid": tokens.key.id}) + "." + claims
    mac = base64.urlsafe_b64encode(hmac.digest(public, content.encode(), "sha256")).decode().rstrip("=")
    unsigned = part({"alg": "none", "typ": "JWT", "kid": tokens.key.id}) + "." + claims + "."
    for token in (f"{content}.{mac}", unsigned):
        assert refusal(tokens, f"Bearer {token}").code == "InvalidAuthenticationToken"


def test_no_character_of_a_signature_may_be_another(tokens: Tokens) -> None:
    token = tokens.issue(DIRECTORY.application, AUDIENCE)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for last in letters.replace(token[-1], ""):
        assert refusal(tokens, f"Bearer {token[:-1]}{last}").code == "InvalidAuthenticationToken"


def test_changed_claims_are_refused(tokens: Tokens) -> None:
    head, _, signature = tokens.issue(DIRECTORY.application, AUDIENCE).split(".")
    claims = claims_of(tokens.issue(DIRECTORY.person, AUDIENCE))
    assert refusal(tokens, f"Bearer {head}.{part(claims)}.{signature}").code == "InvalidAuthenticationToken"


def test_a_token_of_another_tenant_is_refused_by_name_whoever_signed_it(tokens: Tokens) -> None:
    claims = claims_of(tokens.issue(DIRECTORY.application, AUDIENCE))
    claims |= {"iss": f"https://sts.windows.net/{OTHER_TENANT}/", "tid": OTHER_TENANT}
    ours = tokens.sign({name: value for name, value in claims.items() if isinstance(value, str | int)})
    for token in (forged(claims), ours):
        error = refusal(tokens, f"Bearer {token}")
        assert error.code == "InvalidAuthenticationTokenTenant"
        assert error.message.startswith(
            f"The access token is from the wrong issuer 'https://sts.windows.net/{OTHER_TENANT}/'."
            f" It must match the tenant '{ISSUER}' associated with this subscription."
        )


def test_a_token_for_another_resource_is_refused(tokens: Tokens) -> None:
    token = tokens.issue(DIRECTORY.application, "https://graph.microsoft.com")
    for _ in range(2):  # the second time it is remembered, and refused all the same
        error = refusal(tokens, f"Bearer {token}")
        assert error.code == "InvalidAuthenticationTokenAudience"
        assert "'https://graph.microsoft.com'" in error.message
        assert "'https://management.azure.com'" in error.message


async def test_an_expired_token_is_refused_though_it_is_remembered(tokens: Tokens, clock: ManualClock) -> None:
    token = tokens.issue(DIRECTORY.application, AUDIENCE)
    await clock.advance(LIFETIME - 1)
    tokens.verify(f"Bearer {token}", audiences=ARM)
    await clock.advance(1)
    errors = [refusal(tokens, f"Bearer {token}") for _ in range(2)]
    assert [error.code for error in errors] == ["ExpiredAuthenticationToken"] * 2
    assert errors[1].message == (
        "The access token expiry UTC time '1/1/2026 12:59:59 AM' is earlier than current UTC time"
        " '1/1/2026 12:59:59 AM'."
    )


async def test_a_token_from_the_future_is_refused_until_it_begins(
    folder: Path, tokens: Tokens, clock: ManualClock
) -> None:
    ahead = ManualClock()
    await ahead.advance(301)
    token = Tokens(folder=folder, clock=ahead, directory=DIRECTORY).issue(DIRECTORY.application, AUDIENCE)
    error = refusal(tokens, f"Bearer {token}")
    assert (error.code, "not valid yet" in error.message) == ("InvalidAuthenticationToken", True)
    await clock.advance(1)
    assert tokens.verify(f"Bearer {token}", audiences=ARM).app_id == "the-app"


@pytest.mark.parametrize("claim", ["nbf", "exp"])
@pytest.mark.parametrize("value", ["soon", None, [], True])
def test_a_signed_token_without_times_is_refused(tokens: Tokens, claim: str, value: object) -> None:
    claims = claims_of(tokens.issue(DIRECTORY.application, AUDIENCE)) | {claim: value}
    if value is None:
        del claims[claim]
    token = jwt.encode(claims, tokens.key.private, algorithm="RS256", headers={"kid": tokens.key.id})
    error = refusal(tokens, f"Bearer {token}")
    assert (error.code, "when it begins and ends" in error.message) == ("InvalidAuthenticationToken", True)


def test_tokens_outlive_a_restart(folder: Path, tokens: Tokens, clock: ManualClock) -> None:
    token = tokens.issue(DIRECTORY.application, AUDIENCE)
    again = Tokens(folder=folder, clock=clock, directory=DIRECTORY)
    assert again.verify(f"Bearer {token}", audiences=ARM).app_id == "the-app"


def test_with_another_key_tokens_of_before_are_refused_and_the_way_out_is_told(
    tmp_path: Path, tokens: Tokens, clock: ManualClock
) -> None:
    token = tokens.issue(DIRECTORY.application, AUDIENCE)
    (tmp_path / "signing-key.pem").write_bytes(b"not a key")
    again = Tokens(folder=tmp_path, clock=clock, directory=DIRECTORY)
    error = refusal(again, f"Bearer {token}")
    assert "log in again" in error.message
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "signing-key.pem").stat().st_mode) == 0o600


def test_what_is_remembered_is_bounded(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("windtunnel_emulators.identity.tokens._REMEMBERED", 3)
    issued = [tokens.issue(DIRECTORY.application, AUDIENCE) for _ in range(6)]
    for token in issued + issued:
        tokens.verify(f"Bearer {token}", audiences=ARM)
    assert tokens.remembered == 3


def test_any_claims_can_be_signed_and_read_back_until_they_expire(tokens: Tokens, clock: ManualClock) -> None:
    now = int(clock.now().timestamp())
    assert tokens.read(tokens.sign({"access": ["pull"], "exp": now + 1})) == {"access": ["pull"], "exp": now + 1}
    for claims in ({"exp": now}, {"nbf": now + 1, "exp": now + 2}, {"access": 1}):
        with pytest.raises(InvalidToken):
            tokens.read(tokens.sign(dict(claims)))


def test_nothing_heavy_is_imported_before_a_token_is_needed() -> None:
    program = (
        "import sys, pathlib; from windtunnel_emulators.clock import RealClock\n"
        "from windtunnel_emulators.identity.directory import Directory\n"
        "from windtunnel_emulators.identity.tokens import Tokens\n"
        "d = Directory.of(tenant='11111111-2222-3333-4444-555555555555', subscription='s', client_id='c',"
        " client_secret='s')\n"
        "Tokens(folder=pathlib.Path('.'), clock=RealClock(), directory=d)\n"
        "sys.exit(bool({'jwt', 'cryptography'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


CODES = {
    "AuthenticationFailed",
    "AuthenticationFailedInvalidHeader",
    "InvalidAuthenticationToken",
    "InvalidAuthenticationTokenTenant",
    "InvalidAuthenticationTokenAudience",
    "ExpiredAuthenticationToken",
}
SEGMENT = st.one_of(
    st.text(alphabet=st.characters(codec="latin-1")),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["alg", "kid", "iss"]), inner),
        max_leaves=8,
    ).map(part),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    header=st.one_of(
        st.text(alphabet=st.characters(codec="latin-1")),
        st.text(alphabet=st.characters(codec="latin-1")).map(lambda text: f"Bearer {text}"),
        st.lists(SEGMENT, max_size=4).map(lambda parts: "Bearer " + ".".join(parts)),
    )
)
def test_no_header_raises_anything_but_a_refusal(tokens: Tokens, header: str) -> None:
    assert refusal(tokens, header).code in CODES


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=st.dictionaries(st.sampled_from(["aud", "iss", "tid", "exp", "nbf", "oid", "upn", "kid"]), st.none()
       | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())))  # fmt: skip
def test_no_signed_claims_raise_anything_but_a_refusal(tokens: Tokens, changes: dict[str, object]) -> None:
    claims = claims_of(tokens.issue(DIRECTORY.application, AUDIENCE)) | changes
    try:
        token = jwt.encode(claims, tokens.key.private, algorithm="RS256", headers={"kid": tokens.key.id})
    except TypeError:
        return  # the library itself would not sign these
    try:
        tenant = tokens.verify(f"Bearer {token}", audiences=ARM).tenant
        code = ""
    except ArmError as error:
        tenant, code = TENANT, error.code
    assert tenant == TENANT
    assert code in CODES | {""}
