"""Weights, rounded once: one exponent for each row of a native tile, so per output, per tap of the kernel, per block of
inputs. Blocks are those of the activations: they are counted from the first channel of the whole vector, also where a
group of a convolution begins in the middle of one.

The arithmetic is that of the inserted nodes (``activations``), done by numpy: ResNet-50's weights take half a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from windtunnel_emulators.brainwave.numerics.formats import BlockFormat

_PHI = np.float32(2.0**23 + 1)
_ALMOST_ONE = np.float32(1 - 2.0**-24)


def convolution(kernel: NDArray[np.float32], groups: int, number: BlockFormat) -> NDArray[np.float32]:
    """A kernel [outputs, inputs of a group, ...]."""
    of_group = kernel.shape[1]
    if groups == 1:
        return matrix(kernel, number, inputs_axis=1)
    rows = kernel.shape[0] // groups
    return np.concatenate(
        [
            matrix(kernel[g * rows : (g + 1) * rows], number, inputs_axis=1, offset=g * of_group % number.block)
            for g in range(groups)
        ]
    )


def matrix(
    weights: NDArray[np.float32], number: BlockFormat, *, inputs_axis: int, offset: int = 0
) -> NDArray[np.float32]:
    """Weights whose inputs lie along ``inputs_axis``; ``offset`` is where the first lies in its block."""
    rounded = np.empty_like(weights)
    length, start = weights.shape[inputs_axis], 0
    while start < length:
        stop = min(length, start + number.block - (start + offset) % number.block)
        part = (slice(None),) * inputs_axis + (slice(start, stop),)
        rounded[part] = _block(weights[part], number, inputs_axis)
        start = stop
    return rounded


def _block(values: NDArray[np.float32], number: BlockFormat, axis: int) -> NDArray[np.float32]:
    largest = np.maximum(values.max(axis=axis, keepdims=True), -values.min(axis=axis, keepdims=True))
    power = _power(np.clip(largest, np.float32(2.0**number.lowest), np.float32(2.0**number.highest)))
    limit = power * np.float32(number.limit)
    clipped = np.clip(values, -limit, limit)
    if number.span:
        power = _power(np.maximum(np.abs(clipped), power * np.float32(2.0**-number.span)))
    magic = power * np.float32(1.5 * 2.0 ** (24 - number.mantissa_bits))
    clipped += magic
    clipped -= magic
    return clipped


def _power(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """``2 ** floor(log2(x))``, exactly (``activations`` says why)."""
    scaled = values * _PHI
    return np.asarray(scaled - scaled * _ALMOST_ONE, np.float32)
