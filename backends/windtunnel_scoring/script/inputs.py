"""What ``run()`` is called with: the three forms of the documented server.

- A plain ``run(data)`` gets the body as text, of a GET the query as a JSON object.
- Under ``@input_schema``, each parameter gets the value of its name out of a JSON object.
- Under ``@rawhttp``, it gets the request.
"""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Protocol, cast

from windtunnel_scoring.errors import Refusal
from windtunnel_scoring.payload import query_values, text_body

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windtunnel_scoring.asgi import Request
    from windtunnel_scoring.jsontypes import JsonObject


class InputParser(Protocol):
    """Makes the arguments of one call."""

    @property
    def methods(self) -> frozenset[str]: ...

    def arguments(self, request: Request) -> dict[str, object]:
        """By parameter name; raises ``Refusal``."""
        ...


class TextInput:
    """For a plain ``run()``."""

    methods = frozenset(("GET", "POST"))

    def __init__(self, parameter: str) -> None:
        self._parameter = parameter

    def arguments(self, request: Request) -> dict[str, object]:
        if request.method == "GET":
            return {self._parameter: json.dumps(query_values(request.query))}
        return {self._parameter: text_body(request)}


class ObjectInput:
    """For ``run()`` under ``@input_schema``."""

    methods = frozenset(("GET", "POST"))

    def __init__(self, parameters: Sequence[inspect.Parameter]) -> None:
        self._parameters = parameters

    def arguments(self, request: Request) -> dict[str, object]:
        given = query_values(request.query) if request.method == "GET" else _json_object(request)
        arguments: dict[str, object] = {}
        for parameter in self._parameters:
            value = given.get(parameter.name, cast("object", parameter.default))
            if value is inspect.Parameter.empty:
                raise Refusal(400, f"A value is not provided for the {parameter.name!r} parameter.")
            arguments[parameter.name] = value
        return arguments


class RawInput:
    """For ``run()`` under ``@rawhttp``."""

    methods = frozenset(("GET", "POST", "OPTIONS", "HEAD"))

    def __init__(self, parameter: str, make: Callable[[Request], object]) -> None:
        self._parameter = parameter
        self._make = make

    def arguments(self, request: Request) -> dict[str, object]:
        return {self._parameter: self._make(request)}


def _json_object(request: Request) -> JsonObject:
    media_type = request.headers.media_type
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise Refusal(415, "Expects Content-Type to be application/json")
    if not request.body:
        raise Refusal(400, "POST body is empty. Expecting a JSON dictionary.")
    try:
        value: object = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"POST body could not be decoded as JSON: {error}") from error
    if not isinstance(value, dict):
        raise Refusal(400, "POST body should be a JSON dictionary.")
    return cast("JsonObject", value)
