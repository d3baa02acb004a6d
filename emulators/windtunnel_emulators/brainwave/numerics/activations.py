"""The quantiser as ONNX nodes: a few element-wise operators, exact in float32.

The power of two below the largest magnitude of a block comes from Rump's "unit in the first place": with
``q = (2^23 + 1) x``, ``q - (1 - 2^-24) q`` is 2 to the exponent of x, exactly, in four roundings and no logarithm (S.
M. Rump, "Error estimation of floating-point summation and dot product", 2012, algorithm 3.5). Adding and subtracting
``1.5 * 2^23`` steps then rounds to a multiple of the step, ties to even. No operator may be fused with the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.brainwave.numerics.editing import Editor
    from windtunnel_emulators.brainwave.numerics.formats import BlockFormat

_PHI = 2.0**23 + 1
_ALMOST_ONE = 1 - 2.0**-24
_MAGIC = 1.5 * 2.0**24
"""Times a step's double: 1.5 * 2^23 steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a value lies: ``length`` elements along the axis that is quantised."""

    length: int
    last: bool
    """The axis is the last; otherwise the second."""


def quantised(editor: Editor, source: str, layout: Layout, number: BlockFormat, *, positive: bool) -> str:
    """The name of ``source`` rounded; ``positive`` when none of it is below zero."""
    block = min(number.block, layout.length)
    if layout.length <= block:
        axis = -1 if layout.last else 1
        return _rounded(editor, source, axis, number, positive=positive)
    blocks = -(-layout.length // block)
    padded = blocks * block - layout.length
    shape = editor.node("Shape", [source])
    flat = source
    if padded:
        first = [-1, layout.length, 1] if layout.last else [0, layout.length, -1]
        flat = editor.node("Reshape", [source, editor.integers(first)])
        ends = editor.integers([0, 0, 0, 0, padded, 0])
        flat = editor.node("Pad", [flat, ends, editor.scalar(0.0)])
    split = [-1, blocks, block, 1] if layout.last else [0, blocks, block, -1]
    parts = editor.node("Reshape", [flat, editor.integers(split)])
    rounded = _rounded(editor, parts, 2, number, positive=positive)
    if padded:
        whole = [-1, blocks * block, 1] if layout.last else [0, blocks * block, -1]
        rounded = editor.node("Reshape", [rounded, editor.integers(whole)])
        rounded = editor.node(
            "Slice", [rounded, editor.integers([0]), editor.integers([layout.length]), editor.integers([1])]
        )
    return editor.node("Reshape", [rounded, shape])


def _rounded(editor: Editor, source: str, axis: int, number: BlockFormat, *, positive: bool) -> str:
    magnitude = source if positive else editor.node("Abs", [source])
    largest = editor.reduced_max(magnitude, axis)
    power = _power(
        editor,
        editor.node("Clip", [largest, editor.scalar(2.0**number.lowest), editor.scalar(2.0**number.highest)]),
    )
    limit = editor.node("Mul", [power, editor.scalar(number.limit)])
    clipped = editor.node("Min", [source, limit])
    if not positive:
        clipped = editor.node("Max", [clipped, editor.node("Neg", [limit])])
    if number.span:
        # Each element has an exponent of its own, at most so far below the block's, and never above it.
        bottom = editor.node("Mul", [power, editor.scalar(2.0**-number.span)])
        own = clipped if positive else editor.node("Abs", [clipped])
        power = _power(editor, editor.node("Max", [own, bottom]))
    magic = editor.node("Mul", [power, editor.scalar(_MAGIC * 2.0**-number.mantissa_bits)])
    return editor.node("Sub", [editor.node("Add", [clipped, magic]), magic])


def _power(editor: Editor, source: str) -> str:
    """``2 ** floor(log2(x))`` of positive normal numbers below 2^103."""
    scaled = editor.node("Mul", [source, editor.scalar(_PHI)])
    return editor.node("Sub", [scaled, editor.node("Mul", [scaled, editor.scalar(_ALMOST_ONE)])])
