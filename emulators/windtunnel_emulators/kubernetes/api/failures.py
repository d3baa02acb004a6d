"""Failures of the API: each is a ``Status`` with the reason, details and message that the real server gives.

``Failure`` is a ``StatusError``, so in-process clients raise what clients over the wire parse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import StatusError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.objects.causes import ObjectProblem

_UNKNOWN_METHOD = "the server does not allow this method on the requested resource"
_CHANGED = "the object has been modified; please apply your changes to the latest version and try again"


class Failure(StatusError):
    """A request that is refused. ``headers`` go with the answer; ``plain`` answers are text, as unknown paths are."""

    def __init__(self, status: JsonObject, *, headers: Sequence[tuple[bytes, bytes]] = (), plain: bool = False) -> None:
        super().__init__(status)
        self.headers = tuple(headers)
        self.plain = plain


def failure(
    code: int, reason: str, message: str, details: JsonObject | None = None, metadata: JsonObject | None = None
) -> Failure:
    """Any failure, in the order of fields that the real server writes."""
    status: JsonObject = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": metadata or {},
        "status": "Failure",
        "message": message,
        "reason": reason,
    }
    if details is not None:
        status["details"] = details
    status["code"] = code
    return Failure(status)


def qualified(group: str, plural: str) -> str:
    """``deployments.apps``, ``pods``."""
    return f"{plural}.{group}" if group else plural


def _details(group: str, kind: str, name: str = "") -> JsonObject:
    details: JsonObject = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    return details


def not_found(group: str, plural: str, name: str) -> Failure:
    """No such object."""
    return failure(404, "NotFound", f'{qualified(group, plural)} "{name}" not found', _details(group, plural, name))


def unknown_path() -> Failure:
    """No such path: text, not a ``Status``."""
    found = failure(404, "NotFound", "the server could not find the requested resource", {})
    found.plain = True
    return found


def already_exists(group: str, plural: str, name: str) -> Failure:
    """The name is taken."""
    message = f'{qualified(group, plural)} "{name}" already exists'
    return failure(409, "AlreadyExists", message, _details(group, plural, name))


def generate_name_conflict(group: str, plural: str, name: str) -> Failure:
    """Every generated name was taken."""
    taken = f'{qualified(group, plural)} "{name}" already exists'
    message = f"{taken}, the server was not able to generate a unique name for the object"
    details = _details(group, plural, name)
    details["retryAfterSeconds"] = 1
    return failure(409, "AlreadyExists", message, details)


def conflict(group: str, plural: str, name: str, why: str = _CHANGED) -> Failure:
    """The object is not the one that the request was made for."""
    message = f'Operation cannot be fulfilled on {qualified(group, plural)} "{name}": {why}'
    return failure(409, "Conflict", message, _details(group, plural, name))


def apply_conflict(causes: Sequence[JsonObject], message: str) -> Failure:
    """Other managers own fields that are applied."""
    return failure(409, "Conflict", message, {"causes": list(causes)})


def invalid(group: str, kind: str, name: str, causes: Iterable[JsonObject]) -> Failure:
    """Fields are wrong; a cause has ``reason``, ``message`` and ``field``."""
    found = list(causes)
    lines = list(dict.fromkeys(f"{cause.get('field')}: {cause.get('message')}" for cause in found))
    what = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    details = _details(group, kind, name)
    if found:
        details["causes"] = [*found]
    subject = f"{kind}.{group}" if group else kind
    return failure(422, "Invalid", f'{subject} "{name}" is invalid' + (f": {what}" if found else ""), details)


def bad_request(message: str) -> Failure:
    """The request makes no sense."""
    return failure(400, "BadRequest", message)


def forbidden(group: str, plural: str, name: str, why: str) -> Failure:
    """The user may not, or admission refuses."""
    subject = f'{qualified(group, plural)} "{name}"' if name else qualified(group, plural)
    return failure(403, "Forbidden", f"{subject} is forbidden: {why}", _details(group, plural, name))


def forbidden_path(user: str, verb: str, path: str) -> Failure:
    """The user may not use a path that is no resource."""
    return failure(403, "Forbidden", f'forbidden: User "{user}" cannot {verb} path "{path}"', {})


def unauthorized() -> Failure:
    """The request says nothing, or nothing true, of who made it."""
    return failure(401, "Unauthorized", "Unauthorized")


def method_not_allowed(group: str = "", plural: str = "") -> Failure:
    """The path is known, the method is not one of its."""
    return failure(405, "MethodNotAllowed", _UNKNOWN_METHOD, _details(group, plural))


def not_supported(group: str, plural: str, verb: str) -> Failure:
    """The resource has no such verb."""
    message = f"{verb} is not supported on resources of kind {qualified(group, plural)!r}".replace("'", '"')
    return failure(405, "MethodNotAllowed", message, _details(group, plural))


def not_acceptable(accepted: Sequence[str]) -> Failure:
    """None of the media types that the client accepts can be had."""
    return failure(406, "NotAcceptable", f"only the following media types are accepted: {', '.join(accepted)}")


def unsupported_media_type(accepted: Sequence[str]) -> Failure:
    """The body is of an unknown media type."""
    message = "the body of the request was in an unknown format - accepted media types include: "
    return failure(415, "UnsupportedMediaType", message + ", ".join(accepted))


def too_large(limit: int) -> Failure:
    """The body is longer than the server reads."""
    return failure(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}", {})


def expired(message: str, metadata: JsonObject | None = None) -> Failure:
    """The version, or the list that a token continues, is no longer known."""
    return failure(410, "Expired", message, metadata=metadata)


def too_new(asked: int, current: int) -> Failure:
    """The version has not been reached."""
    details: JsonObject = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return failure(504, "Timeout", message, details)


def internal(message: str) -> Failure:
    """A defect of this server."""
    details: JsonObject = {"causes": [{"message": message}]}
    return failure(500, "InternalError", f"Internal error occurred: {message}", details)


def unavailable(message: str) -> Failure:
    """What the request is passed on to does not answer."""
    return failure(503, "ServiceUnavailable", message)


def unknown_resource() -> Failure:
    """No such resource, in a version that is served."""
    return failure(404, "NotFound", "the server could not find the requested resource", {})


def translated(problem: ObjectProblem, group: str, kind: str, name: str) -> Failure:
    """What ``objects`` says of an object, as an answer."""
    from windtunnel_emulators.kubernetes.objects import causes
    from windtunnel_emulators.kubernetes.objects.apply import ApplyConflict

    if isinstance(problem, causes.InvalidObject):
        if problem.anonymous:
            group, kind, name = "", "", ""  # as the real server leaves them out of what patches make
        return invalid(group, kind, name, [cause.json() for cause in problem.causes])
    if isinstance(problem, causes.BadObject):
        return failure(problem.code, problem.reason, problem.message, {} if problem.code == 422 else None)
    if isinstance(problem, ApplyConflict):
        return apply_conflict([cause.json() for cause in problem.causes], problem.message)
    return bad_request(str(problem))


def nameless(message: str) -> Failure:
    """A mistake of the client that the real server calls 500, without a reason."""
    problem = failure(500, "", message)
    del problem.status["reason"]
    return problem
