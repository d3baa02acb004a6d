"""Label and field selectors of requests, as predicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.api.failures import bad_request
from windtunnel_emulators.kubernetes.objects import selectors

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.api.served import Served


def matcher(served: Served, labels: str, fields: str) -> Callable[[JsonObject], bool] | None:
    """What the selectors of a request say of a stored object; None when they choose all. Raises ``Failure`` 400."""
    if not labels and not fields:
        return None
    try:
        labelled = selectors.parse_labels(labels) if labels else None
        fielded = selectors.parse_fields(served.info, fields) if fields else None
    except selectors.SelectorError as problem:
        raise bad_request(str(problem)) from problem

    def matches(whole: JsonObject) -> bool:
        return (labelled is None or labelled.matches(selectors.labels_of(whole))) and (
            fielded is None or fielded.matches(served.present(whole))
        )

    return matches


def exact_name(served: Served, fields: str) -> str:
    """The name that a field selector fixes, which authorization looks at; empty for none. Raises ``Failure`` 400."""
    if "metadata.name" not in fields:
        return ""
    try:
        return selectors.parse_fields(served.info, fields).exact("metadata.name") or ""
    except selectors.SelectorError as problem:
        raise bad_request(str(problem)) from problem
