"""The schemas that ``@input_schema`` and ``@output_schema`` of the package inference-schema give a ``run()``.

The package is no dependency: a script that uses it names it in its requirements. It is only looked at when a script
has imported it.
"""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING, Protocol, cast

from windtunnel_scoring.swagger import Description

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_scoring.jsontypes import JsonObject

_ALIASES = {"2.0": "2", "3.0": "3", "3.1": "3.1"}


class _SchemaUtil(Protocol):
    def is_schema_decorated(self, func: object) -> bool: ...
    def get_input_schema(self, func: object) -> JsonObject: ...
    def get_output_schema(self, func: object) -> JsonObject: ...
    def get_supported_versions(self, func: object) -> list[str]: ...


def description(run: Callable[..., object]) -> Description | None:
    """None for a ``run()`` without schemas."""
    util = cast("_SchemaUtil | None", sys.modules.get("inference_schema.schema_util"))
    if util is None or not util.is_schema_decorated(run):
        return None
    return Description(
        service_input=copy.deepcopy(util.get_input_schema(run)),
        service_output=copy.deepcopy(util.get_output_schema(run)),
        versions=tuple(_ALIASES[name] for name in util.get_supported_versions(run) if name in _ALIASES),
    )
