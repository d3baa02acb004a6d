"""TensorProto for what clients send (float32, pictures) and for what the service answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import numpy as np

from windtunnel.errors import InvalidInput, ScoringFailed
from windtunnel.prediction.predict_pb2 import PredictRequest, Tensor, TensorShape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from windtunnel.jsontypes import Json
    from windtunnel.prediction.predict_pb2 import PredictResponse

IMAGES = "images"
"""What clients call the input of a model that has one."""
PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
"""How PNG and JPEG files begin."""
_FLOAT, _STRING = 1, 7
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "<u1", 5: "<i2", 6: "<i1", 9: "<i8", 10: "?", 17: "<u2", 19: "<f2",
          22: "<u4", 23: "<u8"}  # fmt: skip
"""numpy's types by TensorFlow's numbers."""


def request_of(body: bytes) -> PredictRequest:
    """From ``{"data": [...]}``, ``{"inputs": {name: [...]}}``, or the bytes of a picture. Raises ``InvalidInput``."""
    if body.startswith(PICTURES):
        picture = Tensor(dtype=_STRING, tensor_shape=_shape((1,)), string_val=[body])
        return PredictRequest(inputs={IMAGES: picture})
    try:
        content = json.loads(body)
    except ValueError as error:
        raise InvalidInput(f"the input is neither JSON nor a picture: {error}") from error
    if not isinstance(content, dict):
        raise InvalidInput(
            f"the input is a JSON {type(content).__name__}, not an object", way_out='Give {"data": [[1, 2, 3]]}.'
        )
    named = cast("Mapping[str, Json]", content)
    inputs = named.get("inputs")
    if isinstance(inputs, dict):
        return PredictRequest(inputs={name: _tensor(name, value) for name, value in inputs.items()})
    if "data" not in named:
        raise InvalidInput(
            f"the input has no 'data' (it has: {', '.join(sorted(named)) or 'nothing'})",
            way_out='Give {"data": [[1, 2, 3]]}, or {"inputs": {"name": [[1, 2, 3]]}} for a model with several inputs.',
        )
    return PredictRequest(inputs={IMAGES: _tensor("data", named["data"])})


def _tensor(name: str, value: Json) -> Tensor:
    try:
        array = np.asarray(value, np.float32)
    except (ValueError, TypeError) as error:
        raise InvalidInput(
            f"{name!r} is no array of numbers: {error}", way_out="Give lists of numbers, all rows of one length."
        ) from error
    return Tensor(dtype=_FLOAT, tensor_shape=_shape(array.shape), tensor_content=array.astype("<f4").tobytes())


def _shape(sizes: tuple[int, ...]) -> TensorShape:
    return TensorShape(dim=[TensorShape.Dim(size=size) for size in sizes])


def arrays_of(response: PredictResponse) -> dict[str, NDArray[np.generic]]:
    """The outputs by name. Raises ``ScoringFailed`` for what is no tensor."""
    return {name: _array(name, tensor) for name, tensor in response.outputs.items()}


def _array(name: str, tensor: Tensor) -> NDArray[np.generic]:
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    try:
        if tensor.dtype == _STRING:
            return np.array(list(tensor.string_val), np.object_).reshape(shape)
        return np.frombuffer(tensor.tensor_content, _TYPES[tensor.dtype]).reshape(shape)
    except (KeyError, ValueError) as error:
        raise ScoringFailed(f"the service answered {name!r} as something that is no tensor: {error}") from error


def json_of(outputs: Mapping[str, NDArray[np.generic]]) -> Json:
    """The one output, as a list; several by name."""
    lists: dict[str, Json] = {name: _plain(array) for name, array in outputs.items()}
    return next(iter(lists.values())) if len(lists) == 1 else lists


def _plain(array: NDArray[np.generic]) -> Json:
    return cast("Json", _texts(array.tolist()) if array.dtype == np.object_ else array.tolist())


def _texts(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return [_texts(item) for item in cast("list[object]", value)]
