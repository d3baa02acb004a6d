"""What is wrong with an object: causes with field paths, as ``Status`` details have them, and errors that carry them.

ObjectProblem
+-- BadObject        not an object of its kind at all (400)
+-- InvalidObject    an object whose fields break rules (422)
+-- ApplyConflict    a server-side apply that would take fields from others (409), see ``apply``
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from windtunnel_emulators.jsontypes import Json, JsonObject

REQUIRED = "FieldValueRequired"
INVALID = "FieldValueInvalid"
UNSUPPORTED = "FieldValueNotSupported"
DUPLICATE = "FieldValueDuplicate"
FORBIDDEN = "FieldValueForbidden"
NOT_FOUND = "FieldValueNotFound"
TOO_LONG = "FieldValueTooLong"
TOO_MANY = "FieldValueTooMany"
TYPE_INVALID = "FieldValueTypeInvalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that is wrong, at one place."""

    field: str
    """``spec.containers[0].image``."""
    reason: str
    """The machine's word: ``FieldValueRequired``."""
    message: str
    """``Required value: ...``."""

    def json(self) -> JsonObject:
        """As ``details.causes`` of a ``Status`` has it."""
        return {"reason": self.reason, "message": self.message, "field": self.field}

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class ObjectProblem(Exception):
    """Anything wrong with an object that a client sent."""


class BadObject(ObjectProblem):
    """The body is not an object of the kind, or not a patch; ``code``, ``reason`` and ``message`` of the ``Status``."""

    def __init__(self, message: str, *, code: int = 400, reason: str = "BadRequest") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason


class InvalidObject(ObjectProblem):
    """The object breaks rules of its kind. ``anonymous``: the ``Status`` names neither kind nor object."""

    def __init__(self, causes: Sequence[Cause], *, anonymous: bool = False) -> None:
        super().__init__(", ".join(str(cause) for cause in causes))
        self.causes = tuple(causes)
        self.anonymous = anonymous


def shown(value: Json) -> str:
    """A value inside a message, as Go prints it."""
    if value is None:
        return "null"
    if isinstance(value, (dict, list, bool, str)):
        return msgspec.json.encode(value).decode()
    return str(value)


def _with(word: str, detail: str) -> str:
    return f"{word}: {detail}" if detail else word


def required(field: str, detail: str = "") -> Cause:
    """Nothing where something must be."""
    return Cause(field=field, reason=REQUIRED, message=_with("Required value", detail))


def invalid(field: str, value: Json, detail: str) -> Cause:
    """A value that breaks a rule."""
    return Cause(field=field, reason=INVALID, message=_with(f"Invalid value: {shown(value)}", detail))


def unsupported(field: str, value: Json, supported: Iterable[str]) -> Cause:
    """A value that is not one of those that there are."""
    known = ", ".join(shown(one) for one in supported)
    message = f"Unsupported value: {shown(value)}"
    return Cause(field=field, reason=UNSUPPORTED, message=_with(message, f"supported values: {known}" if known else ""))


def duplicate(field: str, value: Json) -> Cause:
    """A value that was there before."""
    return Cause(field=field, reason=DUPLICATE, message=f"Duplicate value: {shown(value)}")


def forbidden(field: str, detail: str) -> Cause:
    """A field that may not be set, or changed, here."""
    return Cause(field=field, reason=FORBIDDEN, message=_with("Forbidden", detail))


def not_found(field: str, value: Json) -> Cause:
    """A name of something that is not there."""
    return Cause(field=field, reason=NOT_FOUND, message=f"Not found: {shown(value)}")


def too_long(field: str, longest: int) -> Cause:
    """More bytes than there may be."""
    unit = "byte" if longest == 1 else "bytes"
    return Cause(field=field, reason=TOO_LONG, message=f"Too long: may not be more than {longest} {unit}")


def too_many(field: str, actual: int, most: int) -> Cause:
    """More items than there may be."""
    unit = "item" if most == 1 else "items"
    return Cause(field=field, reason=TOO_MANY, message=f"Too many: {actual}: must have at most {most} {unit}")


def type_invalid(field: str, value: Json, detail: str) -> Cause:
    """A value of another type."""
    return Cause(field=field, reason=TYPE_INVALID, message=_with(f"Invalid value: {shown(value)}", detail))
