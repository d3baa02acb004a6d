"""Who asks: certificates, tokens, impersonation, and what is said to those who are nobody."""

from __future__ import annotations

import base64
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_emulators.kubernetes.access.signing import NotSigned, Signer
from windtunnel_emulators.kubernetes.client.interface import StatusError
from windtunnel_emulators.kubernetes.issuing import new_key

if TYPE_CHECKING:
    from tests.kubernetes.access.conftest import Lab

LAB = "/api/v1/namespaces/lab"


async def _user(lab: Lab, headers: dict[str, str], peer: bytes | None = None) -> tuple[str, tuple[str, ...]]:
    found = await lab.access.authenticate(headers, peer)
    return found.name, found.groups


async def test_a_certificate_says_who_it_is_by_its_name_and_organizations(lab: Lab) -> None:
    der = ssl.PEM_cert_to_DER_cert(lab.authority.client("admin").certificate)
    assert await _user(lab, {}, der) == ("masterclient", ("system:masters", "system:authenticated"))
    assert await _user(lab, {}, der) == ("masterclient", ("system:masters", "system:authenticated"))


async def test_the_tokens_of_the_kubeconfigs_are_known_and_others_are_not(lab: Lab) -> None:
    token = lab.authority.tokens["user"]
    assert (await _user(lab, {"authorization": f"Bearer {token}"}))[0] == "masterclient"
    for wrong in (token[:-1], f"{token}0", "x", "x.y.z", "é"):
        with pytest.raises(StatusError) as caught:
            await lab.access.authenticate({"authorization": f"Bearer {wrong}"}, None)
        assert (caught.value.code, str(caught.value)) == (401, "Unauthorized")


async def test_a_token_may_come_as_a_protocol_of_a_websocket(lab: Lab) -> None:
    encoded = base64.urlsafe_b64encode(lab.authority.tokens["admin"].encode()).decode().rstrip("=")
    offered = f"v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.{encoded}"
    assert (await _user(lab, {"sec-websocket-protocol": offered}))[0] == "masterclient"


async def test_who_says_nothing_is_anonymous_and_sees_the_health_only(lab: Lab) -> None:
    assert await _user(lab, {}) == ("system:anonymous", ("system:unauthenticated",))
    nobody = lab.client(await lab.access.authenticate({}, None))
    assert await nobody.request("GET", "/healthz") == {"text": "ok"}
    refused = await lab.refused("GET", "/api", by=nobody)
    assert str(refused) == 'forbidden: User "system:anonymous" cannot get path "/api"'


async def _token(lab: Lab, **spec: Any) -> str:
    made: Any = await lab.post(f"{LAB}/serviceaccounts/default/token", {"spec": spec})
    token: str = made["status"]["token"]
    return token


async def test_a_token_of_a_service_account_holds_until_it_ends(lab: Lab) -> None:
    token = await _token(lab, expirationSeconds=600)
    headers = {"authorization": f"Bearer {token}"}
    assert await _user(lab, headers) == (
        "system:serviceaccount:lab:default",
        ("system:serviceaccounts", "system:serviceaccounts:lab", "system:authenticated"),
    )
    await lab.clock.advance(601)
    with pytest.raises(StatusError, match="Unauthorized"):
        await lab.access.authenticate(headers, None)


async def test_a_token_ends_with_its_account(lab: Lab) -> None:
    headers = {"authorization": f"Bearer {await _token(lab)}"}
    await _user(lab, headers)
    await lab.delete(f"{LAB}/serviceaccounts/default")
    with pytest.raises(StatusError, match="Unauthorized"):
        await lab.access.authenticate(headers, None)
    await lab.post(f"{LAB}/serviceaccounts", {"metadata": {"name": "default"}})
    with pytest.raises(StatusError, match="Unauthorized"):
        await lab.access.authenticate(headers, None)


async def test_a_token_ends_with_the_secret_that_it_is_bound_to(lab: Lab) -> None:
    await lab.post(f"{LAB}/secrets", {"metadata": {"name": "s"}})
    bound = {"kind": "Secret", "apiVersion": "v1", "name": "s"}
    headers = {"authorization": f"Bearer {await _token(lab, boundObjectRef=bound)}"}
    await _user(lab, headers)
    await lab.delete(f"{LAB}/secrets/s")
    with pytest.raises(StatusError, match="Unauthorized"):
        await lab.access.authenticate(headers, None)


async def test_a_token_for_others_is_none_for_the_api(lab: Lab) -> None:
    token = await _token(lab, audiences=["vault"])
    with pytest.raises(StatusError, match="Unauthorized"):
        await lab.access.authenticate({"authorization": f"Bearer {token}"}, None)
    review: Any = await lab.post(
        "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token, "audiences": ["vault", "other"]}}
    )
    status = review["status"]
    assert (status["authenticated"], status["audiences"]) == (True, ["vault"])
    assert status["user"]["username"] == "system:serviceaccount:lab:default"


async def test_a_token_of_another_cluster_is_refused(lab: Lab) -> None:
    claims = {"iss": "https://kubernetes.default.svc.cluster.local", "sub": "system:serviceaccount:lab:default"}
    foreign = Signer(new_key()).sign({**claims})
    with pytest.raises(StatusError, match="Unauthorized"):
        await lab.access.authenticate({"authorization": f"Bearer {foreign}"}, None)


async def test_short_and_foreign_token_requests_are_refused_in_the_servers_words(lab: Lab) -> None:
    path = f"{LAB}/serviceaccounts/default/token"
    short = await lab.refused("POST", path, {"spec": {"expirationSeconds": 1}})
    assert str(short) == (
        'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 1:'
        " may not specify a duration less than 10 minutes"
    )
    odd = await lab.refused(
        "POST", path, {"spec": {"boundObjectRef": {"kind": "Foo", "apiVersion": "v1", "name": "x"}}}
    )
    assert (odd.code, str(odd)) == (400, "cannot bind token to object of type /v1, Kind=Foo")
    gone: Any = {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "x"}}}
    assert str(await lab.refused("POST", path, gone)) == 'pods "x" not found'


async def test_impersonation_has_to_be_allowed(lab: Lab) -> None:
    token = {"authorization": f"Bearer {await _token(lab)}"}
    with pytest.raises(StatusError) as caught:
        await lab.access.authenticate({**token, "impersonate-user": "bob"}, None)
    assert str(caught.value) == (
        'users "bob" is forbidden: User "system:serviceaccount:lab:default" cannot impersonate resource "users"'
        ' in API group "" at the cluster scope'
    )
    admin = {"authorization": f"Bearer {lab.authority.tokens['admin']}"}
    asked = {**admin, "impersonate-user": "bob", "impersonate-group": "dev,ops", "impersonate-extra-a%2fb": "1"}
    found = await lab.access.authenticate(asked, None)
    assert (found.name, found.groups) == ("bob", ("dev", "ops", "system:authenticated"))
    assert found.extra == (("a/b", ("1",)),)
    account = await lab.access.authenticate({**admin, "impersonate-user": "system:serviceaccount:lab:x"}, None)
    assert account.groups == ("system:serviceaccounts", "system:serviceaccounts:lab", "system:authenticated")


async def test_the_issuer_says_how_its_tokens_are_checked(lab: Lab) -> None:
    document = await lab.get("/.well-known/openid-configuration")
    assert document["id_token_signing_alg_values_supported"] == ["ES256"]
    keys: Any = await lab.get("/openid/v1/jwks")
    token = await _token(lab)
    import jwt

    key = jwt.PyJWK.from_dict(keys["keys"][0])
    # The manual clock's time is not now.
    unchecked: Any = {f"verify_{name}": False for name in ("exp", "aud", "iat", "nbf")}
    claims = jwt.decode(token, key.key, algorithms=["ES256"], options=unchecked)
    assert claims["sub"] == "system:serviceaccount:lab:default"


def test_a_signature_fits_its_content_only() -> None:
    signer = Signer(new_key())
    token = signer.sign({"a": 1})
    assert signer.verify(token) == {"a": 1}
    head, body, signature = token.split(".")
    for wrong in (f"{head}.{body}.{signature[:-4]}AAAA", f"{head}.{body}x.{signature}", f"{head}.{body}", ""):
        with pytest.raises(NotSigned):
            signer.verify(wrong)
