"""Tiles and groups: properties that hold for every layer."""

from __future__ import annotations

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.brainwave import tiles
from windtunnel_emulators.brainwave.layers import Form, Layer
from windtunnel_emulators.brainwave.timing.weights import boundaries, groups

channels = st.integers(1, 2048)
kernels = st.integers(1, 7).map(lambda k: (k, k))
natives = st.sampled_from([100, 128, 400])


@given(kernels, channels, channels, natives)
def test_a_convolution_holds_all_its_weights(kernel: tuple[int, int], inputs: int, outputs: int, native: int) -> None:
    tiling = tiles.convolution(kernel, inputs, outputs, 1, native)
    assert tiling.tiles == tiling.rows * tiling.row_tiles
    assert tiling.tiles * native * native >= kernel[0] * kernel[1] * inputs * outputs
    assert tiling.rows == ceil(outputs / native)


@given(kernels, st.integers(1, 16), st.integers(1, 96), st.integers(1, 96), natives)
def test_groups_cost_no_more_tiles_than_the_full_convolution(
    kernel: tuple[int, int], group: int, from_each: int, to_each: int, native: int
) -> None:
    inputs, outputs = group * from_each, group * to_each
    grouped = tiles.convolution(kernel, inputs, outputs, group, native)
    full = tiles.convolution(kernel, inputs, outputs, 1, native)
    assert grouped.tiles <= full.tiles
    # Every tile that is not all zero is there: counted again, weight by weight.
    pairs = {
        ((g * to_each + o) // native, (g * from_each + i) // native)
        for g in range(group)
        for o in range(to_each)
        for i in range(from_each)
    }
    assert grouped.tiles == kernel[0] * kernel[1] * len(pairs)


def test_a_depthwise_convolution_uses_a_diagonal() -> None:
    assert tiles.convolution((3, 3), 512, 512, 512, 128).tiles == 9 * 4


def _layer(index: int, rows: int, row_tiles: int) -> Layer:
    return Layer(
        name=f"l{index}", op="Conv", form=Form.CONVOLUTION, nodes=(f"l{index}",), inputs=(), output=f"l{index}:0",
        shape=(1, 1, 1, 1), rows=rows, row_tiles=row_tiles, tiles=rows * row_tiles,
    )  # fmt: skip


@given(st.lists(st.tuples(st.integers(1, 16), st.integers(0, 64)), min_size=1, max_size=30))
def test_groups_hold_everything_once_and_fit_a_half(sizes: list[tuple[int, int]]) -> None:
    layers = [_layer(index, rows, row_tiles) for index, (rows, row_tiles) in enumerate(sizes)]
    found = groups(layers, 64)
    assert all(group.tiles <= 64 for group in found)
    assert sum(group.tiles for group in found) == sum(layer.tiles for layer in layers)
    shares = [0.0] * len(layers)
    order: list[int] = []
    for group in found:
        for share in group.shares:
            shares[share.layer] += share.fraction
            order.append(share.layer)
    assert all(abs(share - 1) < 1e-9 for share in shares)
    assert order == sorted(order)
    starts = boundaries(found)
    assert starts == sorted(starts)


def test_a_large_layer_is_split_by_whole_rows() -> None:
    assert [group.tiles for group in groups([_layer(0, 4, 36)], 64)] == [36] * 4
    assert [group.tiles for group in groups([_layer(0, 16, 8)], 64)] == [64, 64]
