"""``$filter`` and ``$top`` of the list of runs: the part of OData that Azure's clients send.

TaskName eq 'hello' and Status eq 'Failed' and contains(OutputImageManifests, 'hello:v1')
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.jsontypes import as_list, as_object, as_str

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.jsontypes import Json, JsonObject

_LITERAL = r"(?:'(?P<text>(?:[^']|'')*)'|(?P<bare>[^\s')]+))"
_COMPARISON = re.compile(rf"\(?\s*(?P<field>\w+)\s+(?P<operator>eq|ne|gt|ge|lt|le)\s+{_LITERAL}\s*\)?", re.IGNORECASE)
_CONTAINS = re.compile(r"contains\(\s*(?P<field>\w+)\s*,\s*'(?P<text>(?:[^']|'')*)'\s*\)", re.IGNORECASE)
_AND = re.compile(r"\s+and\s+(?=(?:[^']*'[^']*')*[^']*$)", re.IGNORECASE)

_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
_FIELDS = {
    "runid": "runId",
    "runtype": "runType",
    "status": "status",
    "createtime": "createTime",
    "finishtime": "finishTime",
    "isarchiveenabled": "isArchiveEnabled",
    "taskname": "task",
    "agentpoolname": "agentPoolName",
    "outputimagemanifests": "outputImages",
}
_TIMES = ("createTime", "finishTime")
DEFAULT_TOP = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Condition:
    field: str
    operator: str
    value: str

    def holds(self, run: JsonObject) -> bool:
        values = [text.lower() for text in _texts(self.field, run.get(self.field))]
        wanted = _moment(self.value) if self.field in _TIMES else self.value.lower()
        if self.operator == "contains":
            return any(wanted in value for value in values)
        if self.operator == "ne":
            return wanted not in values
        return any(_OPERATORS[self.operator](value, wanted) for value in values)


def parse_filter(text: str) -> Callable[[JsonObject], bool]:
    """Whether a run's properties fit. Raises ``ArmError`` 400 for what is no filter of runs."""
    conditions = [_condition(part.strip()) for part in _AND.split(text.strip())] if text.strip() else []
    return lambda run: all(condition.holds(run) for condition in conditions)


def parse_top(text: str | None) -> int:
    """``$top``. Raises ``ArmError`` 400."""
    if text is None:
        return DEFAULT_TOP
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= 10**8):
        raise ArmError(400, "InvalidTop", f"$top '{text[:40]}' is invalid: it must be a number above 0.", target="$top")
    return int(text[:9])


def _condition(text: str) -> _Condition:
    match = _CONTAINS.fullmatch(text) or _COMPARISON.fullmatch(text)
    field = _FIELDS.get(match["field"].lower()) if match else None
    if match is None or field is None:
        raise ArmError(
            400,
            "InvalidFilter",
            f"The filter '{text[:200]}' is invalid. Filter by {', '.join(sorted(_FIELDS.values()))}, with eq, ne, gt,"
            " ge, lt, le or contains(), joined by 'and'.",
            target="$filter",
        )
    groups = match.groupdict()
    value = groups["text"].replace("''", "'") if groups["text"] is not None else groups["bare"]
    return _Condition(field=field, operator=(groups.get("operator") or "contains").lower(), value=value)


def _texts(field: str, value: Json) -> list[str]:
    if field == "outputImages":
        images = [as_object(image) for image in as_list(value)]
        return [
            f"{as_str(i.get('repository'))}{separator}{as_str(i.get(name))}"
            for i in images
            for separator, name in ((":", "tag"), ("@", "digest"))
        ]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if value is None:
        return []
    return [_moment(str(value))] if field in _TIMES else [str(value)]


def _moment(text: str) -> str:
    """A time in a form whose order is that of time."""
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).astimezone(UTC).isoformat()
    except ValueError:
        return text
