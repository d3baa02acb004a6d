"""The element types of tensors: ONNX's name and number, numpy's type, and how JSON writes them.

bfloat16, which numpy has not, is held as the 16 bits it consists of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Kind: TypeAlias = Literal["float", "integer", "boolean", "string"]
Array: TypeAlias = "NDArray[np.generic]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element type."""

    name: str
    """As messages and descriptions call it: ``float32``."""
    onnx: str
    """As onnxruntime calls it: ``tensor(float)``."""
    number: int
    """``TensorProto.DataType``."""
    kind: Kind
    storage: np.dtype[np.generic]
    """What numpy holds it in."""
    swagger_format: str = ""


def _element(name: str, onnx: str, number: int, kind: Kind, storage: str, swagger_format: str = "") -> Element:
    return Element(
        name=name,
        onnx=f"tensor({onnx})",
        number=number,
        kind=kind,
        storage=np.dtype(storage),
        swagger_format=swagger_format,
    )


ELEMENTS: tuple[Element, ...] = (
    _element("float32", "float", 1, "float", "float32", "float"),
    _element("uint8", "uint8", 2, "integer", "uint8", "int32"),
    _element("int8", "int8", 3, "integer", "int8", "int32"),
    _element("uint16", "uint16", 4, "integer", "uint16", "int32"),
    _element("int16", "int16", 5, "integer", "int16", "int32"),
    _element("int32", "int32", 6, "integer", "int32", "int32"),
    _element("int64", "int64", 7, "integer", "int64", "int64"),
    _element("string", "string", 8, "string", "object"),
    _element("bool", "bool", 9, "boolean", "bool"),
    _element("float16", "float16", 10, "float", "float16", "float"),
    _element("float64", "double", 11, "float", "float64", "double"),
    _element("uint32", "uint32", 12, "integer", "uint32", "int64"),
    _element("uint64", "uint64", 13, "integer", "uint64", "int64"),
    _element("bfloat16", "bfloat16", 16, "float", "uint16", "float"),
)
BY_ONNX: Mapping[str, Element] = {element.onnx: element for element in ELEMENTS}
BY_NUMBER: Mapping[int, Element] = {element.number: element for element in ELEMENTS}


def integer_limits(storage: np.dtype[np.generic]) -> tuple[int, int]:
    """The least and the most that an integer type holds."""
    limits = np.iinfo(cast("np.dtype[np.integer]", storage))
    return int(limits.min), int(limits.max)


def narrowed(wide: NDArray[np.float64], element: Element) -> tuple[Array, NDArray[np.bool_]]:
    """Numbers in a narrower floating point type, and where a finite one became infinite."""
    with np.errstate(over="ignore"):
        if element.name == "bfloat16":
            words = to_bfloat16(wide.astype(np.float32)).reshape(wide.shape)
            array: Array = words
            infinite = np.isinf(from_bfloat16(words))
        else:
            values = wide.astype(cast("np.dtype[np.floating]", element.storage))
            array, infinite = values, np.isinf(values)
    return array, np.asarray(infinite & np.isfinite(wide))


def to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The nearest bfloat16, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    # Rounding could carry a NaN's mantissa over into infinity or zero.
    return np.where(np.isnan(values), np.uint32(0x7FC0), rounded).astype(np.uint16)


def from_bfloat16(bits: NDArray[np.generic]) -> NDArray[np.float32]:
    """The same numbers, exactly; ``bits`` are 16-bit words."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
