"""ONNX Runtime Server's form: ``POST /v1/models/{name}/versions/{version}:predict``, and the same at ``/score``.

One model is served, so any name and version will do. ``Content-Type`` says how the request is written (JSON or
protobuf) and is required on these paths; ``Accept`` picks the answer's. Where it leaves the choice open the answer is
written as the request was: the real server then always answers protobuf, which surprises clients of the JSON form.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from windtunnel_scoring.asgi import JSON, Response
from windtunnel_scoring.errors import Refusal
from windtunnel_scoring.model import tensor_json, wire
from windtunnel_scoring.model.body import parse
from windtunnel_scoring.model.from_json import check_shapes
from windtunnel_scoring.model.tensor_message import PredictRequest, TensorMessage, from_array, to_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_scoring.asgi import Request
    from windtunnel_scoring.jsontypes import Json
    from windtunnel_scoring.model.elements import Array
    from windtunnel_scoring.model.runtime import Output, Port

Form: TypeAlias = Literal["json", "protobuf"]
PROTOBUF_TYPES = ("application/octet-stream", "application/vnd.google.protobuf", "application/x-protobuf")
_PATH = re.compile(r"/v1/models/[^/:]+(?:/versions/\d+)?:(classify|regress|predict)")


def owns(path: str) -> bool:
    """Whether this is one of its paths."""
    return _PATH.fullmatch(path) is not None


def is_native(body: Json, inputs: Sequence[Port]) -> bool:
    """Whether a JSON body at ``/score`` is of this form: tensors are objects, which no plain input is."""
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), dict):
        return False
    return set(body) <= {"inputs", "outputFilter", "output_filter"} and "inputs" not in {port.name for port in inputs}


def request_form(request: Request) -> Form:
    """Raises ``Refusal``."""
    media_type = request.headers.media_type
    if media_type == JSON:
        return "json"
    if media_type in PROTOBUF_TYPES:
        return "protobuf"
    raise Refusal(400, "Missing or unknown 'Content-Type' header field in the request")


def response_type(request: Request, form: Form) -> str:
    """The media type of the answer; raises ``Refusal`` when nothing that is accepted can be given."""
    accept = request.headers.get("accept")
    if accept is None:
        return JSON if form == "json" else PROTOBUF_TYPES[0]
    for item in accept.split(","):
        media_type = item.partition(";")[0].strip().lower()
        if media_type in (JSON, *PROTOBUF_TYPES):
            return media_type
        if media_type in ("*/*", "application/*", ""):
            return JSON if form == "json" else PROTOBUF_TYPES[0]
    raise Refusal(400, "Unknown 'Accept' header field in the request")


def read(request: Request, form: Form) -> PredictRequest:
    """Raises ``Refusal``."""
    match = _PATH.fullmatch(request.path)
    if match is not None and match[1] != "predict":
        raise Refusal(501, f"the action {match[1]!r} is not served; use :predict")
    return wire.read_request(request.body) if form == "protobuf" else tensor_json.read_request(parse(request.body))


def feeds(request: PredictRequest, inputs: Sequence[Port]) -> dict[str, Array]:
    """A tensor for every input; raises ``Refusal``."""
    ports = {port.name: port for port in inputs}
    for name in request.inputs:
        if name not in ports:
            raise Refusal(400, f"there is no input {name!r}: the model has {', '.join(map(repr, ports))}")
    for name in ports:
        if name not in request.inputs:
            raise Refusal(400, f"a value is not provided for the input {name!r}")
    arrays = {name: to_array(message, ports[name]) for name, message in request.inputs.items()}
    check_shapes(arrays, inputs)
    return arrays


def outputs(request: PredictRequest, ports: Sequence[Port]) -> list[Port]:
    """Those asked for; raises ``Refusal`` for one that there is not, or that no TensorProto can hold."""
    by_name = {port.name: port for port in ports}
    for name in request.output_filter:
        if name not in by_name:
            raise Refusal(400, f"there is no output {name!r}: the model has {', '.join(map(repr, by_name))}")
    wanted = [by_name[name] for name in dict.fromkeys(request.output_filter)] or list(ports)
    for port in wanted:
        if port.element is None:
            raise Refusal(
                501,
                f"output {port.name!r} is a {port.type}, which this form cannot carry;"
                " leave it out by outputFilter, or use the plain form of /score",
            )
    return wanted


def answer(request: PredictRequest, values: Sequence[Output], ports: Sequence[Port], media_type: str) -> Response:
    """Elements are raw when all inputs were, in typed fields otherwise: the real server's rule."""
    raw = all(message.raw is not None for message in request.inputs.values())
    messages: dict[str, TensorMessage] = {}
    for value, port in zip(values, ports, strict=True):
        if port.element is None or not isinstance(value, np.ndarray):
            raise Refusal(501, f"output {port.name!r} has no value that this form can carry")
        messages[port.name] = from_array(value, port.element, raw=raw)
    if media_type == JSON:
        body = json.dumps(tensor_json.write_response(messages), separators=(",", ":")).encode()
    else:
        body = wire.write_response(messages)
    return Response(body=body, headers=(("content-type", media_type),))


def failure(status: int, message: str) -> Response:
    """The real server's shape of an error."""
    body = json.dumps({"error_code": status, "error_message": message}).encode() + b"\n"
    return Response(status=status, body=body, headers=(("content-type", JSON),))
