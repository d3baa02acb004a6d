"""The quantiser as it is defined, in float64 and integers: slow, exact, and what everything else is compared with.

Only tests and the documents of accuracy use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from windtunnel_emulators.brainwave.numerics.formats import BlockFormat


def quantise(
    values: NDArray[np.float32], number: BlockFormat, *, axis: int = -1, offset: int = 0
) -> NDArray[np.float32]:
    """Every element rounded as its block along ``axis`` has it.

    ``offset`` is where the first element lies in its block: the slice of a longer vector, whose blocks stay in place.
    """
    moved = np.moveaxis(np.asarray(values, np.float64), axis, -1)
    length = moved.shape[-1]
    rounded = np.empty_like(moved)
    start = 0
    while start < length:
        stop = min(length, start + number.block - (start + offset) % number.block)
        rounded[..., start:stop] = _block(moved[..., start:stop], number)
        start = stop
    # Zeros have no sign: a sign and a magnitude of zero is one number, and the sum below makes it the positive one.
    return np.asarray(np.moveaxis(rounded + 0.0, -1, axis), np.float32)


def _block(values: NDArray[np.float64], number: BlockFormat) -> NDArray[np.float64]:
    exponent = np.clip(_exponents(np.abs(values).max(axis=-1, keepdims=True)), number.lowest, number.highest)
    own = np.clip(_exponents(np.abs(values)), exponent - number.span, exponent)
    limit = np.ldexp(number.limit, exponent)
    step = np.ldexp(1.0, own + 1 - number.mantissa_bits)
    return np.rint(np.clip(values, -limit, limit) / step) * step


def _exponents(magnitudes: NDArray[np.float64]) -> NDArray[np.int32]:
    """``floor(log2(x))`` without a logarithm, which would be wrong just below powers of two; of zero, very small."""
    _, exponents = np.frexp(magnitudes)
    return np.where(magnitudes == 0, np.int32(-(2**14)), np.where(np.isinf(magnitudes), np.int32(2**14), exponents - 1))
