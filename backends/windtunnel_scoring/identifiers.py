"""The ids by which a request is traced: what a client may send, and what every answer carries.

Rules seen on azureml-inference-server-http 1.5.1: ``x-request-id`` is the client's or a new one;
``x-ms-client-request-id`` is echoed; ``x-ms-request-id`` is the older name of both, so it stands in for a missing
client id, and is filled from the client id or the request id when it is not sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_scoring.asgi import Headers

LIMIT = 100
"""Characters that an id may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestIds:
    """The ids of one request; an empty one is not sent."""

    request_id: str = ""
    client_request_id: str = ""
    legacy_request_id: str = ""

    def headers(self) -> tuple[tuple[str, str], ...]:
        """For the answer."""
        pairs = (
            ("x-request-id", self.request_id),
            ("x-ms-request-id", self.legacy_request_id),
            ("x-ms-client-request-id", self.client_request_id),
        )
        return tuple(pair for pair in pairs if pair[1])


class IdTooLong(Exception):
    """An id over the limit; ``ids`` are those that the refusal still carries."""

    def __init__(self, message: str, ids: RequestIds) -> None:
        super().__init__(message)
        self.message = message
        self.ids = ids


def identify(headers: Headers, new_id: Callable[[], str]) -> RequestIds:
    """The ids of a request; raises ``IdTooLong``."""
    request_id = headers.get("x-request-id")
    if request_id is None:
        request_id = new_id()
    if len(request_id) > LIMIT:
        raise IdTooLong(f"x-request-id must not exceed {LIMIT} characters", RequestIds())
    legacy = headers.get("x-ms-request-id") or ""
    client = headers.get("x-ms-client-request-id") or ""
    client = client or legacy
    legacy = legacy or client or request_id
    if len(legacy) > LIMIT or len(client) > LIMIT:
        message = f"x-ms-request-id and x-ms-client-request-id must not exceed {LIMIT} characters"
        raise IdTooLong(message, RequestIds(request_id=request_id))
    return RequestIds(request_id=request_id, client_request_id=client, legacy_request_id=legacy)


def identify_native(headers: Headers, new_id: Callable[[], str]) -> RequestIds:
    """ONNX Runtime Server's rule: ``x-ms-request-id`` is always the server's own; the client's other id is echoed."""
    own = new_id()
    client = headers.get("x-ms-client-request-id") or ""
    return RequestIds(request_id=own, client_request_id=client, legacy_request_id=own)
