"""The token service: discovery, the grants of an application, and every refusal with Entra's number."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.identity import audiences
from windtunnel_emulators.identity.service import owns

if TYPE_CHECKING:
    from tests.access.conftest import Client, Reply
    from windtunnel_emulators.identity.directory import Directory
    from windtunnel_emulators.identity.tokens import Tokens

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT_ID = "aaaaaaaa-2222-3333-4444-555555555555"
SECRET = "s3cret~value"
BASE = "https://localhost:4580"
TOKEN = f"/{TENANT}/oauth2/v2.0/token"
FORM = {
    "client_id": CLIENT_ID,
    "client_secret": SECRET,
    "grant_type": "client_credentials",
    "scope": f"{BASE}//.default",
    "claims": '{"access_token": {"xms_cc": {"values": ["CP1"]}}}',
    "client_info": "1",
}
GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def refused(reply: Reply, status: int, error: str, number: int) -> str:
    """Check the whole shape of a refusal; the sentence."""
    body = reply.json
    assert (reply.status, body["error"], body["error_codes"]) == (status, error, [number])
    match = re.fullmatch(
        rf"AADSTS{number}: (.*) Trace ID: ({GUID}) Correlation ID: ({GUID}) Timestamp: (2026-01-01 00:\d\d:\d\dZ)",
        body["error_description"],
        re.DOTALL,
    )
    assert match
    assert (match[2], match[4], match[6]) == (body["trace_id"], body["correlation_id"], body["timestamp"])
    assert reply.headers["cache-control"].startswith("no-store")
    return match[1]


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in FORM.items() if name not in names}


async def test_an_application_gets_a_token_that_the_resource_manager_accepts(
    client: Client, tokens: Tokens, directory: Directory
) -> None:
    reply = await client.post(TOKEN, FORM)
    assert reply.status == 200
    assert set(reply.json) == {"token_type", "expires_in", "ext_expires_in", "access_token"}
    assert (reply.json["token_type"], reply.json["expires_in"]) == ("Bearer", 3599)
    assert reply.headers["cache-control"] == "no-store, no-cache"
    token = reply.json["access_token"]
    assert jwt.decode(token, options={"verify_signature": False})["aud"] == f"{BASE}/"
    caller = tokens.verify(f"Bearer {token}", audiences=audiences.resource_manager(BASE))
    assert caller.object_id == directory.application.object_id


async def test_a_secret_by_http_basic_is_as_good(client: Client) -> None:
    basic = base64.b64encode(f"{CLIENT_ID}:s3cret%7Evalue".encode()).decode()
    reply = await client.post(TOKEN, without("client_id", "client_secret"), authorization=f"Basic {basic}")
    assert reply.status == 200


@pytest.mark.parametrize(
    "resource",
    [
        BASE,
        f"{BASE}/",
        "https://127.0.0.1:4580/",
        "https://management.azure.com/",
        "https://management.core.windows.net/",
        "https://containerregistry.azure.net",
        "https://graph.microsoft.com",
        "https://graph.windows.net/",
        "https://storage.azure.com",
    ],
)
async def test_the_audience_is_the_resource_as_it_was_asked_for(client: Client, resource: str) -> None:
    by_scope = await client.post(TOKEN, FORM | {"scope": f"{resource}/.default"})
    by_resource = await client.post(f"/{TENANT}/oauth2/token", without("scope") | {"resource": resource})
    for reply in (by_scope, by_resource):
        assert jwt.decode(reply.json["access_token"], options={"verify_signature": False})["aud"] == resource


async def test_the_v1_endpoint_answers_in_strings(client: Client) -> None:
    reply = await client.post(f"/{TENANT}/oauth2/token", without("scope") | {"resource": f"{BASE}/"})
    now = 1767225600
    assert {name: value for name, value in reply.json.items() if name != "access_token"} == {
        "token_type": "Bearer",
        "expires_in": "3599",
        "ext_expires_in": "3599",
        "expires_on": str(now + 3599),
        "not_before": str(now),
        "resource": f"{BASE}/",
    }


async def test_ad_fs_has_one_endpoint_for_both_kinds(client: Client) -> None:
    assert (await client.post("/adfs/oauth2/token", FORM)).json["expires_in"] == 3599
    by_resource = await client.post("/adfs/oauth2/token", without("scope") | {"resource": f"{BASE}/"})
    assert by_resource.json["resource"] == f"{BASE}/"


async def test_wrong_secret(client: Client) -> None:
    for secret in ("wrong", SECRET + " ", SECRET.upper(), "\udcff"):
        form = FORM | {"client_secret": secret.encode("utf-8", "replace").decode()}
        sentence = refused(await client.post(TOKEN, form), 401, "invalid_client", 7000215)
        assert form["client_secret"] not in sentence
    basic = base64.b64encode(f"{CLIENT_ID}:wrong".encode()).decode()
    reply = await client.post(TOKEN, without("client_id", "client_secret"), authorization=f"Basic {basic}")
    refused(reply, 401, "invalid_client", 7000215)
    assert reply.headers["www-authenticate"].startswith("Basic ")


async def test_no_secret_and_a_certificate(client: Client) -> None:
    refused(await client.post(TOKEN, without("client_secret")), 401, "invalid_client", 7000216)
    assertion = {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}
    form = without("client_secret") | assertion | {"client_assertion": "eyJ.e30.x"}
    sentence = refused(await client.post(TOKEN, form), 401, "invalid_client", 700027)
    assert "send client_secret" in sentence


async def test_unknown_client(client: Client) -> None:
    sentence = refused(await client.post(TOKEN, FORM | {"client_id": "who"}), 400, "unauthorized_client", 700016)
    assert sentence.startswith("Application with identifier 'who' was not found in the directory 'Windtunnel'.")


async def test_unknown_tenant(client: Client) -> None:
    other = "99999999-2222-3333-4444-555555555555"
    sentence = refused(await client.post(f"/{other}/oauth2/v2.0/token", FORM), 400, "invalid_request", 90002)
    assert sentence.startswith(f"Tenant '{other}' not found.")
    assert TENANT in sentence
    document = await client.get(f"/{other}/v2.0/.well-known/openid-configuration")
    refused(document, 400, "invalid_tenant", 90002)


@pytest.mark.parametrize("tenant", ["common", "organizations"])
async def test_an_application_must_say_its_tenant(client: Client, tenant: str) -> None:
    refused(await client.post(f"/{tenant}/oauth2/v2.0/token", FORM), 400, "invalid_request", 50059)


@pytest.mark.parametrize(
    ("scope", "error", "number"),
    [
        ("https://unknown.example/.default", "invalid_resource", 500011),
        ("https://localhost:4581/.default", "invalid_resource", 500011),
        (f"{BASE}/user_impersonation", "invalid_scope", 1002012),
        ("User.Read", "invalid_scope", 1002012),
        (f"{BASE}/.default offline_access", "invalid_scope", 1002012),
        (f"{BASE}/.default https://graph.microsoft.com/.default", "invalid_scope", 28000),
        ("nonsense/.default", "invalid_scope", 70011),
        ("https:///.default", "invalid_scope", 70011),
        (f"{BASE}/", "invalid_scope", 70011),
    ],
)
async def test_scopes_that_will_not_do(client: Client, scope: str, error: str, number: int) -> None:
    refused(await client.post(TOKEN, FORM | {"scope": scope}), 400, error, number)


async def test_an_unknown_resource_at_the_v1_endpoint(client: Client) -> None:
    form = without("scope") | {"resource": "https://unknown.example"}
    refused(await client.post(f"/{TENANT}/oauth2/token", form), 400, "invalid_resource", 500011)
    refused(await client.post(TOKEN, form), 400, "invalid_request", 901002)


@pytest.mark.parametrize("name", ["grant_type", "client_id", "scope"])
async def test_a_missing_field_is_named(client: Client, name: str) -> None:
    for form in (without(name), FORM | {name: ""}):
        sentence = refused(await client.post(TOKEN, form), 400, "invalid_request", 900144)
        assert sentence == f"The request body must contain the following parameter: '{name}'."
    sentence = refused(await client.post(f"/{TENANT}/oauth2/token", without("scope")), 400, "invalid_request", 900144)
    assert "'resource'" in sentence


@pytest.mark.parametrize(
    "grant", ["authorization_code", "password", "urn:ietf:params:oauth:grant-type:jwt-bearer", "anything"]
)
async def test_grants_that_are_not_emulated_are_refused_with_the_way_out(client: Client, grant: str) -> None:
    form = FORM | {"grant_type": grant, "code": "x", "username": "u", "password": "p"}
    sentence = refused(await client.post(TOKEN, form), 400, "unsupported_grant_type", 70003)
    assert "client_credentials" in sentence


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"\xff\xfe", b"a=1&a=2", b"&".join(b"f%d=1" % i for i in range(101)), b"grant_type"]
)
async def test_bodies_that_are_no_form(client: Client, body: bytes) -> None:
    reply = await client.post(TOKEN, body)
    assert (reply.status, reply.json["error"]) == (400, "invalid_request")


async def test_a_body_that_is_too_large_is_not_read_to_its_end(client: Client) -> None:
    refused(await client.post(TOKEN, b"a" * 10_000_000), 413, "invalid_request", 9002313)


@pytest.mark.parametrize("header", ["Bearer x", "Basic", "Basic !", "Basic dGhl", "Basic /w==", "Digest a=b"])
async def test_an_authorization_that_is_not_basic(client: Client, header: str) -> None:
    reply = await client.post(TOKEN, without("client_secret"), authorization=header)
    refused(reply, 400, "invalid_request", 9002313)


@pytest.mark.parametrize("host", ["(none)", "", "a b", 'x"><script>', "localhost:port", "[::1", "a/b"])
async def test_a_host_that_is_none(client: Client, host: str) -> None:
    reply = await client.get(f"/{TENANT}/v2.0/.well-known/openid-configuration", host=host)
    refused(reply, 400, "invalid_request", 9002313)


async def test_wrong_methods_and_paths(client: Client) -> None:
    reply = await client.get(TOKEN)
    refused(reply, 405, "invalid_request", 900561)
    assert reply.headers["allow"] == "POST"
    assert (await client.post("/metadata/endpoints", {})).status == 405
    refused(await client.get(f"/{TENANT}/oauth2/nothing"), 404, "invalid_request", 9002313)


async def test_the_callers_correlation_id_comes_back(client: Client) -> None:
    sent = "ABCDEF00-0000-4000-8000-000000000001"
    reply = await client.post(TOKEN, {}, client_request_id=sent)
    assert reply.json["correlation_id"] == sent.lower()
    reply = await client.post(TOKEN, {}, client_request_id="no\tguid")
    assert re.fullmatch(GUID, reply.json["correlation_id"])


@pytest.mark.parametrize(
    ("tenant", "called"),
    [
        (TENANT, TENANT),
        (TENANT.upper(), TENANT),
        ("windtunnel.onmicrosoft.com", TENANT),
        ("common", "common"),
        ("Organizations", "organizations"),
    ],
)
async def test_the_discovery_document_links_to_where_it_was_asked(client: Client, tenant: str, called: str) -> None:
    reply = await client.get(f"//{tenant}/v2.0/.well-known/openid-configuration?api-version=1.0", host="LocalHost:9")
    root = f"https://localhost:9/{called}"
    document = reply.json
    assert document["token_endpoint"] == f"{root}/oauth2/v2.0/token"
    assert document["authorization_endpoint"] == f"{root}/oauth2/v2.0/authorize"
    assert document["device_authorization_endpoint"] == f"{root}/oauth2/v2.0/devicecode"
    assert document["jwks_uri"] == f"{root}/discovery/v2.0/keys"
    assert document["issuer"] == f"https://localhost:9/{TENANT}/v2.0"


async def test_the_v1_and_ad_fs_documents(client: Client) -> None:
    v1 = (await client.get(f"/{TENANT}/.well-known/openid-configuration")).json
    assert v1["issuer"] == f"https://sts.windows.net/{TENANT}/"
    assert v1["token_endpoint"] == f"{BASE}/{TENANT}/oauth2/token"
    adfs = (await client.get("/adfs/.well-known/openid-configuration")).json
    assert adfs["token_endpoint"] == f"{BASE}/adfs/oauth2/token"
    assert adfs["device_authorization_endpoint"] == f"{BASE}/adfs/oauth2/devicecode"


async def test_every_published_link_is_served(client: Client) -> None:
    for path in (f"/{TENANT}/v2.0", f"/{TENANT}", "/adfs", "/common/v2.0"):
        document = (await client.get(f"{path}/.well-known/openid-configuration")).json
        for name, link in document.items():
            if name.endswith(("_endpoint", "_uri")):
                assert link.startswith(BASE)
                assert owns(link.removeprefix(BASE))
                assert (await client.get(link.removeprefix(BASE))).status in (200, 400, 405)


async def test_the_published_keys_verify_tokens(client: Client) -> None:
    token = (await client.post(TOKEN, FORM)).json["access_token"]
    for path in (f"/{TENANT}/discovery/v2.0/keys", "/common/discovery/keys", "/adfs/discovery/keys"):
        keys = jwt.PyJWKSet.from_dict((await client.get(path)).json)
        key = keys[jwt.get_unverified_header(token)["kid"]]
        # The clock of the test stands still in the past, so only the signature and the audience are looked at.
        claims: dict[str, Any] = jwt.decode(
            token, key.key, algorithms=["RS256"], audience=f"{BASE}/", options={"verify_exp": False}
        )
        assert claims["appid"] == CLIENT_ID


async def test_instance_discovery_knows_the_emulated_authorities_and_no_others(client: Client) -> None:
    query = f"/common/discovery/instance?api-version=1.1&authorization_endpoint=https://localhost:4580/{TENANT}/oauth2/v2.0/authorize"
    reply = await client.get(query, host="login.microsoftonline.com")
    assert reply.json["tenant_discovery_endpoint"] == f"{BASE}/{TENANT}/v2.0/.well-known/openid-configuration"
    assert reply.json["metadata"][0]["aliases"] == ["localhost:4580", "login.microsoftonline.com"]
    for endpoint in ("https://evil.example/common", "http://localhost:4580/common", "", "https://[x/"):
        reply = await client.get(f"/common/discovery/instance?authorization_endpoint={endpoint}")
        refused(reply, 400, "invalid_instance", 50049)


async def test_microsoft_graph_is_refused_in_its_own_shape(client: Client) -> None:
    for target in ("/v1.0/servicePrincipals?$filter=x", "/beta/me", "//V1.0/directoryObjects/getByIds"):
        reply = await client.request("POST", target, headers={"client-request-id": "mine"}, body=b"{}")
        assert owns(target.partition("?")[0])
        error = reply.json["error"]
        assert (reply.status, error["code"], error["innerError"]["client-request-id"]) == (
            501,
            "NotImplemented",
            "mine",
        )


async def test_a_users_realm(client: Client) -> None:
    reply = await client.get("/common/userrealm/someone@example.org?api-version=1.0")
    assert (reply.json["account_type"], reply.json["domain_name"]) == ("Managed", "example.org")


async def test_a_browser_sign_in_goes_back_with_the_refusal(client: Client) -> None:
    path = f"/{TENANT}/oauth2/v2.0/authorize?response_type=code&state=s%26t&redirect_uri="
    reply = await client.get(path + "http%3A%2F%2Flocalhost%3A8400%2Fback%3Fa%3D1")
    assert reply.status == 302
    assert reply.headers["location"].startswith("http://localhost:8400/back?a=1&error=unsupported_response_type&")
    assert reply.headers["location"].endswith("&state=s%26t")


@pytest.mark.parametrize(
    "target",
    ["", "http://evil.example:80/", "https://localhost:8400/", "http://localhost/", "http://localhost:80/%0d%0aA:b",
     "http://localhost:80@evil.example/", "javascript:alert(1)", "http://localhost:99999/", "http://[::1/"],
)  # fmt: skip
async def test_a_browser_is_not_sent_anywhere_else(client: Client, target: str) -> None:
    reply = await client.get(f"/{TENANT}/oauth2/v2.0/authorize?redirect_uri={target}")
    assert reply.status == 400
    assert "location" not in reply.headers
    assert "az login" in reply.text


@pytest.mark.parametrize(
    "path",
    [
        TOKEN,
        f"//{TENANT}//oauth2/token/",
        "/common/discovery/instance",
        "/common/userrealm/a@b",
        "/adfs/.well-known/openid-configuration",
        "/organizations/V2.0/.well-known/openid-configuration",
        "////metadata/endpoints",
        "/METADATA/Endpoints",
        "/x.onmicrosoft.com/oauth2/deviceauth",
    ],
)
def test_paths_of_the_token_service(path: str) -> None:
    assert owns(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/subscriptions/oauth2/x",
        "/subscriptions/s/resourceGroups/oauth2/token",
        "/tenants",
        "/providers/discovery/x",
        "/v2/oauth2/manifests/latest",
        "/oauth2/token",
        "/oauth2/exchange",
        "/_windtunnel/oauth2/x",
        "/metadata/instance",
        "/metadata",
        "/common",
        "/common/oauth2",
    ],
)
def test_paths_of_others(path: str) -> None:
    assert not owns(path)


ERRORS = {
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "invalid_resource",
    "unauthorized_client",
    "unsupported_grant_type",
    "bad_verification_code",
    "invalid_tenant",
    "invalid_instance",
}
FIELD = st.sampled_from(
    [
        *FORM,
        "resource",
        "refresh_token",
        "device_code",
        "code",
        "client_assertion",
        "username",
    ]
)
VALUE = st.one_of(
    st.text(),
    st.sampled_from(
        ["client_credentials", "refresh_token", "device_code", CLIENT_ID, SECRET, f"{BASE}/.default", "openid"]
    ),
)


ENDPOINT = st.sampled_from(["oauth2/token", "oauth2/v2.0/token", "oauth2/v2.0/devicecode"])
LATIN = st.text(alphabet=st.characters(codec="latin-1"))
WORDS = ("oauth2", "v2.0", "discovery", "keys", "token", "instance", "userrealm", ".well-known", "openid-configuration")
PART = st.one_of(st.text(), st.sampled_from([TENANT, "common", "deviceauth", "authorize", "beta", *WORDS]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(form=st.dictionaries(FIELD, VALUE), endpoint=ENDPOINT, authorization=st.none() | LATIN)
async def test_no_form_gets_anything_but_tokens_or_a_documented_refusal(
    client: Client, form: dict[str, str], endpoint: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    encoded = {name: value.encode("utf-8", "replace").decode() for name, value in form.items()}
    reply = await client.post(f"/{TENANT}/{endpoint}", encoded, **headers)
    assert reply.status in (200, 400, 401)
    if reply.status == 200:
        assert {"access_token", "user_code"} & set(reply.json)
    else:
        assert reply.json["error"] in ERRORS


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    path=st.lists(PART, max_size=5),
    query=LATIN,
    body=st.binary(),
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS"]),
)
async def test_no_path_query_or_body_breaks_the_service(
    client: Client, path: list[str], query: str, body: bytes, method: str
) -> None:
    target = "/" + "/".join(path).replace("?", "") + "?" + query
    if owns(target.partition("?")[0]):
        reply = await client.request(method, target, headers={}, body=body)
        assert reply.status in (200, 302, 400, 401, 403, 404, 405, 501)
