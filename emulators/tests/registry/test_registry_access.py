"""Who may do what: the admin user, Azure's tokens, the registry's own, and nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jwt
import pytest

from windtunnel_emulators.registry.access import ACCESS_LIFETIME_S, NULL_USER, parse_scopes

if TYPE_CHECKING:
    import httpx

    from tests.registry.conftest import Cloud, Oci

CLIENT_ID = "aaaaaaaa-2222-3333-4444-555555555555"
SECRET = "s3cret~value"


def azure_token(cloud: Cloud, audience: str = "https://containerregistry.azure.net") -> str:
    return cloud.tokens.issue(cloud.tokens.directory.person, audience)


async def exchanged(cloud: Cloud, client: httpx.AsyncClient) -> str:
    form = {"grant_type": "access_token", "service": client.base_url.netloc.decode()}
    answer = await client.post("/oauth2/exchange", data={**form, "access_token": azure_token(cloud)})
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["refresh_token"]
    return token


async def test_the_challenge_says_where_to_get_a_token(cloud: Cloud, oci: Oci) -> None:
    created = await cloud.create()
    server = created["properties"]["loginServer"]
    async with cloud.registry() as client:
        answer = await client.get("/v2/")
        assert oci.problem(answer) == (401, "UNAUTHORIZED")
        assert "https://aka.ms/acr/authorization" in answer.json()["errors"][0]["message"]
        bearer = f'Bearer realm="https://{server}/oauth2/token",service="{server}"'
        assert answer.headers["WWW-Authenticate"] == bearer
        pull = await client.get("/v2/team/hello/manifests/v1")
        assert pull.headers["WWW-Authenticate"] == f'{bearer},scope="repository:team/hello:pull"'
        assert pull.json()["errors"][0]["detail"] == [{"Type": "repository", "Name": "team/hello", "Action": "pull"}]
        push = await client.post("/v2/team/hello/blobs/uploads/")
        assert push.headers["WWW-Authenticate"] == f'{bearer},scope="repository:team/hello:pull,push"'
        catalog = await client.get("/v2/_catalog")
        assert catalog.headers["WWW-Authenticate"] == f'{bearer},scope="registry:catalog:*"'


async def test_an_azure_token_becomes_a_refresh_token_and_that_an_access_token(cloud: Cloud) -> None:
    await cloud.create()
    async with cloud.registry() as client:
        refresh = await exchanged(cloud, client)
        claims = jwt.decode(refresh, options={"verify_signature": False})
        assert claims["aud"] == client.base_url.netloc.decode()
        assert claims["grant_type"] == "refresh_token"
        form = {"grant_type": "refresh_token", "refresh_token": refresh, "scope": "repository:hello:pull,push"}
        access = (await client.post("/oauth2/token", data=form)).json()["access_token"]
        claims = jwt.decode(access, options={"verify_signature": False})
        assert claims["access"] == [{"Type": "repository", "Name": "hello", "Actions": ["pull", "push"]}]
        authorized = {"Authorization": f"Bearer {access}"}
        assert (await client.post("/v2/hello/blobs/uploads/", headers=authorized)).status_code == 202
        other = await client.post("/v2/other/blobs/uploads/", headers=authorized)
        assert other.status_code == 401
        assert 'error="insufficient_scope"' in other.headers["WWW-Authenticate"]
        assert (await client.delete("/v2/hello/manifests/v1", headers=authorized)).status_code == 401


async def test_a_refresh_token_is_the_null_users_password(cloud: Cloud, oci: Oci) -> None:
    await cloud.create()
    async with cloud.registry() as client:
        refresh = await exchanged(cloud, client)
        credentials = oci.basic(NULL_USER, refresh)
        token = await client.get("/oauth2/token", params={"scope": "repository:hello:pull"}, headers=credentials)
        assert token.status_code == 200
        assert (await client.get("/v2/", headers=credentials)).status_code == 200
        assert (await client.get("/v2/", headers=oci.basic(NULL_USER, refresh[:-4]))).status_code == 401


async def test_the_application_signs_in_with_its_secret(cloud: Cloud, oci: Oci) -> None:
    await cloud.create()
    async with cloud.registry() as client:
        assert (await client.get("/v2/", headers=oci.basic(CLIENT_ID, SECRET))).status_code == 200
        assert (await client.get("/v2/", headers=oci.basic(CLIENT_ID, "wrong"))).status_code == 401


async def test_the_admin_user_is_disabled_at_first_and_can_be_again(cloud: Cloud, oci: Oci) -> None:
    await cloud.create()
    await cloud.call("PATCH", "registries/registry1", {"properties": {"adminUserEnabled": True}})
    user, password = await cloud.admin()
    async with cloud.registry(**oci.basic(user, password)) as client:
        assert (await client.get("/v2/")).status_code == 200
        await cloud.call("PATCH", "registries/registry1", {"properties": {"adminUserEnabled": False}})
        assert (await client.get("/v2/")).status_code == 401


async def test_a_regenerated_password_replaces_only_its_own(cloud: Cloud, oci: Oci) -> None:
    await cloud.create(adminUserEnabled=True)
    before = (await cloud.call("POST", "registries/registry1/listCredentials")).json()
    answer = await cloud.call("POST", "registries/registry1/regenerateCredential", {"name": "password"})
    after = answer.json()
    assert after["passwords"][0]["value"] != before["passwords"][0]["value"]
    assert after["passwords"][1] == before["passwords"][1]
    async with cloud.registry() as client:
        for found, status in (
            (before["passwords"][0], 401),
            (after["passwords"][0], 200),
            (after["passwords"][1], 200),
        ):
            answer = await client.get("/v2/", headers=oci.basic("registry1", found["value"]))
            assert answer.status_code == status


async def test_an_access_token_ends(cloud: Cloud, oci: Oci) -> None:
    await cloud.create(adminUserEnabled=True)
    user, password = await cloud.admin()
    async with cloud.registry() as client:
        scope = {"scope": "registry:catalog:*"}
        answer = await client.get("/oauth2/token", params=scope, headers=oci.basic(user, password))
        authorized = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert (await client.get("/v2/_catalog", headers=authorized)).status_code == 200
        await cloud.clock.advance(ACCESS_LIFETIME_S)
        assert (await client.get("/v2/_catalog", headers=authorized)).status_code == 401


async def test_a_token_of_one_registry_is_nothing_to_another(cloud: Cloud) -> None:
    await cloud.create()
    await cloud.create("another2")
    async with cloud.registry() as client:
        refresh = await exchanged(cloud, client)
    async with cloud.registry("another2") as client:
        form = {"grant_type": "refresh_token", "refresh_token": refresh, "scope": "registry:catalog:*"}
        assert (await client.post("/oauth2/token", data=form)).status_code == 401


async def test_a_registrys_token_is_nothing_to_arm(cloud: Cloud, oci: Oci) -> None:
    await cloud.create()
    async with cloud.registry() as client:
        refresh = await exchanged(cloud, client)
    answer = await cloud.client.get(
        cloud.registry_id(), params={"api-version": "2023-07-01"}, headers={"Authorization": f"Bearer {refresh}"}
    )
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"access_token": "nonsense"}, 401, "UNAUTHORIZED"),
        ({"access_token": ""}, 401, "UNAUTHORIZED"),
        ({"grant_type": "client_credentials"}, 400, "UNSUPPORTED"),
        ({"service": "localhost:1"}, 400, "UNSUPPORTED"),
        ({"tenant": "99999999-2222-3333-4444-555555555555"}, 401, "UNAUTHORIZED"),
    ],
)
async def test_an_exchange_that_does_not_fit_is_refused(
    cloud: Cloud, oci: Oci, changed: dict[str, str], status: int, code: str
) -> None:
    await cloud.create()
    async with cloud.registry() as client:
        form = {"grant_type": "access_token", "service": client.base_url.netloc.decode()}
        form |= {"access_token": azure_token(cloud)} | changed
        assert oci.problem(await client.post("/oauth2/exchange", data=form)) == (status, code)


async def test_a_token_for_something_else_is_refused(cloud: Cloud, oci: Oci) -> None:
    await cloud.create()
    async with cloud.registry() as client:
        form = {"grant_type": "access_token", "access_token": azure_token(cloud, "https://vault.azure.net")}
        assert oci.problem(await client.post("/oauth2/exchange", data=form)) == (401, "UNAUTHORIZED")


async def test_tokens_for_arm_are_taken_unless_the_policy_forbids_it(cloud: Cloud) -> None:
    await cloud.create()
    form = {"grant_type": "access_token", "access_token": azure_token(cloud, "https://management.azure.com/")}
    async with cloud.registry() as client:
        assert (await client.post("/oauth2/exchange", data=form)).status_code == 200
        policies = {"azureADAuthenticationAsArmPolicy": {"status": "disabled"}}
        await cloud.call("PATCH", "registries/registry1", {"properties": {"policies": policies}})
        assert (await client.post("/oauth2/exchange", data=form)).status_code == 401
        form["access_token"] = azure_token(cloud)
        assert (await client.post("/oauth2/exchange", data=form)).status_code == 200


async def test_anybody_may_pull_where_that_is_allowed(cloud: Cloud, oci: Oci) -> None:
    await cloud.create(adminUserEnabled=True)
    async with await cloud.signed_in() as client:
        await oci.push(client, "hello", "v1")
    async with cloud.registry() as client:
        assert (await client.get("/v2/hello/manifests/v1")).status_code == 401
        await cloud.call("PATCH", "registries/registry1", {"properties": {"anonymousPullEnabled": True}})
        assert (await client.get("/v2/hello/manifests/v1")).status_code == 200
        assert (await client.delete("/v2/hello/manifests/v1")).status_code == 401
        assert (await client.get("/v2/_catalog")).status_code == 401
        answer = await client.get("/oauth2/token", params={"scope": "repository:hello:pull,push"})
        claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
        assert claims["access"] == [{"Type": "repository", "Name": "hello", "Actions": ["pull"]}]
        form = {"grant_type": "password", "access_type": "offline", "scope": "repository:hello:pull"}
        assert "refresh_token" not in (await client.post("/oauth2/token", data=form)).json()


async def test_docker_logs_in_with_a_password_and_keeps_a_refresh_token(cloud: Cloud, oci: Oci) -> None:
    await cloud.create(adminUserEnabled=True)
    user, password = await cloud.admin()
    form = {"grant_type": "password", "username": user, "password": password, "access_type": "offline"}
    async with cloud.registry() as client:
        answer = await client.post("/oauth2/token", data={**form, "scope": "registry:catalog:*"})
        refresh = {"grant_type": "refresh_token", "refresh_token": answer.json()["refresh_token"]}
        again = await client.post("/oauth2/token", data={**refresh, "scope": "registry:catalog:*"})
        authorized = {"Authorization": f"Bearer {again.json()['access_token']}"}
        assert (await client.get("/v2/_catalog", headers=authorized)).status_code == 200
        wrong = await client.post("/oauth2/token", data={**form, "password": "wrong"})
        assert oci.problem(wrong) == (401, "UNAUTHORIZED")


async def test_network_rules_keep_this_machine_out(cloud: Cloud, oci: Oci) -> None:
    await cloud.create(adminUserEnabled=True)
    user, password = await cloud.admin()

    async def change(properties: dict[str, object]) -> int:
        answer = await cloud.call("PATCH", "registries/registry1", {"properties": properties})
        assert answer.status_code == 200, answer.text
        async with cloud.registry(**oci.basic(user, password)) as client:
            return (await client.get("/v2/")).status_code

    assert await change({"publicNetworkAccess": "Disabled"}) == 403
    assert await change({"publicNetworkAccess": "Enabled"}) == 200
    rules: dict[str, object] = {"defaultAction": "Deny", "ipRules": [{"value": "203.0.113.0/24"}]}
    assert await change({"networkRuleSet": rules}) == 403
    rules["ipRules"] = [{"value": "203.0.113.0/24"}, {"value": "127.0.0.0/8"}]
    assert await change({"networkRuleSet": rules}) == 200


@pytest.mark.parametrize(
    "header", ["Basic", "Basic !!", "Basic " + "YQ==", "Bearer", "Bearer a.b.c", "Digest x", "\xff"]
)
async def test_a_header_that_is_none_grants_nothing(cloud: Cloud, header: str) -> None:
    await cloud.create(adminUserEnabled=True)
    async with cloud.registry() as client:
        answer = await client.get("/v2/", headers={b"Authorization": header.encode("latin-1")})
        assert answer.status_code == 401


@pytest.mark.parametrize("text", ["repository", "repository:hello", ":hello:pull", "repository::pull", "a:b:"])
def test_a_scope_without_its_three_parts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="type:name:actions"):
        parse_scopes([text])


def test_scopes_may_stand_side_by_side_and_names_may_have_ports() -> None:
    first, second = parse_scopes(["repository:a/b:pull,push repository:localhost:5000/x:pull"])
    assert (first.name, first.actions) == ("a/b", frozenset({"pull", "push"}))
    assert (second.name, second.actions) == ("localhost:5000/x", frozenset({"pull"}))
