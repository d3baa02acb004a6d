"""The managed-identity endpoints: whose token, for whom, and what is refused as Azure's do."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.identity import audiences, peers
from windtunnel_emulators.identity.managed import LIFETIME, ManagedIdentity

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.access.conftest import Client
    from windtunnel_emulators.clock import ManualClock
    from windtunnel_emulators.identity.directory import Directory
    from windtunnel_emulators.identity.tokens import Tokens

BASE = "https://localhost:4580"
TOKEN = f"/metadata/identity/oauth2/token?api-version=2018-02-01&resource={BASE}/"


@pytest.fixture
def identity(directory: Directory, tokens: Tokens, clock: ManualClock) -> ManagedIdentity:
    return ManagedIdentity(directory=directory, tokens=tokens, clock=clock, subscription="sub", front_door=lambda: BASE)


@pytest.fixture
def imds(identity: ManagedIdentity, client_of: Callable[..., Client]) -> Client:
    return client_of(identity, "http://127.0.0.1:4600")


async def test_a_token_of_the_managed_identity(imds: Client, tokens: Tokens, directory: Directory) -> None:
    reply = await imds.get(TOKEN, metadata="true")
    assert reply.status == 200
    token = reply.json.pop("access_token")
    assert {name: value for name, value in reply.json.items() if name != "access_token"} == {
        "client_id": directory.managed_identity.client_id,
        "expires_in": str(LIFETIME),
        "expires_on": str(1767225600 + LIFETIME),
        "ext_expires_in": str(LIFETIME),
        "not_before": "1767225600",
        "resource": f"{BASE}/",
        "token_type": "Bearer",
    }
    caller = tokens.verify(f"Bearer {token}", audiences=audiences.resource_manager(BASE))
    assert (caller.kind, caller.object_id) == ("ManagedIdentity", directory.managed_identity.object_id)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["xms_mirid"] == directory.managed_identity.resource_id


async def test_the_identity_may_be_named_and_must_then_be_right(imds: Client, directory: Directory) -> None:
    identity = directory.managed_identity
    for name, value in (
        ("client_id", identity.client_id.upper()),
        ("object_id", identity.object_id),
        ("msi_res_id", quote(identity.resource_id)),
        ("mi_res_id", identity.resource_id),
    ):
        assert (await imds.get(f"{TOKEN}&{name}={value}", metadata="true")).status == 200
        reply = await imds.get(f"{TOKEN}&{name}=another", metadata="true")
        assert (reply.status, reply.json["error"], reply.json["error_description"]) == (
            400,
            "invalid_request",
            "Identity not found",
        )


async def test_without_the_metadata_header_nothing_is_told(imds: Client) -> None:
    for headers in ({}, {"metadata": "yes"}):
        for target in (TOKEN, "/metadata/instance?api-version=2021-02-01", "/metadata/versions"):
            reply = await imds.get(target, **headers)
            assert (reply.status, reply.json["error"]) == (400, "bad_request_102")
            assert reply.json["error_description"] == "Required metadata header not specified"


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        (TOKEN, {"x_forwarded_for": "1.2.3.4"}, 400),
        (TOKEN, {"host": "rebound.example:4600"}, 403),
        (TOKEN.replace("2018-02-01", "2016-01-01"), {}, 400),
        (TOKEN.replace("2018-02-01", "latest"), {}, 400),
        ("/metadata/identity/oauth2/token?resource=x", {}, 400),
        ("/metadata/identity/oauth2/token?api-version=2018-02-01", {}, 400),
        ("/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://unknown.example", {}, 400),
        ("/metadata/nothing?api-version=2018-02-01", {}, 404),
        ("/metadata", {}, 400),
        ("/subscriptions", {}, 404),
        ("/", {}, 404),
    ],
)
async def test_refusals(imds: Client, target: str, headers: dict[str, str], status: int) -> None:
    reply = await imds.get(target, metadata="true", **headers)
    assert reply.status == status
    assert reply.json["error"]
    assert reply.json["error_description"] == reply.json["message"]


async def test_only_get(imds: Client) -> None:
    reply = await imds.request("POST", TOKEN, headers={"metadata": "true"})
    assert (reply.status, reply.headers["allow"]) == (405, "GET")


async def test_app_services_endpoint_wants_its_header(imds: Client, identity: ManagedIdentity) -> None:
    target = f"/msi/token?api-version=2019-08-01&resource={BASE}/"
    right = identity.identity_header
    assert (await imds.get(target, x_identity_header=right)).json["token_type"] == "Bearer"
    for headers in ({}, {"x_identity_header": right[:-1]}, {"x_identity_header": "\xe9"}, {"metadata": "true"}):
        reply = await imds.get(target, **headers)
        assert (reply.status, reply.json["statusCode"]) == (401, 401)
        assert right not in reply.text
    reply = await imds.get(target.replace("2019-08-01", "2017-09-01"), x_identity_header=right)
    assert (reply.status, "2019-08-01" in reply.json["message"]) == (400, True)
    assert (await imds.request("PUT", target, headers={"x_identity_header": right})).status == 405


async def test_instance_metadata_whole_and_in_part(imds: Client) -> None:
    target = "/metadata/instance{}?api-version=2021-02-01"
    whole = (await imds.get(target.format(""), metadata="true")).json
    assert whole["compute"]["subscriptionId"] == "sub"
    assert (await imds.get(target.format("/Compute"), metadata="true")).json == whole["compute"]
    reply = await imds.get(target.format("/compute/subscriptionid") + "&format=text", metadata="true")
    assert (reply.status, reply.text, reply.headers["content-type"]) == (200, "sub", "text/plain; charset=utf-8")
    assert (await imds.get(target.format("/compute/subscriptionId"), metadata="true")).status == 400
    for path in ("/nothing", "/compute/name/x", "/network/interface/0"):
        assert (await imds.get(target.format(path), metadata="true")).status == 404
    assert "2021-02-01" in (await imds.get("/metadata/versions", metadata="true")).json["apiVersions"]


LATIN = st.text(alphabet=st.characters(codec="latin-1"))
PATH = st.sampled_from(["/metadata/identity/oauth2/token", "/metadata/instance/compute", "/msi/token"])
HEADER = st.sampled_from(["metadata", "x_identity_header", "host"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(path=PATH | st.text(), query=LATIN, headers=st.dictionaries(HEADER, LATIN))
async def test_no_request_breaks_it(imds: Client, path: str, query: str, headers: dict[str, str]) -> None:
    reply = await imds.get(path.replace("?", "") + "?" + query, **headers)
    assert reply.status in (200, 400, 401, 403, 404)
    assert "access_token" not in reply.text


@pytest.mark.parametrize(("user", "status"), [(None, 200), (0, 200), (os.geteuid(), 200), (os.geteuid() + 1, 403)])
async def test_programs_of_other_users_get_no_tokens(
    directory: Directory,
    tokens: Tokens,
    clock: ManualClock,
    client_of: Callable[..., Client],
    user: int | None,
    status: int,
) -> None:
    identity = ManagedIdentity(
        directory=directory,
        tokens=tokens,
        clock=clock,
        subscription="sub",
        front_door=lambda: BASE,
        owner=lambda _client, _server: user,
    )
    reply = await client_of(identity, "http://127.0.0.1:4600").get(TOKEN, metadata="true")
    assert reply.status == status
    assert ("access_token" in reply.json) == (status == 200)
    if status == 403:
        assert f"a program of user {user}" in reply.json["error_description"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_system_tells_whose_a_connection_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = server.getsockname()
        with socket.create_connection(here) as client:
            assert peers.owner(client.getsockname(), here) == os.geteuid()
        with socket.socket(socket.AF_INET6) as six:
            six.connect((f"::ffff:{here[0]}", here[1]))
            assert peers.owner(("127.0.0.1", six.getsockname()[1]), here) == os.geteuid()
        assert peers.owner(("127.0.0.1", 1), here) is None
    assert peers.owner(None, here) is None
    assert peers.owner(("::1", 1), here) is None
