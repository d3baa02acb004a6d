"""TensorProto, read and written as TensorFlow does.

Elements are in ``tensor_content`` (little endian) or in the typed list; a list that is shorter than the shape repeats
its last value, and an empty one is zeros (TensorFlow leaves out what repeats). Numbers of 16 bits and less are in
``int_val``, halves as bit patterns in ``half_val``, strings in ``string_val`` only.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from windtunnel_emulators.brainwave.service.predict_pb2 import Tensor, TensorShape
from windtunnel_emulators.brainwave.service.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DT_FLOAT, DT_STRING, DT_BFLOAT16, DT_HALF = 1, 7, 14, 19
_TYPES: dict[int, tuple[str, str]] = {
    1: ("<f4", "float_val"),
    2: ("<f8", "double_val"),
    3: ("<i4", "int_val"),
    4: ("<u1", "int_val"),
    5: ("<i2", "int_val"),
    6: ("<i1", "int_val"),
    9: ("<i8", "int64_val"),
    10: ("?", "bool_val"),
    14: ("<u2", "half_val"),
    17: ("<u2", "int_val"),
    19: ("<f2", "half_val"),
    22: ("<u4", "uint32_val"),
    23: ("<u8", "uint64_val"),
}
"""numpy's type and the list, by TensorFlow's number (types.proto)."""
NAMES = {1: "DT_FLOAT", 2: "DT_DOUBLE", 3: "DT_INT32", 4: "DT_UINT8", 5: "DT_INT16", 6: "DT_INT8", 7: "DT_STRING",
         8: "DT_COMPLEX64", 9: "DT_INT64", 10: "DT_BOOL", 14: "DT_BFLOAT16", 17: "DT_UINT16", 18: "DT_COMPLEX128",
         19: "DT_HALF", 20: "DT_RESOURCE", 21: "DT_VARIANT", 22: "DT_UINT32", 23: "DT_UINT64"}  # fmt: skip
_NUMBERS = {np.dtype(kind).str.lstrip("<|="): number for number, (kind, _) in _TYPES.items() if number != DT_BFLOAT16}
LARGEST_BYTES = 1 << 28
"""Of one tensor: a short list may stand for a shape of any size."""


def read(tensor: Tensor, name: str) -> NDArray[np.generic] | list[bytes]:
    """An array; of strings a flat list, whatever their shape. Raises ``Refused`` with ``name`` in the sentence."""
    shape = _shape(tensor, name)
    if tensor.dtype == DT_STRING:
        return _strings(tensor, shape, name)
    kind = _TYPES.get(tensor.dtype)
    if kind is None:
        raise Refused(
            f"input {name!r} has the element type {NAMES.get(tensor.dtype, tensor.dtype)}, which the service does not"
            " take",
            way_out="Send DT_FLOAT.",
        )
    dtype, field = np.dtype(kind[0]), kind[1]
    size = prod(shape)
    # Without its zeros: numpy takes no shape that would be too big if it were not empty.
    if prod(max(1, s) for s in shape) * dtype.itemsize > LARGEST_BYTES:
        raise Refused(
            f"input {name!r} has the shape {list(shape)}, which is more than {LARGEST_BYTES >> 20} MB",
            way_out="Send fewer rows at a time.",
        )
    if tensor.tensor_content:
        if len(tensor.tensor_content) != size * dtype.itemsize:
            raise Refused(
                f"input {name!r} has {len(tensor.tensor_content)} bytes of tensor_content; its shape {list(shape)} of"
                f" {NAMES[tensor.dtype]} needs {size * dtype.itemsize}"
            )
        array = np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
    else:
        array = _listed(tensor, field, dtype, size, name).reshape(shape)
    if tensor.dtype == DT_BFLOAT16:  # the upper half of a float32
        return np.left_shift(array.astype(np.uint32), 16).view(np.float32)
    return array


def _shape(tensor: Tensor, name: str) -> tuple[int, ...]:
    if tensor.tensor_shape.unknown_rank:
        raise Refused(f"input {name!r} does not say its shape (unknown_rank)")
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if any(size < 0 for size in shape) or len(shape) > 32:
        raise Refused(f"input {name!r} has the shape {list(shape[:33])}, which no tensor has")
    return shape


def _listed(tensor: Tensor, field: str, dtype: np.dtype[np.generic], size: int, name: str) -> NDArray[np.generic]:
    given: Sequence[float] = getattr(tensor, field)
    if len(given) > size:
        raise Refused(f"input {name!r} has {len(given)} values in {field}, and its shape has room for {size}")
    if not given:
        return np.zeros(size, dtype)
    if field == "half_val" or dtype.kind in "iu":
        whole = np.asarray(given, np.uint64 if field == "uint64_val" else np.int64)
        narrow = np.iinfo("uint16" if field == "half_val" else str(dtype))
        if whole.min() < narrow.min or whole.max() > narrow.max:
            raise Refused(f"input {name!r} has values in {field} that {NAMES[tensor.dtype]} cannot hold")
        values = whole.astype(np.uint16).view(dtype) if field == "half_val" else whole.astype(dtype)
    else:
        values = np.asarray(given, dtype)
    return np.concatenate([values, np.full(size - len(values), values[-1], dtype)])


def _strings(tensor: Tensor, shape: tuple[int, ...], name: str) -> list[bytes]:
    size, given = prod(shape), list(tensor.string_val)
    if tensor.tensor_content:
        raise Refused(f"input {name!r} has strings in tensor_content", way_out="Put them into string_val.")
    if len(given) > size:
        raise Refused(f"input {name!r} has {len(given)} strings, and its shape {list(shape)} has room for {size}")
    if len(given) < size:
        raise Refused(f"input {name!r} has {len(given)} strings; its shape {list(shape)} needs {size}")
    return given


def write(array: NDArray[np.generic]) -> Tensor:
    """The array as the service sends it. Raises ``Refused`` for elements that TensorFlow has no type for."""
    shape = TensorShape(dim=[TensorShape.Dim(size=size) for size in array.shape])
    if array.dtype.kind in "OUS":
        strings = [v if isinstance(v, bytes) else str(v).encode() for v in array.ravel().tolist()]
        return Tensor(dtype=DT_STRING, tensor_shape=shape, string_val=strings)
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    number = _NUMBERS.get(little.dtype.str.lstrip("<|="))
    if number is None:
        raise Refused(f"the model gives elements of type {array.dtype}, which TensorFlow does not have")
    return Tensor(dtype=number, tensor_shape=shape, tensor_content=little.tobytes())
