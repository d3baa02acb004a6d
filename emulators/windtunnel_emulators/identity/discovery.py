"""The documents by which clients find the token service: OpenID Connect's, Entra's list of instances, realms."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from windtunnel_emulators.browsers import is_ours
from windtunnel_emulators.identity import errors
from windtunnel_emulators.identity.grants import ANY_TENANT
from windtunnel_emulators.identity.tokens import PUBLIC_ISSUER

if TYPE_CHECKING:
    from windtunnel_emulators.identity.directory import Directory
    from windtunnel_emulators.identity.keys import SigningKey
    from windtunnel_emulators.jsontypes import Json, JsonObject


_CLAIMS = ("sub", "iss", "aud", "exp", "iat", "nbf", "oid", "tid", "ver", "name", "preferred_username", "upn")


def configuration(base_url: str, tenant: str, directory: Directory, *, v2: bool) -> JsonObject:
    """OpenID Connect's discovery document of a tenant, as it was named in the path.

    It lists what is served and nothing else: there is no browser sign-in, so there are no response types.
    """
    called = tenant.lower() if tenant.lower() in (*ANY_TENANT, "adfs") else directory.tenant
    root = f"{base_url}/{called}"
    # AD FS has v2.0's tokens at v1.0's paths.
    version = "/v2.0" if v2 else ""
    return {
        "token_endpoint": f"{root}/oauth2{version}/token",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "jwks_uri": f"{root}/discovery{version}/keys",
        "response_modes_supported": ["query"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": [],
        "grant_types_supported": [
            "client_credentials",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": f"{base_url}/{directory.tenant}/v2.0" if v2 else f"{PUBLIC_ISSUER}{directory.tenant}/",
        "authorization_endpoint": f"{root}/oauth2{version}/authorize",
        "device_authorization_endpoint": f"{root}/oauth2{version}/devicecode",
        "claims_supported": list(_CLAIMS),
        "cloud_instance_name": urlsplit(base_url).netloc,
    }


def keys(key: SigningKey) -> JsonObject:
    """The JSON Web Key Set."""
    return {"keys": [key.published()]}


def instance(base_url: str, endpoint: str) -> JsonObject:
    """Entra's answer about an authority: that it is one, if it is emulated here. Raises ``TokenError`` if it is not."""
    try:
        asked = urlsplit(endpoint)
    except ValueError as error:
        raise errors.unknown_instance(endpoint) from error
    if asked.scheme != "https" or not is_ours(asked.netloc):
        raise errors.unknown_instance(endpoint)
    tenant = next((part for part in asked.path.split("/") if part), "common")
    names: list[Json] = list(dict.fromkeys([asked.netloc, urlsplit(base_url).netloc]))
    return {
        "tenant_discovery_endpoint": f"https://{asked.netloc}/{tenant}/v2.0/.well-known/openid-configuration",
        "api-version": "1.1",
        "metadata": [{"preferred_network": asked.netloc, "preferred_cache": asked.netloc, "aliases": names}],
    }


def realm(base_url: str, user: str) -> JsonObject:
    """Where a user signs in: here, whoever it is (nobody is federated)."""
    domain = user.rpartition("@")[2]
    return {
        "ver": "1.0",
        "account_type": "Managed",
        "domain_name": domain,
        "cloud_instance_name": urlsplit(base_url).netloc,
        "cloud_audience_urn": "urn:federation:MicrosoftOnline",
    }
