"""The plain JSON form of ``/score``: which value of the body belongs to which input, and the answer.

A model with one input takes ``{"data": ...}`` or ``{"<its name>": ...}``; one with several takes
``{"<name>": ..., "<name>": ...}``, or the same under ``data``. One output answers as a list, several as
``{"<name>": ...}``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import numpy as np

from windtunnel_scoring.errors import Refusal
from windtunnel_scoring.model.elements import from_bfloat16
from windtunnel_scoring.model.from_json import check_shapes, tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_scoring.jsontypes import Json, JsonObject
    from windtunnel_scoring.model.elements import Array
    from windtunnel_scoring.model.runtime import Output, Port


def parse(text: str | bytes) -> Json:
    """Any JSON; raises ``Refusal``."""
    try:
        return cast("Json", json.loads(text))
    except RecursionError as error:
        raise Refusal(400, "the body is JSON that is nested too deeply") from error
    except ValueError as error:
        raise Refusal(400, f"the body could not be decoded as JSON: {error}") from error


def feeds(value: Json, inputs: Sequence[Port]) -> dict[str, Array]:
    """A tensor for every input; raises ``Refusal``."""
    arrays = {port.name: tensor(item, port) for port, item in _by_input(value, inputs)}
    check_shapes(arrays, inputs)
    return arrays


def usage(inputs: Sequence[Port]) -> str:
    """``{"data": float32 [N, 64]}``."""
    named = {"data": inputs[0]} if len(inputs) == 1 else {port.name: port for port in inputs}
    fields = (
        f"{json.dumps(name)}: {port.element.name if port.element else port.type}"
        + (f" {port.written_shape}" if port.shape else "")
        for name, port in named.items()
    )
    return "{" + ", ".join(fields) + "}"


def answer(outputs: Sequence[Output], ports: Sequence[Port]) -> Json:
    """What ``/score`` answers."""
    values = [_plain(output, port) for output, port in zip(outputs, ports, strict=True)]
    if len(ports) == 1:
        return values[0]
    return {port.name: value for port, value in zip(ports, values, strict=True)}


def _by_input(value: Json, inputs: Sequence[Port]) -> list[tuple[Port, Json]]:
    if not isinstance(value, dict):
        raise Refusal(400, f"the body should be a JSON object: {usage(inputs)}")
    names = {port.name for port in inputs}
    given = value
    if set(value) == {"data"}:
        inner = value["data"]
        if isinstance(inner, dict):
            given = inner
        elif len(inputs) == 1:
            return [(inputs[0], inner)]
    _check_names(given, names, inputs)
    return [(port, given[port.name]) for port in inputs]


def _check_names(given: JsonObject, names: set[str], inputs: Sequence[Port]) -> None:
    missing = [name for name in sorted(names) if name not in given]
    unknown = [name for name in given if name not in names]
    if not missing and not unknown:
        return
    came = ", ".join(repr(name) for name in list(given)[:10]) or "nothing"
    problem = (
        f"there is no input {unknown[0]!r}" if unknown else f"a value is not provided for the input {missing[0]!r}"
    )
    raise Refusal(400, f"{problem}: the model takes {usage(inputs)}, and the body has {came}")


def _plain(output: Output, port: Port) -> Json:
    element = port.element
    if element is not None and element.name == "bfloat16" and isinstance(output, np.ndarray):
        return cast("Json", from_bfloat16(output).tolist())
    return _json(output)


def _json(value: object) -> Json:
    """Tensors, sequences and maps as JSON. The keys of maps, numbers too, become text."""
    if isinstance(value, np.ndarray | np.generic):
        return cast("Json", value.tolist())
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value)
        return {str(key): _json(item) for key, item in pairs.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in cast("list[object]", value)]
    return cast("Json", value)
