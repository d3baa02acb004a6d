"""How the token service refuses: OAuth 2.0's error with Entra's number and sentence.

TokenError      any refusal: OAuth error, AADSTS number, sentence, HTTP status

Sources of numbers and sentences: Microsoft's list of AADSTS codes, and answers of the real service that people quote.
Where the emulators know a way out, it follows Entra's own sentence.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from windtunnel_emulators.jsontypes import JsonObject


class TokenError(Exception):
    """A refusal of the token service."""

    def __init__(self, error: str, number: int, message: str, *, status: int = 400, allowed: str = "") -> None:
        super().__init__(message)
        self.allowed = allowed
        self.error = error
        self.number = number
        self.message = message
        self.status = status

    def body(self, *, now: datetime, correlation: str | None) -> JsonObject:
        """As Entra answers it; ``correlation`` is the caller's own id, if it gave one."""
        trace = str(uuid.uuid4())
        correlation_id = _guid(correlation) or str(uuid.uuid4())
        timestamp = f"{now:%Y-%m-%d %H:%M:%S}Z"
        return {
            "error": self.error,
            "error_description": f"AADSTS{self.number}: {self.message}"
            f" Trace ID: {trace} Correlation ID: {correlation_id} Timestamp: {timestamp}",
            "error_codes": [self.number],
            "timestamp": timestamp,
            "trace_id": trace,
            "correlation_id": correlation_id,
            "error_uri": f"https://login.microsoftonline.com/error?code={self.number}",
        }


def _guid(text: str | None) -> str | None:
    try:
        return None if text is None else str(uuid.UUID(text))
    except ValueError:
        return None


def malformed(why: str, *, status: int = 400) -> TokenError:
    """What cannot be understood at all."""
    return TokenError(
        "invalid_request", 9002313, f"Invalid request. Request is malformed or invalid. {why}", status=status
    )


def missing(parameter: str) -> TokenError:
    """A field that the form lacks."""
    return TokenError(
        "invalid_request", 900144, f"The request body must contain the following parameter: '{parameter}'."
    )


def unknown_tenant(tenant: str, known: str, *, error: str = "invalid_request") -> TokenError:
    """A tenant that is not the emulated one."""
    return TokenError(
        error,
        90002,
        f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the"
        " correct cloud. Check with your subscription administrator, this may happen if there are no active"
        f" subscriptions for the tenant. These emulators have the tenant '{known}'.",
    )


def unknown_instance(endpoint: str) -> TokenError:
    """An authority that is not emulated here."""
    return TokenError("invalid_instance", 50049, f"Unknown or invalid instance: '{endpoint}'.")


def no_tenant() -> TokenError:
    """An application that asks at ``common`` or ``organizations``."""
    return TokenError(
        "invalid_request",
        50059,
        "No tenant-identifying information found in either the request or implied by any provided credentials.",
    )


def unknown_client(client_id: str, directory: str) -> TokenError:
    """An application that the tenant does not have."""
    return TokenError(
        "unauthorized_client",
        700016,
        f"Application with identifier '{client_id}' was not found in the directory '{directory}'. This can happen if"
        " the application has not been installed by the administrator of the tenant or consented to by any user in the"
        " tenant. You may have sent your authentication request to the wrong tenant.",
    )


def wrong_secret(client_id: str) -> TokenError:
    """A secret that is not the application's."""
    return TokenError(
        "invalid_client",
        7000215,
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not"
        f" the client secret ID, for a secret added to app '{client_id}'.",
        status=401,
    )


def no_secret() -> TokenError:
    """An application that shows nothing."""
    return TokenError(
        "invalid_client",
        7000216,
        "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
        status=401,
    )


def no_certificate(client_id: str) -> TokenError:
    """An application that shows an assertion signed by a certificate, or by another issuer."""
    return TokenError(
        "invalid_client",
        700027,
        "Client assertion contains an invalid signature. [Reason - The key was not found.]"
        f" The emulated application '{client_id}' has a secret and no certificates or federated credentials: send"
        " client_secret.",
        status=401,
    )


def unsupported_grant(grant: str) -> TokenError:
    """A grant that is not emulated."""
    return TokenError(
        "unsupported_grant_type",
        70003,
        f"The app requested an unsupported grant type '{grant}'. These emulators issue tokens for client_credentials"
        " (an application with its secret), the device code flow (a person) and refresh_token.",
    )


def unknown_resource(resource: str, directory: str) -> TokenError:
    """A resource that the tenant does not have."""
    return TokenError(
        "invalid_resource",
        500011,
        f"The resource principal named {resource} was not found in the tenant named {directory}. This can happen if the"
        " application has not been installed by the administrator of the tenant or consented to by any user in the"
        " tenant. You might have sent your authentication request to the wrong tenant.",
    )


def bad_scope(scope: str) -> TokenError:
    """A scope that names no resource."""
    return TokenError(
        "invalid_scope",
        70011,
        "The provided request must include a 'scope' input parameter. The provided value for the input parameter"
        f" 'scope' is not valid. The scope {scope} is not valid.",
    )


def several_resources(scope: str) -> TokenError:
    """A scope that names more than one resource."""
    return TokenError(
        "invalid_scope",
        28000,
        "Provided value for the input parameter scope is not valid because it contains more than one resource."
        f" Scope {scope} is not valid.",
    )


def not_default(scope: str) -> TokenError:
    """An application that asks for part of a resource."""
    return TokenError(
        "invalid_scope",
        1002012,
        f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value with"
        " /.default suffixed to the resource identifier (application ID URI).",
    )


def resource_not_supported() -> TokenError:
    """The v1.0 endpoint's parameter at the v2.0 endpoint."""
    return TokenError("invalid_request", 901002, "The 'resource' request parameter is not supported.")


def wrong_method(allowed: str, received: str) -> TokenError:
    """GET where POST is meant, and the like."""
    return TokenError(
        "invalid_request",
        900561,
        f"The endpoint only accepts {allowed} requests. Received a {received} request.",
        status=405,
        allowed=allowed,
    )


def no_browser_sign_in() -> TokenError:
    """A browser that comes to sign somebody in and go back with a code."""
    return TokenError(
        "unsupported_response_type",
        700054,
        "These emulators do not sign people in by a browser redirect. Use the device code flow (az login"
        " --use-device-code, DeviceCodeCredential) or the service principal (windtunnel env prints its settings).",
    )


def bad_refresh_token() -> TokenError:
    """A refresh token that was never issued, or to somebody else."""
    return TokenError("invalid_grant", 70000, "The provided refresh token is not valid for this application.")


def expired_refresh_token() -> TokenError:
    """A refresh token that nobody used for too long."""
    return TokenError("invalid_grant", 700082, "The refresh token has expired due to inactivity. Log in again.")


def revoked_refresh_token() -> TokenError:
    """A refresh token that was taken back, or was replaced a while ago."""
    return TokenError("invalid_grant", 50173, "The provided grant has expired due to it being revoked. Log in again.")


def authorization_pending() -> TokenError:
    """The person has not been at the page yet."""
    return TokenError(
        "authorization_pending",
        70016,
        "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
    )


def slow_down(interval: int) -> TokenError:
    """Polled much faster than agreed."""
    return TokenError(
        "slow_down", 70016, f"OAuth 2.0 device flow error. Polled too often: wait {interval} seconds between requests."
    )


def declined() -> TokenError:
    """The person said no."""
    return TokenError("authorization_declined", 65004, "User declined to consent to access the app.")


def expired_code() -> TokenError:
    """The person took too long."""
    return TokenError(
        "expired_token",
        70020,
        "The provided value for the input parameter 'device_code' is not valid. This device code has expired.",
    )


def bad_code() -> TokenError:
    """A device code that was never issued, or has been redeemed."""
    return TokenError(
        "bad_verification_code",
        70000,
        "The provided value for the input parameter 'device_code' is not valid.",
    )
