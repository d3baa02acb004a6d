"""How weights lie in native tiles.

The rule of Microsoft's ResNet-50 and VGG-16 firmware, which it reproduces layer by layer: one tile for each tap, block
of input channels and block of output channels; the first layer comes from an expander that lays its window out flat.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

EXPANDER_CHANNELS = 4
"""The expander makes windows of images: the firmware's have 3 channels, and a vector of the network's input has 4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """Tiles of one matrix or filter."""

    rows: int
    row_tiles: int
    """Of the largest row."""
    tiles: int


def dense(inputs: int, outputs: int, native: int) -> Tiling:
    """A matrix."""
    rows, columns = ceil(outputs / native), ceil(inputs / native)
    return Tiling(rows=rows, row_tiles=columns, tiles=rows * columns)


def expanded(kernel: Sequence[int], inputs: int, outputs: int, native: int, window: int) -> Tiling:
    """The first layer: ``window`` is the smallest that the expander makes."""
    columns = ceil(max(prod(kernel) * inputs, window) / native)
    rows = ceil(outputs / native)
    return Tiling(rows=rows, row_tiles=columns, tiles=rows * columns)


def convolution(kernel: Sequence[int], inputs: int, outputs: int, group: int, native: int) -> Tiling:
    """Any other convolution; of a grouped one, only tiles that are not all zero.

    A depthwise convolution uses the diagonal of its tiles and nothing else: that is what it costs on this machine.
    """
    taps = prod(kernel)
    rows = ceil(outputs / native)
    if group == 1:
        columns = ceil(inputs / native)
        return Tiling(rows=rows, row_tiles=taps * columns, tiles=taps * columns * rows)
    from_each, to_each = inputs // group, outputs // group
    widths: list[int] = []
    for row in range(rows):
        first = row * native // to_each
        last = (min((row + 1) * native, outputs) - 1) // to_each
        widths.append(((last + 1) * from_each - 1) // native - first * from_each // native + 1)
    return Tiling(rows=rows, row_tiles=taps * max(widths), tiles=taps * sum(widths))
