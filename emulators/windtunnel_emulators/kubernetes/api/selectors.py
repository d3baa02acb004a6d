"""Label and field selectors of requests, as predicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.objects import selectors

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.api.served import Served


def matcher(served: Served, labels: str, fields: str) -> Callable[[JsonObject], bool] | None:
    """What the selectors of a request say of an object; None when they choose all. Raises ``Failure`` 400."""
    if not labels and not fields:
        return None
    return selectors.matcher(served, labels, fields)
