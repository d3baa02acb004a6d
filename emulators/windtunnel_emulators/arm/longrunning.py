"""How long-running work is announced and polled: links, waiting times, the bodies of polls."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.journal import CANCELED, GROUP_TYPE, IN_PROGRESS
from windtunnel_emulators.arm.paths import plain_location, resource_id
from windtunnel_emulators.arm.responses import Answer, rfc3339

if TYPE_CHECKING:
    from windtunnel_emulators.arm.catalogue import Kind
    from windtunnel_emulators.arm.journal import StoredOperation
    from windtunnel_emulators.arm.provider import Resource
    from windtunnel_emulators.clock import Pace
    from windtunnel_emulators.jsontypes import JsonObject

GROUP_RETRY_S = 15  # recorded on every deletion of a group

_POLLED = re.compile(r"operations|operation-?(results|statuses|status)|asyncoperations", re.IGNORECASE)
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)


def polled(lowered: tuple[str, ...]) -> str | None:
    """The id of the operation that a path asks about; None for any other path."""
    if len(lowered) < 2 or not _POLLED.fullmatch(lowered[-2]):
        return None
    found = _ID.search(lowered[-1])
    return lowered[-1] if found is None else found.group()


def retry(pace: Pace, azure_s: int | None) -> dict[str, str]:
    """When to poll again.

    Python's clients take ``Retry-After: 0`` and no header at all for 30 seconds; milliseconds have a header of their
    own, which they obey when the other one is absent.
    """
    if pace.retry_after_ms is not None:
        return {"x-ms-retry-after-ms": str(pace.retry_after_ms)}
    return {} if azure_s is None else {"Retry-After": str(azure_s)}


def announce(
    kind: Kind, operation: StoredOperation, *, base_url: str, location: str | None, pace: Pace, with_location: bool
) -> dict[str, str]:
    """The headers of the answer that starts a work."""
    link = _link(kind, operation, base_url, location)
    found = {"Azure-AsyncOperation": link}
    if with_location and kind.type.links.location:
        found["Location"] = re.sub(r"/operation(s|statuses)/", "/operationResults/", link, flags=re.IGNORECASE)
    return {**found, **retry(pace, kind.type.links.retry_after_s)}


def _link(kind: Kind, operation: StoredOperation, base_url: str, location: str | None) -> str:
    id = resource_id(operation.target_id)
    path = kind.type.links.path.format(
        subscription=id.subscription,
        namespace=kind.provider.namespace,
        location=plain_location(operation.location or location or "global"),
        operation=operation.id,
        resource=operation.target_id,
    )
    version = kind.type.links.api_version or operation.api_version or kind.type.api_versions[-1]
    return f"{base_url}{path}?api-version={version}"


def group_location(operation: StoredOperation, *, base_url: str, pace: Pace) -> dict[str, str]:
    """The headers of a group's deletion, and of every poll of one that goes on."""
    subscription = operation.target_id.split("/")[2]
    link = f"{base_url}/subscriptions/{subscription}/operationresults/{operation.id}"
    return {"Location": f"{link}?api-version={operation.api_version}", **retry(pace, GROUP_RETRY_S)}


def status(operation: StoredOperation, kind: Kind, resource: Resource | None, path: str, pace: Pace) -> Answer:
    """A poll of ``Azure-AsyncOperation``: always 200, the news is in the body."""
    waiting = operation.status == IN_PROGRESS
    headers = retry(pace, kind.type.links.retry_after_s) if waiting else {}
    if kind.type.operation_view is not None:
        return Answer(status=200, body=kind.type.operation_view(operation, resource, kind.service), headers=headers)
    body: JsonObject = {
        "id": path,
        "name": operation.id,
        "status": kind.type.links.in_progress if waiting else operation.status,
        "startTime": rfc3339(operation.started),
        "endTime": None if operation.ended is None else rfc3339(operation.ended),
        "error": operation.error,
    }
    return Answer(status=200, body=body, headers=headers)


def result(operation: StoredOperation, headers: dict[str, str]) -> Answer:
    """A poll of ``Location``: 202 while the work goes on; then 204, the refusal, or for a group 200 (recorded)."""
    if operation.status == IN_PROGRESS:
        return Answer(status=202, headers=headers)
    if operation.error is not None:
        return Answer(status=operation.error_status or 500, body={"error": operation.error})
    if operation.status == CANCELED:
        return Answer(
            status=409, body={"error": {"code": "OperationCanceled", "message": "The operation was canceled."}}
        )
    return Answer(status=200 if operation.type == GROUP_TYPE else 204)


def unknown(id: str) -> ArmError:
    """404, for an operation that never was or is long over."""
    return ArmError(
        404, "OperationNotFound", f"The operation '{id}' was not found. What ended more than a day ago is not kept."
    )
