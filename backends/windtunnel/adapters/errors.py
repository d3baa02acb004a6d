"""What the SDKs raise, said once in our words, with Azure's code and request id kept."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from windtunnel.errors import (
    AuthenticationFailed,
    Conflict,
    DeploymentFailed,
    InvalidSpec,
    NotFound,
    QuotaExceeded,
    ServiceError,
    WindtunnelError,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from azure.core.exceptions import AzureError, HttpResponseError

_QUOTA = ("ContainerGroupQuotaReached", "QuotaExceeded", "TooManyRegistries", "RegistryLimitReached")
_BUSY = ("ContainerGroupTransitioning", "OperationNotAllowed", "AnotherOperationInProgress", "Conflict", "EtagMismatch")
_IMAGE = ("InaccessibleImage", "ImagePullFailed", "RegistryErrorResponse")
_FORBIDDEN_CHANGE = ("InvalidContainerGroupUpdate",)
_CAPACITY = ("ServiceUnavailable", "InsufficientCapacity")


@contextmanager
def translated(doing: str) -> Generator[None]:
    """Raises our errors for those of the SDKs; ``doing`` says what was going on, as in ``deleting service 'x'``."""
    # An SDK that is in use is imported already.
    from azure.core.exceptions import AzureError

    try:
        yield
    except AzureError as error:
        raise translate(error, doing) from error


def translate(error: AzureError, doing: str) -> WindtunnelError:
    """The error of ours for one of azure-core's."""
    from azure.core.exceptions import (
        ClientAuthenticationError,
        HttpResponseError,
        ServiceRequestError,
        ServiceResponseError,
    )

    if isinstance(error, HttpResponseError):
        return _refused(error, doing, authentication=isinstance(error, ClientAuthenticationError))
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        return ServiceError(
            f"{doing}: the service cannot be reached: {_first_line(error.message)}",
            way_out="Check the network, the proxy settings and, for another cloud, its endpoints and ca_file.",
        )
    return ServiceError(f"{doing}: {_first_line(error.message)}")


def code_of(error: HttpResponseError) -> str | None:
    """Azure's code. A failed long-running operation has one too, although its poll answered 200."""
    return error.error.code if error.error is not None else None


def _refused(error: HttpResponseError, doing: str, *, authentication: bool) -> WindtunnelError:
    code = code_of(error)
    status = error.status_code
    said = error.error.message if error.error is not None and error.error.message else _first_line(error.message)
    headers = cast("Mapping[str, str]", getattr(error.response, "headers", {}))
    request_id = headers.get("x-ms-request-id") or headers.get("x-ms-correlation-request-id")
    message = f"{doing}: {said}"
    if authentication or status in (401, 403) or code == "AuthorizationFailed":
        return AuthenticationFailed(
            f"{doing}: {said}",
            code=code,
            request_id=request_id,
            way_out="Check who is logged in (az account show), the tenant, and the roles on the resource group.",
        )
    if code in _QUOTA or (code is not None and "Quota" in code):
        return QuotaExceeded(
            message, code=code, request_id=request_id, way_out="Delete a service, or ask Azure for a higher quota."
        )
    if code in _FORBIDDEN_CHANGE:
        return InvalidSpec(message, code=code, request_id=request_id, way_out="Delete the service and deploy it again.")
    if code in _IMAGE:
        return DeploymentFailed(message, code=code, request_id=request_id)
    if status == 404:
        return NotFound(message, code=code, request_id=request_id)
    if code in _BUSY or (status == 409 and code not in _CAPACITY):
        return Conflict(message, code=code, request_id=request_id, way_out="Wait for it to end, then try again.")
    return ServiceError(message, status=status, code=code, request_id=request_id)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")


def without_place(service: str, missing: NotFound) -> NotFound:
    """A service that is not there, since what it would be in is not."""
    return NotFound(f"there is no service {service!r}: {missing.message}", way_out=missing.way_out, code=missing.code)
