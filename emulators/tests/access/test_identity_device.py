"""People: the device code flow with its page, and refresh tokens."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

import jwt
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.identity import audiences

if TYPE_CHECKING:
    from tests.access.conftest import Client, Reply
    from windtunnel_emulators.clock import ManualClock
    from windtunnel_emulators.identity.directory import Directory
    from windtunnel_emulators.identity.service import TokenService
    from windtunnel_emulators.identity.tokens import Tokens
    from windtunnel_emulators.store import Store

TENANT = "11111111-2222-3333-4444-555555555555"
BASE = "https://localhost:4580"
AZ = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
SCOPE = f"{BASE}//.default offline_access openid profile"
PAGE = "/common/oauth2/deviceauth"


async def begin(client: Client, **form: str) -> dict[str, Any]:
    reply = await client.post(
        f"/{TENANT}/oauth2/v2.0/devicecode", {"client_id": AZ, "scope": SCOPE, "client_info": "1"} | form
    )
    assert reply.status == 200
    return reply.json


async def poll(client: Client, device_code: str, client_id: str = AZ) -> Reply:
    return await client.post(
        f"/{TENANT}/oauth2/v2.0/token",
        {
            "client_id": client_id,
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
            "device_code": device_code,
            "client_info": "1",
        },
    )


async def signed_in(client: Client) -> dict[str, Any]:
    code = await begin(client)
    await client.post(PAGE, {"user_code": code["user_code"]})
    reply = await poll(client, code["device_code"])
    assert reply.status == 200
    return reply.json


async def refreshed(client: Client, token: str, **form: str) -> Reply:
    return await client.post(
        f"/{TENANT}/oauth2/v2.0/token",
        {"client_id": AZ, "grant_type": "refresh_token", "refresh_token": token, "scope": SCOPE} | form,
    )


def outcome(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.json.get("error", "")


async def test_a_person_signs_a_program_in(client: Client, tokens: Tokens, directory: Directory) -> None:
    code = await begin(client)
    assert code["verification_uri"] == f"{BASE}{PAGE}"
    assert (code["expires_in"], code["interval"]) == (900, 1)
    assert code["user_code"] in code["message"]
    assert re.fullmatch("[B-DF-HJ-NP-TV-XZ]{9}", code["user_code"])
    assert outcome(await poll(client, code["device_code"])) == (400, "authorization_pending")

    form = await client.get(PAGE)
    assert (form.status, form.headers["content-type"]) == (200, "text/html; charset=utf-8")
    done = await client.post(PAGE, {"user_code": code["user_code"], "decision": "approve"})
    assert (done.status, "Microsoft Azure CLI" in done.text) == (200, True)

    answer = (await poll(client, code["device_code"])).json
    caller = tokens.verify(f"Bearer {answer['access_token']}", audiences=audiences.resource_manager(BASE))
    assert (caller.kind, caller.app_id, caller.name) == ("User", AZ, directory.person.name)
    claims = jwt.decode(answer["id_token"], options={"verify_signature": False})
    assert {name: claims[name] for name in ("aud", "iss", "oid", "tid", "preferred_username", "ver")} == {
        "aud": AZ,
        "iss": f"{BASE}/{TENANT}/v2.0",
        "oid": directory.person.object_id,
        "tid": TENANT,
        "preferred_username": directory.person.name,
        "ver": "2.0",
    }
    info = msgspec.json.decode(base64.urlsafe_b64decode(answer["client_info"] + "=="))
    assert info == {"uid": directory.person.object_id, "utid": TENANT}
    assert f"{BASE}//.default" in answer["scope"].split()


async def test_an_id_token_opens_nothing(client: Client, tokens: Tokens) -> None:
    answer = await signed_in(client)
    with pytest.raises(ArmError) as refusal:
        tokens.verify(f"Bearer {answer['id_token']}", audiences=audiences.registry(BASE))
    assert refusal.value.status == 401


async def test_a_code_works_once(client: Client) -> None:
    code = await begin(client)
    await client.post(PAGE, {"user_code": code["user_code"]})
    assert (await poll(client, code["device_code"])).status == 200
    assert outcome(await poll(client, code["device_code"])) == (400, "bad_verification_code")
    assert (await client.post(PAGE, {"user_code": code["user_code"]})).status == 400


@pytest.mark.parametrize("spelled", ["lower", "dashes", "code", "otc"])
async def test_the_code_as_people_type_it(client: Client, spelled: str) -> None:
    code = (await begin(client))["user_code"]
    typed = {"lower": code.lower(), "dashes": f" {code[:3]}-{code[3:6]} {code[6:]} "}.get(spelled, code)
    field = spelled if spelled in ("code", "otc") else "user_code"
    assert (await client.post(PAGE, {field: typed})).status == 200


async def test_a_person_refuses(client: Client) -> None:
    code = await begin(client)
    page = await client.post(PAGE, {"user_code": code["user_code"], "decision": "decline"})
    assert (page.status, "was not signed in" in page.text) == (200, True)
    assert outcome(await poll(client, code["device_code"])) == (400, "authorization_declined")


async def test_a_code_expires(client: Client, clock: ManualClock) -> None:
    code, approved = await begin(client), await begin(client)
    await client.post(PAGE, {"user_code": approved["user_code"]})
    await clock.advance(900)
    assert outcome(await poll(client, code["device_code"])) == (400, "expired_token")
    assert outcome(await poll(client, approved["device_code"])) == (400, "expired_token")
    assert (await client.post(PAGE, {"user_code": code["user_code"]})).status == 400


async def test_polling_too_fast_is_slowed_down(client: Client, clock: ManualClock) -> None:
    code = (await begin(client))["device_code"]
    assert outcome(await poll(client, code)) == (400, "authorization_pending")
    assert outcome(await poll(client, code)) == (400, "slow_down")
    await clock.advance(1)  # the interval is six seconds now
    assert outcome(await poll(client, code)) == (400, "slow_down")
    await clock.advance(11)
    assert outcome(await poll(client, code)) == (400, "authorization_pending")


async def test_a_code_is_for_the_program_that_asked(client: Client) -> None:
    code = await begin(client)
    await client.post(PAGE, {"user_code": code["user_code"]})
    other = "1950a258-227b-4e31-a9cf-717495945fc2"
    assert outcome(await poll(client, code["device_code"], other)) == (400, "bad_verification_code")
    assert outcome(await poll(client, code["device_code"], "nobody")) == (400, "unauthorized_client")
    assert (await poll(client, code["device_code"])).status == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"client_id": "nobody"}, "unauthorized_client"),
        ({"client_id": ""}, "invalid_request"),
        ({"scope": "https://unknown.example/.default"}, "invalid_resource"),
        ({"scope": "x/y/z"}, "invalid_scope"),
    ],
)
async def test_codes_that_are_not_given(client: Client, form: dict[str, str], error: str) -> None:
    reply = await client.post(f"/{TENANT}/oauth2/v2.0/devicecode", {"client_id": AZ, "scope": SCOPE} | form)
    assert outcome(reply) == (400, error)


async def test_the_v1_endpoints(client: Client) -> None:
    reply = await client.post(f"/{TENANT}/oauth2/devicecode", {"client_id": AZ, "resource": f"{BASE}/"})
    assert (reply.json["verification_url"], reply.json["expires_in"]) == (f"{BASE}{PAGE}", "900")
    await client.post(PAGE, {"user_code": reply.json["user_code"]})
    form = {"client_id": AZ, "grant_type": "device_code", "code": reply.json["device_code"]}
    answer = (await client.post(f"/{TENANT}/oauth2/token", form)).json
    assert (answer["resource"], answer["expires_in"]) == (f"{BASE}/", "3599")
    claims = jwt.decode(answer["id_token"], options={"verify_signature": False})
    assert (claims["ver"], claims["iss"]) == ("1.0", f"https://sts.windows.net/{TENANT}/")


async def test_the_form_is_not_to_be_framed_scripted_or_posted_by_other_sites(client: Client) -> None:
    code = (await begin(client))["user_code"]
    page = await client.get(PAGE)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "<script" not in page.text
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"host": "rebound.example:4580", "origin": "https://rebound.example:4580"},
    ):
        reply = await client.post(PAGE, {"user_code": code}, **headers)
        assert reply.status == 403
    own = {"origin": BASE, "sec_fetch_site": "same-origin"}
    assert (await client.post(PAGE, {"user_code": code}, **own)).status == 200


async def test_what_is_typed_is_shown_as_text(client: Client) -> None:
    typed = '"><img src=x>'
    for reply in (await client.post(PAGE, {"user_code": typed}), await client.get(f"{PAGE}?user_code=%22%3E%3Cimg")):
        assert "<img" not in reply.text
        assert "&quot;&gt;&lt;img" in reply.text


async def test_a_refresh_token_gives_tokens_for_another_resource_and_its_successor(
    client: Client, tokens: Tokens
) -> None:
    first = await signed_in(client)
    reply = await refreshed(
        client, first["refresh_token"], scope="https://containerregistry.azure.net/.default offline_access"
    )
    assert reply.status == 200
    assert reply.json["refresh_token"] != first["refresh_token"]
    caller = tokens.verify(f"Bearer {reply.json['access_token']}", audiences=audiences.registry(BASE))
    assert caller.kind == "User"
    assert (await refreshed(client, reply.json["refresh_token"])).status == 200


async def test_a_replaced_refresh_token_holds_for_a_few_minutes_more(client: Client, clock: ManualClock) -> None:
    old = (await signed_in(client))["refresh_token"]
    new = (await refreshed(client, old)).json["refresh_token"]
    await clock.advance(299)
    assert (await refreshed(client, old)).status == 200
    await clock.advance(1)
    assert outcome(await refreshed(client, old)) == (400, "invalid_grant")
    assert (await refreshed(client, new)).status == 200


async def test_refresh_tokens_can_be_taken_back_all_at_once(client: Client, service: TokenService) -> None:
    tokens = [(await signed_in(client))["refresh_token"] for _ in range(2)]
    assert service.refresh_tokens.revoke_all() == 2
    for token in tokens:
        reply = await refreshed(client, token)
        assert (outcome(reply), reply.json["error_codes"]) == ((400, "invalid_grant"), [50173])
    assert service.refresh_tokens.revoke_all() == 0
    assert (await refreshed(client, (await signed_in(client))["refresh_token"])).status == 200


async def test_a_refresh_token_expires_and_is_only_its_programs(client: Client, clock: ManualClock) -> None:
    token = (await signed_in(client))["refresh_token"]
    other = await refreshed(client, token, client_id="1950a258-227b-4e31-a9cf-717495945fc2")
    assert (outcome(other), other.json["error_codes"]) == ((400, "invalid_grant"), [70000])
    await clock.advance(90 * 24 * 3600)
    reply = await refreshed(client, token)
    assert (outcome(reply), reply.json["error_codes"]) == ((400, "invalid_grant"), [700082])


async def test_a_bad_scope_does_not_cost_the_refresh_token(client: Client, clock: ManualClock) -> None:
    token = (await signed_in(client))["refresh_token"]
    assert outcome(await refreshed(client, token, scope="https://unknown.example/.default")) == (
        400,
        "invalid_resource",
    )
    await clock.advance(3600)
    assert (await refreshed(client, token)).status == 200


async def test_neither_codes_nor_refresh_tokens_are_kept_as_they_are(client: Client, store: Store) -> None:
    code = await begin(client)
    refresh = (await signed_in(client))["refresh_token"]
    kept = repr(store.rows("SELECT * FROM refresh_tokens") + store.rows("SELECT * FROM device_codes"))
    assert code["user_code"] in kept
    assert code["device_code"] not in kept
    assert refresh not in kept


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(typed=st.text(), decision=st.none() | st.text())
async def test_no_code_that_is_typed_breaks_the_page(client: Client, typed: str, decision: str | None) -> None:
    form = {"user_code": typed.encode("utf-8", "replace").decode()}
    if decision is not None:
        form["decision"] = decision.encode("utf-8", "replace").decode()
    assert (await client.post(PAGE, form)).status == 400
