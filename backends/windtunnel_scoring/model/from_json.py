"""JSON to tensors: strict, and each refusal names the input, what it expects and what came.

Numbers without a fraction are fine for floating point; ``NaN``, ``Infinity`` and ``-Infinity`` too. Nothing else is
converted: no text to numbers, no true to 1, no 1.5 or 1.0 to an integer, and nothing that does not fit is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, cast

import numpy as np

from windtunnel_scoring.errors import Refusal
from windtunnel_scoring.model.elements import integer_limits, narrowed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from windtunnel_scoring.jsontypes import Json
    from windtunnel_scoring.model.elements import Array, Element
    from windtunnel_scoring.model.runtime import Port

MOST_DIMENSIONS = 32
_ALLOWED: Mapping[str, frozenset[type]] = {
    "float": frozenset((int, float)),
    "integer": frozenset((int,)),
    "boolean": frozenset((bool,)),
    "string": frozenset((str,)),
}


def tensor(value: Json, port: Port) -> Array:
    """The tensor that a nested list stands for; raises ``Refusal``."""
    element = port.element
    if element is None:
        raise Refusal(400, f"input {port.name!r} is a {port.type}, which JSON cannot carry")
    return _Reader(port, element).read(value)


def check_shapes(arrays: Mapping[str, Array], ports: Sequence[Port]) -> None:
    """Each given tensor against its declared shape, and dimensions of one name against each other.

    Raises ``Refusal``.
    """
    seen: dict[str, tuple[int, str]] = {}
    for port in ports:
        if port.name not in arrays:
            continue
        shape = arrays[port.name].shape
        if not _fits(shape, port):
            raise Refusal(400, f"{expectation(port)} and got shape {list(shape)}")
        for size, dim in zip(shape, port.shape, strict=False):
            if isinstance(dim, str):
                before, other = seen.setdefault(dim, (size, port.name))
                if before != size:
                    raise Refusal(
                        400,
                        f"dimension {dim} is {before} in input {other!r} and {size} in input {port.name!r};"
                        " it must be the same in both",
                    )


def expectation(port: Port) -> str:
    """``input 'data' expects float32 of shape [N, 64]``."""
    name = port.element.name if port.element else port.type
    shape = f" of shape {port.written_shape}" if port.shape else ""
    return f"input {port.name!r} expects {name}{shape}"


def _fits(shape: Sequence[int], port: Port) -> bool:
    # onnxruntime gives an empty shape for a scalar and for a model that does not say: it must check these itself.
    if not port.shape:
        return True
    return len(shape) == len(port.shape) and all(
        not isinstance(dim, int) or dim == size for size, dim in zip(shape, port.shape, strict=True)
    )


class _Reader:
    """One value for one input."""

    def __init__(self, port: Port, element: Element) -> None:
        self._port = port
        self._element = element
        self._allowed = _ALLOWED[element.kind]

    def read(self, value: Json) -> Array:
        shape = self._shape(value)
        if len(shape) > MOST_DIMENSIONS:
            self._refuse(f" and got a list {len(shape)} levels deep; {MOST_DIMENSIONS} is the most")
        if not _fits(shape, self._port):
            self._refuse_shape(value, shape)
        self._check(value, shape, ())
        return self._convert(value).reshape(shape)

    def _shape(self, value: Json) -> tuple[int, ...]:
        """By the first element of each level. Below an empty list the shape is the declared one."""
        shape: list[int] = []
        inner = value
        while isinstance(inner, list):
            shape.append(len(inner))
            if not inner:
                for dim in self._port.shape[len(shape) :]:
                    shape.append(dim if isinstance(dim, int) else 0)
                break
            inner = inner[0]
        return tuple(shape)

    def _check(self, value: Json, shape: tuple[int, ...], path: tuple[int, ...]) -> None:
        """That every level has the length of its first, and every element the right type."""
        depth = len(path)
        if depth == len(shape):
            self._check_elements([value], path, single=True)
            return
        if not isinstance(value, list):
            self._refuse(f"; {self._at(path)} is {_said(value)} where a list of {shape[depth]} is needed")
        if len(value) != shape[depth]:
            first = self._at((*path[:-1], 0))
            self._refuse(f"; {self._at(path)} has {len(value)} elements where {first} has {shape[depth]}")
        if depth == len(shape) - 1:
            self._check_elements(value, path, single=False)
            return
        for index, inner in enumerate(value):
            self._check(inner, shape, (*path, index))

    def _check_elements(self, row: list[Json], path: tuple[int, ...], *, single: bool) -> None:
        # One set per row instead of one test per element: input is mostly right, and may be large.
        if set(map(type, row)) <= self._allowed:
            if self._element.kind == "string":
                self._check_text(cast("list[str]", row), path, single=single)
            return
        for index, item in enumerate(row):
            if type(item) not in self._allowed:
                place = self._at(path if single else (*path, index))
                hint = "; write NaN for a missing number" if item is None and self._element.kind == "float" else ""
                self._refuse(f"; {place} is {_said(item)}{hint}")

    def _check_text(self, row: list[str], path: tuple[int, ...], *, single: bool) -> None:
        for index, item in enumerate(row):
            try:
                item.encode()
            except UnicodeEncodeError:
                place = self._at(path if single else (*path, index))
                self._refuse(f"; {place} holds half of a surrogate pair, which is no text")

    def _convert(self, value: Json) -> Array:
        if self._element.kind == "float":
            return self._floating(value)
        if self._element.kind == "integer":
            return self._integral(value)
        return np.array(value, dtype=self._element.storage)

    def _floating(self, value: Json) -> Array:
        try:
            wide = np.array(value, dtype=np.float64)
        except OverflowError:
            self._refuse("; it holds a whole number beyond any floating point number")
        if self._element.name == "float64":
            return wide
        array, overflows = narrowed(wide, self._element)
        if overflows.any():
            self._refuse(f"; {wide[overflows].flat[0]!s} is beyond {self._element.name}")
        return array

    def _integral(self, value: Json) -> Array:
        least, most = integer_limits(self._element.storage)
        try:
            wide: NDArray[np.int64] | NDArray[np.object_] = np.array(value, dtype=np.int64)
        except OverflowError:
            wide = np.array(value, dtype=np.object_)
        outside = np.asarray((wide < least) | (wide > most), dtype=np.bool_)
        if outside.any():
            self._refuse(f"; {_short(str(wide[outside].flat[0]))} is outside {least} to {most}")
        return wide.astype(self._element.storage)

    def _at(self, path: tuple[int, ...]) -> str:
        return self._port.name + "".join(f"[{index}]" for index in path)

    def _refuse_shape(self, value: Json, shape: tuple[int, ...]) -> NoReturn:
        if shape or not self._port.shape:
            self._refuse(f" and got shape {list(shape)}")
        self._refuse(f" and got {_said(value)}")

    def _refuse(self, rest: str) -> NoReturn:
        raise Refusal(400, expectation(self._port) + rest)


def _said(value: Json) -> str:
    """A value in words, short enough for a sentence."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the string {_short(value)!r}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    return f"the number {_short(repr(value))}"


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
