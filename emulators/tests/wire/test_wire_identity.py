"""Microsoft's own clients against the token service and the managed-identity port, over real sockets and TLS."""

from __future__ import annotations

import asyncio
import importlib
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import jwt
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    ClientAssertionCredential,
    ClientSecretCredential,
    CredentialUnavailableError,
    DefaultAzureCredential,
    DeviceCodeCredential,
    ManagedIdentityCredential,
)

from windtunnel_emulators.clock import Pace, RealClock
from windtunnel_emulators.identity import audiences
from windtunnel_emulators.identity.directory import Directory
from windtunnel_emulators.identity.managed import APP_SERVICE_PATH, ManagedIdentity
from windtunnel_emulators.identity.service import TokenService
from windtunnel_emulators.identity.tokens import Tokens
from windtunnel_emulators.server import Listeners
from windtunnel_emulators.store import Store
from windtunnel_emulators.tls import CertificateAuthority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from windtunnel_emulators.arm.provider import Caller

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT_ID = "aaaaaaaa-2222-3333-4444-555555555555"
SECRET = "s3cret~value+/="
AZ = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"


@dataclass
class Live:
    """A token service and a managed-identity port that run in a thread of their own."""

    base: str
    imds: str
    bundle: str
    identity_header: str
    tokens: Tokens

    @classmethod
    async def run(cls, folder: Path, started: Future[Self], ended: asyncio.Event) -> None:
        clock = RealClock()
        authority = CertificateAuthority.load_or_create(folder / "tls", now=datetime.now(UTC), environment={})
        directory = Directory.of(tenant=TENANT, subscription="sub", client_id=CLIENT_ID, client_secret=SECRET)
        store = Store(None)
        tokens = Tokens(folder=folder / "identity", clock=clock, directory=directory)
        service = TokenService(directory=directory, tokens=tokens, store=store, clock=clock, pace=Pace.parse("fast"))
        listeners = Listeners(store, authority.server_context())
        port = await listeners.open("front door", service)
        base = f"https://localhost:{port}"
        managed = ManagedIdentity(
            directory=directory, tokens=tokens, clock=clock, subscription="sub", front_door=lambda: base
        )
        plain = await listeners.open("managed identity", managed, tls=False)
        started.set_result(
            cls(
                base=base,
                imds=f"http://127.0.0.1:{plain}",
                bundle=str(authority.bundle_file),
                identity_header=managed.identity_header,
                tokens=tokens,
            )
        )
        await ended.wait()
        await listeners.close_all()
        store.close()

    def caller(self, token: str) -> Caller:
        """Who ARM would take the bearer for."""
        return self.tokens.verify(f"Bearer {token}", audiences=audiences.resource_manager(self.base))

    def enter_code(self, uri: str, code: str, _: object = None) -> None:
        """What a person does on the page."""
        reply = requests.post(uri, data={"user_code": code}, verify=self.bundle, timeout=10)
        assert reply.status_code == 200


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    started: Future[Live] = Future()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()
    folder = tmp_path_factory.mktemp("live")

    def serve() -> None:
        try:
            loop.run_until_complete(Live.run(folder, started, ended))
        except BaseException as error:  # the test that waits for the start must hear of it
            if not started.done():
                started.set_exception(error)
            raise
        finally:
            loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield started.result(timeout=30)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(timeout=30)


@pytest.fixture
def live(running: Live, monkeypatch: pytest.MonkeyPatch) -> Live:
    """With the environment that ``windtunnel env`` prints, and nothing else of Azure's."""
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "AZURE_FEDERATED_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": CLIENT_ID,
        "AZURE_CLIENT_SECRET": SECRET,
        "AZURE_AUTHORITY_HOST": running.base,
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": running.imds,
        "REQUESTS_CA_BUNDLE": running.bundle,
        "SSL_CERT_FILE": running.bundle,
        "NO_PROXY": "localhost,127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    return running


@pytest.mark.parametrize("resource", ["{base}/", "https://management.azure.com"])
@pytest.mark.parametrize("tenant", [TENANT, "adfs"])
def test_client_secret_credential(live: Live, resource: str, tenant: str) -> None:
    with ClientSecretCredential(
        tenant, CLIENT_ID, SECRET, authority=live.base, disable_instance_discovery=True
    ) as credential:
        token = credential.get_token(resource.format(base=live.base) + "/.default")
    assert (live.caller(token.token).kind, live.caller(token.token).app_id) == ("Application", CLIENT_ID)


@pytest.mark.parametrize(
    ("tenant", "client_id", "secret", "number"),
    [
        (TENANT, CLIENT_ID, "wrong", "AADSTS7000215"),
        (TENANT, "bbbbbbbb-2222-3333-4444-555555555555", SECRET, "AADSTS700016"),
    ],
)
def test_client_secret_credential_that_is_wrong(
    live: Live, tenant: str, client_id: str, secret: str, number: str
) -> None:
    with (
        ClientSecretCredential(
            tenant, client_id, secret, authority=live.base, disable_instance_discovery=True
        ) as credential,
        pytest.raises(ClientAuthenticationError, match=number) as refusal,
    ):
        credential.get_token(f"{live.base}//.default")
    assert SECRET not in str(refusal.value)


def test_a_tenant_that_is_not_there(live: Live) -> None:
    other = "99999999-2222-3333-4444-555555555555"
    with (
        ClientSecretCredential(
            other, CLIENT_ID, SECRET, authority=live.base, disable_instance_discovery=True
        ) as credential,
        pytest.raises(ClientAuthenticationError, match="double check your tenant name"),
    ):
        credential.get_token(f"{live.base}//.default")


def test_default_azure_credential_takes_the_environment(live: Live) -> None:
    with DefaultAzureCredential(disable_instance_discovery=True) as credential:
        token = credential.get_token(f"{live.base}//.default")
    assert live.caller(token.token).app_id == CLIENT_ID


def test_default_azure_credential_falls_back_to_the_managed_identity(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name)
    with DefaultAzureCredential(disable_instance_discovery=True, exclude_cli_credential=True) as credential:
        token = credential.get_token(f"{live.base}//.default")
    assert live.caller(token.token).kind == "ManagedIdentity"


def test_managed_identity_credential_by_imds(live: Live) -> None:
    with ManagedIdentityCredential() as credential:
        token = credential.get_token("https://management.azure.com/.default")
    assert live.caller(token.token).kind == "ManagedIdentity"
    with (
        ManagedIdentityCredential(client_id="somebody-else") as credential,
        pytest.raises(CredentialUnavailableError, match="Identity not found"),
    ):
        credential.get_token("https://management.azure.com/.default")


def test_managed_identity_credential_by_app_service(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", live.imds + APP_SERVICE_PATH)
    monkeypatch.setenv("IDENTITY_HEADER", live.identity_header)
    with ManagedIdentityCredential() as credential:
        token = credential.get_token(f"{live.base}//.default")
    assert live.caller(token.token).kind == "ManagedIdentity"
    monkeypatch.setenv("IDENTITY_HEADER", "wrong")
    with ManagedIdentityCredential() as credential, pytest.raises(ClientAuthenticationError):
        credential.get_token(f"{live.base}//.default")


def test_device_code_credential_and_its_refresh_token(live: Live) -> None:
    prompts: list[str] = []

    def prompt(uri: str, code: str, expires: datetime) -> None:
        prompts.append(uri)
        live.enter_code(uri, code)

    with DeviceCodeCredential(
        tenant_id=TENANT, authority=live.base, disable_instance_discovery=True, prompt_callback=prompt
    ) as credential:
        first = credential.get_token(f"{live.base}//.default")
        other = credential.get_token("https://containerregistry.azure.net/.default")
    assert prompts == [f"{live.base}/common/oauth2/deviceauth"]  # the second token came by the refresh token
    assert (live.caller(first.token).kind, live.caller(first.token).app_id) == ("User", AZ)
    claims = jwt.decode(other.token, options={"verify_signature": False})
    assert claims["aud"] == "https://containerregistry.azure.net"


def test_an_assertion_in_place_of_the_secret_is_refused_with_the_way_out(live: Live) -> None:
    with (
        ClientAssertionCredential(
            TENANT, CLIENT_ID, lambda: "eyJ.e30.x", authority=live.base, disable_instance_discovery=True
        ) as credential,
        pytest.raises(ClientAuthenticationError, match=r"AADSTS700027.*send client_secret"),
    ):
        credential.get_token(f"{live.base}//.default")


def msal_app(kind: str, client_id: str, session: requests.Session, **options: str) -> Any:
    """A client of MSAL, which has no types."""
    module: Any = importlib.import_module("msal")
    return getattr(module, kind)(client_id, instance_discovery=False, http_client=session, **options)


@pytest.mark.parametrize(
    "authority", [{"authority": "{base}/" + TENANT}, {"oidc_authority": "{base}/" + TENANT + "/v2.0"}]
)
def test_msal_confidential_client(live: Live, authority: dict[str, str]) -> None:
    with requests.Session() as session:
        options = {name: value.format(base=live.base) for name, value in authority.items()}
        app = msal_app("ConfidentialClientApplication", CLIENT_ID, session, client_credential=SECRET, **options)
        result: dict[str, Any] = app.acquire_token_for_client([f"{live.base}//.default"])
        assert live.caller(result["access_token"]).app_id == CLIENT_ID
        again: dict[str, Any] = app.acquire_token_for_client([f"{live.base}//.default"])
        assert (again["token_source"], again["access_token"]) == ("cache", result["access_token"])


def test_msal_public_client_finds_the_account_and_its_tokens(live: Live) -> None:
    with requests.Session() as session:
        app = msal_app("PublicClientApplication", AZ, session, authority=f"{live.base}/organizations")
        scopes = [f"{live.base}//.default"]
        flow: dict[str, Any] = app.initiate_device_flow(scopes)
        live.enter_code(flow["verification_uri"], flow["user_code"])
        result: dict[str, Any] = app.acquire_token_by_device_flow(flow)
        claims = result["id_token_claims"]
        assert claims["preferred_username"] == "developer@windtunnel.onmicrosoft.com"
        (account,) = app.get_accounts()
        assert account["home_account_id"] == f"{claims['oid']}.{TENANT}"
        cached: dict[str, Any] = app.acquire_token_silent(scopes, account)
        assert cached["access_token"] == result["access_token"]
        renewed: dict[str, Any] = app.acquire_token_silent(scopes, account, force_refresh=True)
        assert renewed["access_token"] != result["access_token"]
        assert live.caller(renewed["access_token"]).kind == "User"


def test_msal_is_told_when_a_person_refuses(live: Live) -> None:
    with requests.Session() as session:
        app = msal_app("PublicClientApplication", AZ, session, authority=f"{live.base}/{TENANT}")
        flow: dict[str, Any] = app.initiate_device_flow([f"{live.base}//.default"])
        form = {"user_code": flow["user_code"], "decision": "decline"}
        requests.post(flow["verification_uri"], data=form, verify=live.bundle, timeout=10)
        result: dict[str, Any] = app.acquire_token_by_device_flow(flow)
    assert (result["error"], result["error_codes"]) == ("authorization_declined", [65004])


def test_msal_is_told_that_a_password_will_not_do(live: Live) -> None:
    with requests.Session() as session:
        app = msal_app("PublicClientApplication", AZ, session, authority=f"{live.base}/adfs")
        with pytest.warns(DeprecationWarning, match="ropc"):
            result: dict[str, Any] = app.acquire_token_by_username_password(
                "developer@windtunnel.onmicrosoft.com", "password", [f"{live.base}//.default"]
            )
    assert (result["error"], result["error_codes"]) == ("unsupported_grant_type", [70003])


def test_a_client_that_does_not_trust_the_authority_is_not_served(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{live.base}/{TENANT}/v2.0/.well-known/openid-configuration", timeout=10)


def test_plain_http_is_not_served_at_the_tls_port(live: Live) -> None:
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(live.base.replace("https", "http") + "/common/discovery/keys", timeout=10)
